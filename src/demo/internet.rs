//! The receiving host of the demonstration: an MX that accepts, defers and refuses by recipient.
//!
//! It is deliberately not our own server machine: what leaves is judged by something that shares
//! no code with what sent it. Local parts decide: `refuse…` is refused for good, `defer…` is put
//! off twice and then accepted, and everything else is accepted and written to the sink folder,
//! octet for octet.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// Times that a `defer…` recipient is put off.
const DEFERRALS: u32 = 2;
/// Longest line that is taken; the demonstration's receiver is not an example of strictness.
const LINE_OCTETS_MAX: usize = 64 * 1024;

/// Before another connection is taken after one that could not be.
const PAUSE: Duration = Duration::from_millis(50);

/// The receiving host.
#[derive(Debug)]
pub struct Internet {
    sink: PathBuf,
    count: AtomicU64,
    deferrals: Mutex<BTreeMap<String, u32>>,
}

impl Internet {
    /// Starts the host on a free port of loopback; delivered messages appear in `sink`, whole:
    /// each is written beside it and renamed into it.
    ///
    /// # Errors
    /// If no socket can be bound or the folder cannot be read.
    pub async fn serve(sink: &Path) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let earlier = last_number(sink)?;
        let internet = Arc::new(Self {
            sink: sink.to_owned(),
            count: AtomicU64::new(earlier),
            deferrals: Mutex::default(),
        });
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of descriptors, most likely: some will be free again.
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let internet = Arc::clone(&internet);
                // A peer that breaks off is an ordinary event for a receiving host.
                tokio::spawn(async move {
                    let _ = internet.session(stream).await;
                });
            }
        });
        Ok(address)
    }

    async fn session(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(BufWriter::new(stream));
        say(&mut stream, "220 mx.internet.example ESMTP the demonstration's Internet").await?;
        stream.flush().await?;
        let mut recipients: Vec<String> = Vec::new();
        while let Some(line) = line(&mut stream).await? {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = text.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let offers = "250-mx.internet.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n\
                                  250-SMTPUTF8\r\n250-DSN\r\n250-SIZE 134217728\r\n\
                                  250 ENHANCEDSTATUSCODES";
                    say(&mut stream, offers).await?;
                }
                "MAIL" | "RSET" | "HELO" => {
                    recipients.clear();
                    say(&mut stream, "250 2.0.0 Ok").await?;
                }
                "RCPT" => {
                    let reply = self.recipient(&text, &mut recipients).await;
                    say(&mut stream, reply).await?;
                }
                "DATA" if recipients.is_empty() => {
                    say(&mut stream, "554 5.5.1 No valid recipients").await?;
                }
                "DATA" => {
                    say(&mut stream, "354 Go ahead").await?;
                    stream.flush().await?;
                    let content = content(&mut stream).await?;
                    let name = self.keep(&content).await?;
                    recipients.clear();
                    say(&mut stream, &format!("250 2.0.0 Ok: kept as {name}")).await?;
                }
                "NOOP" => say(&mut stream, "250 2.0.0 Ok").await?,
                "QUIT" => {
                    say(&mut stream, "221 2.0.0 Bye").await?;
                    return stream.flush().await;
                }
                _ => say(&mut stream, "502 5.5.1 Not known here").await?,
            }
            // A pipelined command is answered together with those before it.
            if stream.buffer().is_empty() {
                stream.flush().await?;
            }
        }
        Ok(())
    }

    /// Decides by the local part.
    async fn recipient(&self, text: &str, recipients: &mut Vec<String>) -> &'static str {
        let path = text.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        if path.starts_with("refuse") {
            return "550 5.1.1 No such mailbox here (the local part starts with \"refuse\")";
        }
        if path.starts_with("defer") {
            let mut deferrals = self.deferrals.lock().await;
            let seen = deferrals.entry(path.clone()).or_default();
            *seen += 1;
            if *seen <= DEFERRALS {
                return "451 4.2.1 Try again soon (the local part starts with \"defer\")";
            }
            // The next message to it is put off again.
            deferrals.remove(&path);
        }
        recipients.push(path);
        "250 2.1.5 Ok"
    }

    /// Writes a message so that it appears in the sink at once and whole.
    async fn keep(&self, content: &[u8]) -> io::Result<String> {
        let name = format!("{:08}.eml", self.count.fetch_add(1, Ordering::Relaxed) + 1);
        let beside = self.sink.with_extension(format!("part-{name}"));
        tokio::fs::write(&beside, content).await?;
        tokio::fs::rename(&beside, self.sink.join(&name)).await?;
        Ok(name)
    }
}

/// The highest number that an earlier run gave to a message in the sink.
fn last_number(sink: &Path) -> io::Result<u64> {
    let mut last = 0;
    for entry in std::fs::read_dir(sink)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".eml")?.parse().ok());
        last = last.max(number.unwrap_or(0));
    }
    Ok(last)
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(b"\r\n").await
}

/// One line with its line ending; nothing at the end of the stream.
async fn line<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<BufWriter<S>>,
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let block = stream.fill_buf().await?;
        if block.is_empty() {
            return Ok(None);
        }
        let end = memchr::memchr(b'\n', block).map(|at| at + 1);
        let taken = end.unwrap_or(block.len());
        line.extend_from_slice(&block[..taken]);
        stream.consume(taken);
        if end.is_some() {
            return Ok(Some(line));
        }
        if line.len() > LINE_OCTETS_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// Content up to the final dot, dot-stuffing undone.
async fn content<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<BufWriter<S>>,
) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    while let Some(line) = line(stream).await? {
        match line.as_slice() {
            b".\r\n" => return Ok(content),
            [b'.', rest @ ..] => content.extend_from_slice(rest),
            line => content.extend_from_slice(line),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn recipients_decide_what_happens() {
        let folder = tempfile::tempdir().unwrap();
        let sink = folder.path().join("sink");
        std::fs::create_dir(&sink).unwrap();
        std::fs::write(sink.join("00000007.eml"), "of an earlier run").unwrap();
        let address = Internet::serve(&sink).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let script = "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<refuse@c.example>\r\n\
                      RCPT TO:<defer1@c.example>\r\nRCPT TO:<ok@c.example>\r\nDATA\r\n\
                      A: b\r\n\r\n..dot\r\n.\r\nQUIT\r\n";
        stream.write_all(script.as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        for reply in ["550 5.1.1", "451 4.2.1", "354 ", "kept as 00000008.eml", "221 "] {
            assert!(said.contains(reply), "{reply} in {said}");
        }
        let kept = std::fs::read(sink.join("00000008.eml")).unwrap();
        assert_eq!(kept, b"A: b\r\n\r\n.dot\r\n");
    }
}
