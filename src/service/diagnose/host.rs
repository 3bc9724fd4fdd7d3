//! tls and smtp: a connection to a host, and what it shows of itself.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Outlook, Report, Target, lost, shorten, unconnected};
use crate::control::check::Grade;
use crate::host::clock;
use crate::mail::address::Domain;
use crate::net::papers::Paper;
use crate::net::tls_client::{Rung, TlsClient, Verify, Wire};
use crate::route::special::Origin;
use crate::route::sts::Mode;
use crate::route::trust::{Dane, Sts, bases, found};
use crate::route::{Host, MxAnswer};
use crate::service::check::port::reply;

/// A connection, and a handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(8);

/// Days that a certificate should still hold.
const DAYS_FEW: i64 = 14;

/// A host and what is known of its names.
struct Called {
    /// Its name, for SNI and certificates.
    host: Host,
    /// The domain of recipients that it stands for.
    domain: Option<Domain>,
    mx_secure: bool,
}

impl Outlook<'_> {
    pub(super) async fn tls(&self, aim: &Target, report: &Report) {
        let port = aim.port.unwrap_or(self.egress.https_port);
        let Some(stream) = self.call(aim, port, report).await else { return };
        let Some(client) = self.tls_client(report) else { return };
        if let Some(wire) = handshake(&client, &aim.host, stream, report).await {
            certificates(&client, &aim.host, &wire, report);
            report.pass("end", "nothing was asked for, the connection is closed");
        }
    }

    pub(super) async fn smtp(&self, aim: &Target, report: &Report) {
        let Some(called) = self.callee(aim, report).await else { return };
        let host = Target { host: called.host.name.clone(), ..aim.clone() };
        let Some(stream) = self.call(&host, called.host.port, report).await else { return };
        let mut stream = BufReader::new(stream);
        let Some(offers) = greet(&mut stream, self.egress.ehlo.as_str(), report).await else {
            return;
        };
        if !offers.iter().any(|offer| offer.trim().eq_ignore_ascii_case("STARTTLS")) {
            report.step("starttls", Grade::Warn, "it offers no STARTTLS: mail goes in clear text");
            report.advise("if that host is known to offer it, something on the way strips it");
            quit(&mut stream, report).await;
            return;
        }
        if let Err(why) = starttls(&mut stream).await {
            let next = "if other ways to that host can encrypt, something on this one breaks it";
            return report.fail("starttls", why, next);
        }
        let Some(client) = self.tls_client(report) else { return };
        let name = &called.host.name;
        let Some(wire) = handshake(&client, name, stream.into_inner(), report).await else {
            return;
        };
        let verified = certificates(&client, name, &wire, report);
        self.dane(&client, &called, &wire, report).await;
        self.policy(&called, verified, report).await;
        let mut stream = BufReader::new(wire);
        if hello(&mut stream, self.egress.ehlo.as_str(), "ehlo 2", report).await.is_some() {
            quit(&mut stream, report).await;
        }
    }

    fn tls_client(&self, report: &Report) -> Option<TlsClient> {
        TlsClient::new(self.config.trust.roots.as_deref())
            .map_err(|fault| report.fail("tls", fault.to_string(), "mend trust.roots"))
            .ok()
    }

    /// The first address that can be connected.
    async fn call(&self, aim: &Target, port: u16, report: &Report) -> Option<TcpStream> {
        let addresses = self.addresses(aim, report).await;
        let last = addresses.len().saturating_sub(1).min(1);
        for (place, address) in addresses.iter().take(2).enumerate() {
            let (to, begun) = (SocketAddr::new(*address, port), clock::now());
            match self.client.connect_tcp(&self.egress.name, to, CONNECT_TIMEOUT).await {
                Ok(stream) => {
                    let took = clock::now().since(begun).as_millis();
                    let from = stream.local_addr().map(|from| from.ip().to_string());
                    let from = from.unwrap_or_default();
                    report.pass("connect", format!("{to} in {took} ms, from {from}"));
                    return Some(stream);
                }
                Err(error) if place < last => {
                    report.step("connect", Grade::Warn, format!("{to}: {error}"));
                }
                Err(error) => unconnected(report, "connect", to, &error),
            }
        }
        None
    }

    /// The host that mail for the target goes to: its best MX, or itself.
    async fn callee(&self, aim: &Target, report: &Report) -> Option<Called> {
        let port = aim.port.unwrap_or(self.egress.mx_port);
        let itself = |origin| Host { name: aim.host.clone(), address: None, port, origin };
        // Who names a port, or an address, means that host.
        if aim.address.is_some() || aim.port.is_some() {
            let host = Host { address: aim.address, ..itself(Origin::RouteName) };
            return Some(Called { host, domain: None, mx_secure: false });
        }
        if !self.has_servers(report) {
            return None;
        }
        let answer = match self.names.mx(self.egress, &aim.host).await {
            Ok(answer) => answer,
            Err(error) => {
                lost(report, "mx", &aim.host, &error);
                return None;
            }
        };
        let MxAnswer { mut hosts, secure: mx_secure } = answer;
        hosts.sort();
        let domain = Domain::parse(&aim.host).ok();
        match hosts.into_iter().next() {
            None => {
                report.pass("mx", format!("{} has no MX records: it is its own host", aim.host));
                Some(Called { host: itself(Origin::Implicit), domain, mx_secure })
            }
            Some((_, name)) if name.is_empty() => {
                let text = format!("{} takes no mail at all (null MX)", aim.host);
                report.fail("mx", text, "mail to it bounces, as its owner wants");
                None
            }
            Some((preference, name)) => {
                let name = name.to_ascii_lowercase();
                report.pass("mx", format!("mail for {} goes to {name} ({preference})", aim.host));
                let host = Host { name, ..itself(Origin::Mx) };
                Some(Called { host, domain, mx_secure })
            }
        }
    }

    /// What DANE would say of the certificate.
    async fn dane(&self, client: &TlsClient, called: &Called, wire: &Wire, report: &Report) {
        if called.host.address.is_some() || self.egress.resolvers.is_empty() {
            return;
        }
        let Ok(addresses) = self.names.addresses(self.egress, &called.host.name).await else {
            return;
        };
        let hop = called.domain.as_ref().map_or(called.host.name.as_str(), Domain::as_str);
        let asked = bases(self.config.trust.dane, &called.host, called.mx_secure, &addresses);
        for base in &asked {
            let answer = self.names.tlsa(self.egress, base, called.host.port).await;
            match found(base, &called.host, hop, answer) {
                Ok(None | Some(Dane::Absent)) => {}
                Ok(Some(Dane::Usable { records, names })) => {
                    let verify = Verify::Dane { records, names };
                    return match client.would_meet(base, &verify, wire) {
                        Ok(()) => report.pass("dane", "the TLSA records name this certificate"),
                        Err(failure) => report.fail(
                            "dane",
                            format!("mail waits: {failure}"),
                            "the owner of the host must publish TLSA records that fit",
                        ),
                    };
                }
                Ok(Some(Dane::Unusable { .. })) => {
                    let text = "there are TLSA records and none can be used: TLS is demanded";
                    return report.step("dane", Grade::Warn, text);
                }
                Ok(Some(Dane::Failed { cause })) => {
                    let next = "the owner of the name must mend DNSSEC; until then mail waits";
                    return report.fail("dane", format!("its records are unknown: {cause}"), next);
                }
                Err(cause) => {
                    let next = "see `postern egress list`";
                    return report.fail("dane", format!("it cannot be asked: {cause}"), next);
                }
            }
        }
        let why = if asked.is_empty() { "its names are not proved" } else { "it has no records" };
        report.step("dane", Grade::Pass, format!("does not apply: {why}"));
    }

    /// What MTA-STS would say.
    async fn policy(&self, called: &Called, verified: bool, report: &Report) {
        let (Some(trust), Some(domain)) = (self.trust, &called.domain) else { return };
        match trust.sts(self.egress, domain).await {
            Sts::Absent => report.pass("mta-sts", format!("{domain} has no policy")),
            Sts::Lost { cause, .. } => {
                let text = format!("{domain} has a policy that cannot be had: {cause}");
                report.step("mta-sts", Grade::Warn, text);
            }
            Sts::Policy(policy) => {
                let good = policy.names(&called.host.name) && verified;
                let mode = policy.mode.as_str();
                let text = match (good, verified) {
                    (true, _) => format!("the policy ({mode}) is met"),
                    (false, true) => format!("the policy ({mode}) does not name this host"),
                    (false, false) => {
                        format!(
                            "the policy ({mode}) is not met: nobody vouches for the certificate"
                        )
                    }
                };
                match (good, policy.mode) {
                    (true, _) => report.pass("mta-sts", text),
                    (false, Mode::Enforce) => {
                        let next = "mail waits until the owner of the domain mends policy or host";
                        report.fail("mta-sts", text, next);
                    }
                    (false, _) => report.step("mta-sts", Grade::Warn, text),
                }
            }
        }
    }
}

/// The greeting and the first EHLO; what is offered.
async fn greet(
    stream: &mut BufReader<TcpStream>,
    ehlo: &str,
    report: &Report,
) -> Option<Vec<String>> {
    match reply(stream).await {
        Ok((220, lines)) => report.pass("greeting", first(&lines)),
        Ok((code, lines)) => {
            let next = "the host does not want this address: see `postern egress check`";
            report.fail("greeting", format!("{code} {}", first(&lines)), next);
            quit(stream, report).await;
            return None;
        }
        Err(why) => {
            let next = "see whether something on the way intercepts the port";
            report.fail("greeting", why, next);
            return None;
        }
    }
    hello(stream, ehlo, "ehlo", report).await
}

async fn hello<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    ehlo: &str,
    step: &str,
    report: &Report,
) -> Option<Vec<String>> {
    let said = format!("EHLO {ehlo}\r\n");
    let next = "see that the EHLO name is the PTR name of the address: `postern egress check`";
    if let Err(error) = send(stream, &said).await {
        report.fail(step, error, next);
        return None;
    }
    match reply(stream).await {
        Ok((250, lines)) => {
            let offers: Vec<&str> = lines.iter().skip(1).map(String::as_str).collect();
            report.pass(step, format!("{}; offers {}", first(&lines), offers.join(", ")));
            Some(lines)
        }
        Ok((code, lines)) => {
            report.fail(step, format!("{code} {}", first(&lines)), next);
            None
        }
        Err(why) => {
            report.fail(step, why, next);
            None
        }
    }
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    line: &str,
) -> Result<(), String> {
    let inner = stream.get_mut();
    inner.write_all(line.as_bytes()).await.map_err(|error| error.to_string())?;
    inner.flush().await.map_err(|error| error.to_string())
}

async fn starttls(stream: &mut BufReader<TcpStream>) -> Result<(), String> {
    send(stream, "STARTTLS\r\n").await?;
    match reply(stream).await? {
        (220, _) if stream.buffer().is_empty() => Ok(()),
        (220, _) => Err("somebody speaks before the handshake".to_owned()),
        (code, lines) => Err(format!("STARTTLS was answered with {code} {}", first(&lines))),
    }
}

async fn quit<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, report: &Report) {
    // Whether the host hears it is of no account.
    let _gone = send(stream, "QUIT\r\n").await;
    match reply(stream).await {
        Ok((code, _)) => report.pass("quit", format!("answered with {code}; no mail was sent")),
        Err(_) => report.pass("quit", "the host hung up; no mail was sent"),
    }
}

fn first(lines: &[String]) -> String {
    shorten(lines.first().map_or("", String::as_str))
}

/// TLS with whoever answers.
async fn handshake(
    client: &TlsClient,
    host: &str,
    stream: TcpStream,
    report: &Report,
) -> Option<Wire> {
    let begun = clock::now();
    let work = client.connect(host, Rung::PostQuantum, &Verify::Nothing, stream);
    let next = "see whether other ways to that host can encrypt; then something on this one \
                breaks it";
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, work).await {
        Err(_) => {
            report.fail("tls", "the handshake has no end", next);
            None
        }
        Ok(Err(failure)) => {
            report.fail("tls", failure.to_string(), next);
            None
        }
        Ok(Ok(secured)) => {
            let wire = Wire::Tls(secured.stream);
            let took = clock::now().since(begun).as_millis();
            report.pass("tls", format!("{} in {took} ms", wire.tls()));
            Some(wire)
        }
    }
}

/// The chain, and whether the Web's authorities vouch for it.
fn certificates(client: &TlsClient, host: &str, wire: &Wire, report: &Report) -> bool {
    let now = clock::wall();
    for (place, paper) in wire.papers().iter().enumerate() {
        let step = format!("certificate {}", place + 1);
        report.step(step, freshness(paper.days_left(now)), words(paper));
    }
    let verify = Verify::WebPki { names: vec![host.to_owned()] };
    match client.would_meet(host, &verify, wire) {
        Ok(()) => {
            report.pass("trust", format!("authorities vouch for {host}"));
            true
        }
        Err(failure) => {
            report.step("trust", Grade::Warn, failure.to_string());
            report.advise(
                "mail that needs no proof is encrypted all the same; who needs it names an \
                 authority in trust.roots, or asks the owner of the host for TLSA records",
            );
            false
        }
    }
}

fn freshness(days_left: i64) -> Grade {
    match days_left {
        ..0 => Grade::Fail,
        0..DAYS_FEW => Grade::Warn,
        _ => Grade::Pass,
    }
}

fn words(paper: &Paper) -> String {
    let names = match paper.names.as_slice() {
        [] => String::new(),
        names => format!(" for {}", shorten(&names.join(", "))),
    };
    format!(
        "{}{names}, by {}, {}, until {}",
        shorten(&paper.subject),
        shorten(&paper.issuer),
        paper.key,
        paper.not_after.rfc3339()
    )
}
