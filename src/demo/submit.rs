//! The demonstration's own application: submits one message over TLS with AUTH PLAIN.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream};

use crate::base::fault::Fault;
use crate::net::trust;

/// Who submits, and what.
#[derive(Clone, Debug)]
pub struct Submission<'a> {
    /// The listener with TLS from the first octet.
    pub address: SocketAddr,
    /// The name in its certificate.
    pub server_name: &'a str,
    /// The certificate to trust, PEM.
    pub ca_pem: &'a [u8],
    /// User name of the source.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
    /// MAIL FROM.
    pub reverse_path: &'a str,
    /// RCPT TO.
    pub forward_path: &'a str,
    /// Header and body with CRLF; no line may begin with a dot.
    pub content: &'a str,
}

/// Submits, telling every command and reply to `tell`; returns the reply to the content.
///
/// # Errors
/// If the connection fails or any command is refused; the fault carries the reply.
pub async fn submit(
    submission: &Submission<'_>,
    tell: &mut dyn FnMut(&str),
) -> Result<String, Fault> {
    let stream =
        trust::connect(submission.address, submission.server_name, submission.ca_pem).await?;
    let mut stream = BufStream::new(stream);
    let credentials = format!("\0{}\0{}", submission.user, submission.password);
    reply(&mut stream, "220", tell).await?;
    let steps = [
        ("EHLO application.shop.example".to_owned(), "250"),
        (format!("AUTH PLAIN {}", STANDARD.encode(credentials)), "235"),
        (format!("MAIL FROM:<{}>", submission.reverse_path), "250"),
        (format!("RCPT TO:<{}>", submission.forward_path), "250"),
        ("DATA".to_owned(), "354"),
    ];
    for (command, expected) in steps {
        let shown = if command.starts_with("AUTH") { "AUTH PLAIN …" } else { &command };
        tell(&format!("C: {shown}"));
        send(&mut stream, &format!("{command}\r\n")).await?;
        reply(&mut stream, expected, tell).await?;
    }
    send(&mut stream, &format!("{}.\r\n", submission.content)).await?;
    let accepted = reply(&mut stream, "250", tell).await?;
    send(&mut stream, "QUIT\r\n").await?;
    Ok(accepted)
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    text: &str,
) -> Result<(), Fault> {
    let fault = |e: std::io::Error| Fault::new("sending to", "the listener", e);
    stream.write_all(text.as_bytes()).await.map_err(fault)?;
    stream.flush().await.map_err(fault)
}

/// The last line of a reply, which must begin with `expected`; every line is told.
async fn reply<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    expected: &str,
    tell: &mut dyn FnMut(&str),
) -> Result<String, Fault> {
    loop {
        let mut line = String::new();
        let read = stream.read_line(&mut line).await;
        read.map_err(|e| Fault::new("reading from", "the listener", e))?;
        let line = line.trim_end();
        tell(&format!("S: {line}"));
        if line.as_bytes().get(3) == Some(&b'-') {
            continue;
        }
        if line.starts_with(expected) {
            return Ok(line.to_owned());
        }
        return Err(Fault::new("submitting to", "the listener", format!("heard {line:?}")));
    }
}
