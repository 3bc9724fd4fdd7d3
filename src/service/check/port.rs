//! Is port 25 open to the Internet? A connection to a host that agrees: greeting, EHLO, STARTTLS,
//! QUIT, and never MAIL.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Finding, Grade, Round, addresses, cause, of_family, pass, unknown, wrong};
use crate::base::limits::{PEER_REPLY_LINE_OCTETS_MAX, PEER_REPLY_LINES_MAX};
use crate::event::harmless;
use crate::host::clock;
use crate::net::egress::EgressError;
use crate::net::tls_client::{Rung, TlsClient, Verify, Wire};

/// A connection; a firewall that drops says nothing for ever.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
/// The greeting and each reply. Hosts that delay their greeting on purpose do so for seconds.
const REPLY_TIMEOUT: Duration = Duration::from_secs(12);
/// Letters of a greeting that are shown.
const SHOWN: usize = 80;

pub(super) async fn check(round: &Round<'_>) -> Vec<Finding> {
    let Some((host, port)) = &round.to else {
        let text = "no host was tried: name one with --to HOST, or in checks.probe";
        return vec![unknown("port", "none", text)];
    };
    let mut findings = Vec::new();
    for address in addresses(round.egress) {
        findings.push(one(round, address, host.as_str(), *port).await);
    }
    findings
}

async fn one(round: &Round<'_>, from: IpAddr, host: &str, port: u16) -> Finding {
    let subject = format!("{host}:{port} from {from}");
    let to = match destination(round, from, host).await {
        Ok(Some(to)) => to,
        Ok(None) => {
            let family = if from.is_ipv4() { "IPv4" } else { "IPv6" };
            return unknown("port", subject, format!("{host} has no {family} address"));
        }
        Err(why) => return unknown("port", subject, why),
    };
    let (at, begun) = (SocketAddr::new(to, port), clock::now());
    let connected = round.client.connect_tcp(&round.egress.name, at, CONNECT_TIMEOUT).await;
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) => return unconnected(&subject, at, &error),
    };
    let millis = clock::now().since(begun).as_millis();
    let tls = match TlsClient::new(round.config.trust.roots.as_deref()) {
        Ok(tls) => tls,
        Err(fault) => return unknown("port", subject, fault.to_string()),
    };
    match greet(stream, round.egress.ehlo.as_str(), host, &tls).await {
        Err(why) => wrong(
            "port",
            subject,
            Grade::Fail,
            format!("{at} was connected in {millis} ms, and then {why}"),
            "see whether something on the way intercepts port 25",
        ),
        Ok(heard) => judge(&subject, at, millis, from, &heard),
    }
}

/// The first address of the family that we try.
async fn destination(
    round: &Round<'_>,
    from: IpAddr,
    host: &str,
) -> Result<Option<IpAddr>, String> {
    if let Ok(address) = host.trim_matches(['[', ']']).trim_start_matches("IPv6:").parse::<IpAddr>()
    {
        return Ok(Some(address).filter(|address| address.is_ipv4() == from.is_ipv4()));
    }
    let alone = of_family(round.egress, from);
    let found = round.names.addresses(&alone, host).await.map_err(|error| cause(&error))?;
    Ok(match from {
        IpAddr::V4(_) => found.v4.first().map(|v4| IpAddr::V4(*v4)),
        IpAddr::V6(_) => found.v6.first().map(|v6| IpAddr::V6(*v6)),
    })
}

fn unconnected(subject: &str, at: SocketAddr, error: &EgressError) -> Finding {
    let fail = |text: String, remedy: &str| wrong("port", subject, Grade::Fail, text, remedy);
    match error {
        EgressError::TimedOut => fail(
            format!("{at} did not answer in {} s", CONNECT_TIMEOUT.as_secs()),
            "ask your provider to open port 25 outwards; many keep it shut until they are asked",
        ),
        EgressError::Refused => fail(
            format!("{at} refuses connections"),
            "see that the host listens, and that no firewall on the way answers in its place",
        ),
        EgressError::Unreachable(why) => fail(
            format!("{at} cannot be reached: {why}"),
            "see the router and your provider's routes",
        ),
        other => unknown("port", subject, format!("{at} was not tried: {other}")),
    }
}

/// What a host said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    greeting: String,
    /// The host's first words to EHLO; some tell who they think we are.
    hello: String,
    starttls: Starttls,
}

/// What came of encryption.
#[derive(Debug, Default, PartialEq, Eq)]
enum Starttls {
    /// The host does not offer it.
    #[default]
    NotOffered,
    /// Version and suite, and whether authorities vouch for the host's certificate.
    Done { suite: String, vouched: bool },
    /// It is offered, and does not work.
    Broken(String),
}

/// Greeting, EHLO, STARTTLS, QUIT.
async fn greet(
    stream: TcpStream,
    ehlo: &str,
    host: &str,
    tls: &TlsClient,
) -> Result<Heard, String> {
    let mut stream = BufReader::new(stream);
    let (code, greeting) = reply(&mut stream).await?;
    let first = |lines: &[String]| lines.first().cloned().unwrap_or_default();
    if code != 220 {
        // A host that does not want us is polite enough to be told so.
        let _gone = stream.get_mut().write_all(b"QUIT\r\n").await;
        return Err(format!("the host said {code} {}", shorten(&first(&greeting))));
    }
    let hello = format!("EHLO {ehlo}\r\n");
    stream.get_mut().write_all(hello.as_bytes()).await.map_err(|error| error.to_string())?;
    let (code, offers) = reply(&mut stream).await?;
    if code != 250 {
        return Err(format!("EHLO {ehlo} was answered with {code} {}", shorten(&first(&offers))));
    }
    let offered = offers.iter().any(|offer| offer.trim().eq_ignore_ascii_case("STARTTLS"));
    let starttls = if offered {
        encrypt(stream, host, tls).await
    } else {
        // Whether the host hears it is of no account.
        let _gone = stream.get_mut().write_all(b"QUIT\r\n").await;
        let _farewell = reply(&mut stream).await;
        Starttls::NotOffered
    };
    Ok(Heard { greeting: shorten(&first(&greeting)), hello: first(&offers), starttls })
}

/// STARTTLS, the handshake, and QUIT inside.
async fn encrypt(mut stream: BufReader<TcpStream>, host: &str, tls: &TlsClient) -> Starttls {
    let asked = stream.get_mut().write_all(b"STARTTLS\r\n").await;
    let answered = match asked {
        Ok(()) => reply(&mut stream).await,
        Err(error) => Err(error.to_string()),
    };
    match answered {
        Ok((220, _)) if stream.buffer().is_empty() => {}
        Ok((220, _)) => return Starttls::Broken("somebody speaks before the handshake".to_owned()),
        Ok((code, _)) => return Starttls::Broken(format!("STARTTLS was answered with {code}")),
        Err(why) => return Starttls::Broken(why),
    }
    let handshake = tls.connect(host, Rung::Classical, &Verify::Nothing, stream.into_inner());
    match tokio::time::timeout(REPLY_TIMEOUT, handshake).await {
        Err(_) => Starttls::Broken("the handshake has no end".to_owned()),
        Ok(Err(failure)) => Starttls::Broken(failure.to_string()),
        Ok(Ok(secured)) => {
            let vouched = secured.verified;
            let mut wire = Wire::Tls(secured.stream);
            let suite = wire.tls();
            let farewell = async {
                wire.write_all(b"QUIT\r\n").await?;
                wire.flush().await?;
                wire.read(&mut [0; 512]).await
            };
            // Whether the host hears it is of no account.
            let _gone = tokio::time::timeout(REPLY_TIMEOUT, farewell).await;
            Starttls::Done { suite, vouched }
        }
    }
}

/// One reply: its code and its lines.
pub(in crate::service) async fn reply<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
) -> Result<(u16, Vec<String>), String> {
    let mut lines = Vec::new();
    while lines.len() < PEER_REPLY_LINES_MAX {
        let mut line = Vec::new();
        let mut bounded = (&mut *stream).take(PEER_REPLY_LINE_OCTETS_MAX as u64);
        let read = bounded.read_until(b'\n', &mut line);
        let read = tokio::time::timeout(REPLY_TIMEOUT, read).await;
        match read.map_err(|_| "the host said nothing for too long")? {
            Ok(0) => return Err("the host hung up".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        let line = harmless(String::from_utf8_lossy(&line).trim_end());
        let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
        let code =
            code.ok_or_else(|| format!("the host does not speak SMTP: {}", shorten(&line)))?;
        lines.push(line.get(4..).unwrap_or_default().to_owned());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok((code, lines));
        }
    }
    Err("the reply has no end".to_owned())
}

fn judge(subject: &str, at: SocketAddr, millis: u128, from: IpAddr, heard: &Heard) -> Finding {
    if let Some(seen) = seen_as(&heard.hello).filter(|seen| *seen != from) {
        return wrong(
            "port",
            subject,
            Grade::Fail,
            format!("{at} sees us as {seen}, not as {from}: something translates our address"),
            format!("end the translation, or check PTR and SPF of {seen} too"),
        );
    }
    let greeting = &heard.greeting;
    let warn = |text: String, remedy: &str| wrong("port", subject, Grade::Warn, text, remedy);
    match &heard.starttls {
        Starttls::Done { suite, vouched } => {
            let vouched =
                if *vouched { "its certificate is vouched for" } else { "nobody vouches" };
            let text = format!("{at} answers in {millis} ms, {suite}, {vouched}: {greeting}");
            pass("port", subject, text)
        }
        Starttls::NotOffered => warn(
            format!("{at} answers in {millis} ms and offers no STARTTLS: {greeting}"),
            "if that host is known to offer it, something on the way strips it",
        ),
        Starttls::Broken(why) => warn(
            format!("{at} answers in {millis} ms and offers STARTTLS, but {why}"),
            "if other ways to that host can encrypt, something on this one breaks it",
        ),
    }
}

/// The address that a host greets, if it says one in brackets.
fn seen_as(hello: &str) -> Option<IpAddr> {
    let (_, rest) = hello.split_once('[')?;
    let (inside, _) = rest.split_once(']')?;
    inside.trim_start_matches("IPv6:").parse().ok()
}

fn shorten(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_tell_who_they_see() {
        let seen = |hello: &str| seen_as(hello).map(|address| address.to_string());
        assert_eq!(
            seen("mx.google.com at your service, [192.0.2.7]").as_deref(),
            Some("192.0.2.7")
        );
        assert_eq!(seen("Hello [IPv6:2001:db8::7]").as_deref(), Some("2001:db8::7"));
        assert_eq!(seen("mx.example.net"), None);
        assert_eq!(seen("mx [example"), None);
    }
}
