//! `postern diagnose`: one thing is tried by one interface or egress, step by step, in plain words.
//!
//! ```text
//! echo.rs       ping, trace        ping sockets
//! lookup.rs     dns, mx            the name servers of that way, and no others
//! host.rs       tls, smtp          connect, greeting, EHLO, STARTTLS, certificate, EHLO, QUIT
//! interface.rs  the same by an interface that is no way out, as a unit of its own
//! ```
//!
//! **Invariant:** every packet leaves by the way that was asked for. There is no other one to fall
//! back to: sockets come from the broker, or from the same code with one interface in its orders.
//!
//! **Invariant:** MAIL, RCPT and DATA are never said.

mod echo;
mod host;
pub mod interface;
mod lookup;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::checked::{Config, Egress};
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::check::Grade;
use crate::control::diagnose::{Diagnosis, Test, TestStep};
use crate::control::office::Done;
use crate::dns::Names;
use crate::event::harmless;
use crate::mail::address::Domain;
use crate::net::egress::{EgressClient, EgressError};
use crate::route::LookupError;
use crate::service::trust::Trust;

/// A diagnosis ends in this time, whatever does not answer.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest target: a domain name and a port.
const TARGET_OCTETS_MAX: usize = 262;

/// Letters of what a host says that are shown.
const SHOWN: usize = 120;

/// One way to the outside, and the means to try things by it.
pub struct Outlook<'a> {
    /// The configuration; `outward`, so that routes that name hosts hold.
    pub config: &'a Config,
    /// The way.
    pub egress: &'a Egress,
    /// Its sockets.
    pub client: &'a EgressClient,
    /// Its names.
    pub names: &'a dyn Names,
    /// Policies of domains; none: they are not asked for.
    pub trust: Option<&'a Trust>,
    /// What the role is called in the answer.
    pub role: String,
}

/// Whom a test is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    /// A name in its normal form, or an address as text.
    host: String,
    address: Option<IpAddr>,
    port: Option<u16>,
}

impl Target {
    fn read(text: &str) -> Done<Self> {
        let odd = |why: &str| {
            let text = format!("{:?} is no host: {why}", harmless(text));
            Err(Trouble::new(TroubleKind::Invalid, text))
        };
        let text = text.trim();
        if text.is_empty() || text.len() > TARGET_OCTETS_MAX {
            return odd("write a name or an address, and a port behind a colon if it matters");
        }
        let plain = text.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = plain.parse::<IpAddr>() {
            let (host, address) = (address.to_string(), Some(address));
            return Ok(Self { host, address, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, None),
            Some((host, port)) => match port.parse::<u16>() {
                Ok(port) if port != 0 => (host, Some(port)),
                _ => return odd("the port is no number from 1 to 65535"),
            },
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), address: Some(address), port });
        }
        match Domain::parse(host.trim_end_matches('.')) {
            Ok(name) => Ok(Self { host: name.to_string(), address: None, port }),
            Err(cause) => odd(&cause.to_string()),
        }
    }
}

/// What has been found so far; kept when the time is over.
struct Report {
    steps: Mutex<Vec<TestStep>>,
    next: Mutex<Option<String>>,
}

impl Report {
    fn new() -> Self {
        Self { steps: Mutex::default(), next: Mutex::default() }
    }

    fn step(&self, step: impl Into<String>, grade: Grade, text: impl AsRef<str>) {
        let step = TestStep::new(step, grade, harmless(text.as_ref()));
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    fn pass(&self, step: impl Into<String>, text: impl AsRef<str>) {
        self.step(step, Grade::Pass, text);
    }

    /// Something is wrong, and this is what to do; the first such advice counts.
    fn fail(&self, step: impl Into<String>, text: impl AsRef<str>, next: &str) {
        self.step(step, Grade::Fail, text);
        self.advise(next);
    }

    fn advise(&self, next: &str) {
        let mut known = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert_with(|| next.to_owned());
    }
}

impl Outlook<'_> {
    /// Does a test.
    ///
    /// # Errors
    /// The target is none.
    pub async fn run(&self, test: Test, target: &str) -> Done<Diagnosis> {
        let aim = Target::read(target)?;
        let report = Report::new();
        let work = async {
            match test {
                Test::Ping => self.ping(&aim, &report).await,
                Test::Trace => self.trace(&aim, &report).await,
                Test::Dns => self.dns(&aim, &report).await,
                Test::Mx => self.mx(&aim, &report).await,
                Test::Tls => self.tls(&aim, &report).await,
                Test::Smtp => self.smtp(&aim, &report).await,
            }
        };
        if tokio::time::timeout(TEST_TIMEOUT, work).await.is_err() {
            let secs = TEST_TIMEOUT.as_secs();
            report.fail(
                "time",
                format!("the test did not come to its end in {secs} s"),
                "look at the last step that is shown: what it waits for does not answer",
            );
        }
        let steps = report.steps.into_inner().unwrap_or_else(PoisonError::into_inner);
        let next = report.next.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Diagnosis {
            test,
            role: self.role.clone(),
            target: target.trim().to_owned(),
            steps,
            next,
        })
    }

    /// Addresses of a target in the families that this way has; the step says what was found.
    async fn addresses(&self, aim: &Target, report: &Report) -> Vec<IpAddr> {
        let (v4, v6) = (self.egress.ipv4.is_some(), self.egress.ipv6.is_some());
        let usable = |address: &IpAddr| if address.is_ipv4() { v4 } else { v6 };
        let found = match aim.address {
            Some(address) => vec![address],
            None if self.has_servers(report) => {
                match self.names.addresses(self.egress, &aim.host).await {
                    Ok(found) => {
                        let v4 = found.v4.into_iter().map(IpAddr::V4);
                        v4.chain(found.v6.into_iter().map(IpAddr::V6)).collect()
                    }
                    Err(error) => {
                        lost(report, "address", &aim.host, &error);
                        return Vec::new();
                    }
                }
            }
            None => return Vec::new(),
        };
        let usable: Vec<IpAddr> = found.iter().copied().filter(usable).collect();
        if usable.is_empty() && found.is_empty() {
            let text = format!("{} has no address", aim.host);
            report.fail("address", text, "see whether the name is written right");
        } else if usable.is_empty() {
            let text =
                format!("{} has only addresses of a family that {} lacks", aim.host, self.role);
            report.fail("address", text, "give the interface an address of that family");
        } else if aim.address.is_none() {
            report.pass("address", format!("{} is {}", aim.host, list(&usable)));
        }
        usable
    }

    /// Names are asked for by this way alone; without servers nobody is asked.
    fn has_servers(&self, report: &Report) -> bool {
        if !self.egress.resolvers.is_empty() {
            return true;
        }
        let text = format!("{} has no name servers of its own", self.role);
        report.fail("names", text, "ask for an address instead, or give it name servers (dns)");
        false
    }
}

/// A name that was not found.
fn lost(report: &Report, step: &str, name: &str, error: &LookupError) {
    match error {
        LookupError::NoSuchDomain => report.fail(
            step,
            format!("{name} does not exist"),
            "see whether the name is written right; if it is new, DNS may need hours",
        ),
        LookupError::Temporary(why) => report.fail(
            step,
            format!("the name servers do not say what {name} is: {why}"),
            "ping the name servers by the same way; if they answer, name another one",
        ),
        LookupError::Bogus(why) => report.fail(
            step,
            format!("DNSSEC says that the answer about {name} is forged or broken: {why}"),
            "the owner of the name must mend it; until then mail to it waits",
        ),
        LookupError::Suspended(why) => report.fail(
            step,
            format!("nothing can be asked by this way: {why}"),
            "see `postern egress list` and the cable",
        ),
    }
}

/// A connection that was not made.
fn unconnected(report: &Report, step: &str, to: impl std::fmt::Display, error: &EgressError) {
    match error {
        EgressError::TimedOut => report.fail(
            step,
            format!("{to} does not answer"),
            "trace the way; if it ends at your provider, ask there whether the port is open",
        ),
        EgressError::Refused => report.fail(
            step,
            format!("{to} refuses connections"),
            "see that the host listens on that port, and that no firewall answers in its place",
        ),
        EgressError::Unreachable(why) => report.fail(
            step,
            format!("{to} cannot be reached: {why}"),
            "trace the way; see the router and your provider's routes",
        ),
        EgressError::NotAllowed(why) => report.fail(
            step,
            format!("{to} is not tried by this way: {why}"),
            "a way out reaches the Internet's mail and policy ports alone; networks of your own \
             are named in allow_networks",
        ),
        EgressError::Suspended(why) => report.fail(
            step,
            format!("{to} cannot be tried: {why}"),
            "see the cable, the address and the router of this interface",
        ),
    }
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn shorten(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// The egress that a role names: by its own name, or by its interface.
///
/// # Errors
/// There is none.
pub fn way_of<'c>(config: &'c Config, role: &str) -> Done<&'c Egress> {
    let named = config.egresses.iter().find(|egress| egress.name == role);
    let on = || config.egresses.iter().find(|egress| egress.device.as_deref() == Some(role));
    named.or_else(on).ok_or_else(|| {
        let known: Vec<&str> = config.egresses.iter().map(|e| e.name.as_str()).collect();
        let text = format!("{:?} is no egress; there are {}", harmless(role), known.join(", "));
        Trouble::new(TroubleKind::NotFound, text)
    })
}

/// Does a test by an egress of a running gateway.
///
/// # Errors
/// There is no such egress, or the target is none.
pub async fn by_egress(
    config: &Config,
    (client, names): (&EgressClient, &dyn Names),
    trust: &Arc<Trust>,
    (test, role, target): (Test, &str, &str),
) -> Done<Diagnosis> {
    let config = &*config.outward();
    let egress = way_of(config, role)?;
    let trust = Some(&**trust);
    let outlook = Outlook { config, egress, client, names, trust, role: egress.name.clone() };
    outlook.run(test, target).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_perhaps_a_port() {
        let read = |text: &str| Target::read(text).map(|t| (t.host, t.address.is_some(), t.port));
        let name = |host: &str, port| Ok((host.to_owned(), false, port));
        let address = |host: &str, port| Ok((host.to_owned(), true, port));
        assert_eq!(read("mx.example.org"), name("mx.example.org", None));
        assert_eq!(read("MX.Example.org.:25"), name("mx.example.org", Some(25)));
        assert_eq!(read("192.0.2.1"), address("192.0.2.1", None));
        assert_eq!(read("192.0.2.1:443"), address("192.0.2.1", Some(443)));
        assert_eq!(read("2001:db8::1"), address("2001:db8::1", None));
        assert_eq!(read("[2001:db8::1]:25"), address("2001:db8::1", Some(25)));
        for bad in ["", "-", "a b", "x:0", "x:port", "--help", &"x".repeat(300), "a\u{1b}[2J"] {
            assert_eq!(read(bad).unwrap_err().kind, TroubleKind::Invalid, "{bad}");
        }
    }
}
