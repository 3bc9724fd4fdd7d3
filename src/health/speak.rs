//! The gate as an application: submits one message by SMTP (RFC 5321), and says what it heard.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::base::id::QueueId;
use crate::event::harmless;

/// Patience for one reply: the final one waits for the disk.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// Patience for the connection: loopback answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Octets of one reply line (RFC 5321 4.5.3.1.5 allows 512).
const LINE_OCTETS_MAX: u64 = 4096;

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter<'a> {
    pub(super) reverse_path: &'a str,
    pub(super) forward_path: &'a str,
    /// With CRLF at the end of every line; dots are doubled on the way.
    pub(super) content: &'a str,
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The gateway has taken responsibility.
    Accepted(QueueId),
    /// It refused, at this command and with this reply.
    Refused(&'static str, String),
    /// There was no dialogue.
    Broken(String),
}

/// Submits `letter` at `listener`.
pub(super) fn submit(listener: SocketAddr, letter: &Letter<'_>) -> Heard {
    match talk(listener, letter) {
        Ok(heard) => heard,
        Err(cause) => Heard::Broken(format!("the listener at {listener}: {cause}")),
    }
}

fn talk(listener: SocketAddr, letter: &Letter<'_>) -> io::Result<Heard> {
    let stream = TcpStream::connect_timeout(&listener, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let greeting = reply(&mut stream)?;
    if !greeting.starts_with("220") {
        return Ok(Heard::Refused("the greeting", greeting));
    }
    let steps = [
        ("EHLO", "EHLO health.invalid".to_owned(), "250"),
        ("MAIL", format!("MAIL FROM:<{}>", letter.reverse_path), "250"),
        ("RCPT", format!("RCPT TO:<{}>", letter.forward_path), "250"),
        ("DATA", "DATA".to_owned(), "354"),
    ];
    for (name, command, expected) in steps {
        send(&mut stream, &format!("{command}\r\n"))?;
        let heard = reply(&mut stream)?;
        if !heard.starts_with(expected) {
            return Ok(Heard::Refused(name, heard));
        }
    }
    let mut content = letter.content.replace("\r\n.", "\r\n..");
    content.push_str(".\r\n");
    send(&mut stream, &content)?;
    let heard = reply(&mut stream)?;
    // What comes after the final reply changes nothing.
    let _ = send(&mut stream, "QUIT\r\n");
    if !heard.starts_with("250") {
        return Ok(Heard::Refused("the content", heard));
    }
    let id = heard.split_whitespace().find_map(|word| word.parse().ok());
    Ok(id.map_or_else(|| Heard::Broken(format!("no message id in {heard:?}")), Heard::Accepted))
}

fn send(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    stream.get_mut().write_all(text.as_bytes())
}

/// The last line of a reply, made harmless: it is shown on a console.
fn reply(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if stream.by_ref().take(LINE_OCTETS_MAX).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(harmless(line.trim_end()));
        }
    }
}
