//! Checks of the ways out: what receivers will think of them, found out before they do.
//!
//! ```text
//! local.rs    link, address, route, gateway         the broker's eyes, /proc
//! servers.rs  name servers, DNSSEC passed on        one question to each, by hand
//! ptr.rs      PTR = A = EHLO                        Names
//! senders.rs  SPF, DKIM, DMARC of sender domains    Names, sign/
//! lists.rs    DNSBLs                                Names
//! port.rs     port 25 to a host                     a greeting, EHLO, QUIT; never MAIL
//! probe.rs    again and again, with an alarm
//! attest.rs   a signed statement
//! ```
//!
//! **Invariant:** every question leaves by the egress that it is about.

mod attest;
mod lists;
mod local;
pub(in crate::service) mod port;
mod probe;
mod ptr;
mod senders;
mod servers;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;

use super::standing::Standing;
use crate::config::checked::{Config, Egress};
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::check::{CheckRow, EgressCheck, Finding, Grade};
use crate::control::office::Done;
use crate::dns::Names;
use crate::event::herald::Herald;
use crate::host::clock;
use crate::mail::address::Domain;
use crate::net::egress::EgressClient;
use crate::route::LookupError;

/// A check ends in this time, whatever does not answer: the command line waits 60 s.
const CHECK_TIMEOUT: Duration = Duration::from_secs(50);

/// What is wrong that a status line shows.
const WRONG_SHOWN: usize = 3;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// What is cheap enough for every beat: local things, name servers, PTR.
    Quick,
    /// Lists and the probe host too.
    Lists,
    /// Everything.
    Full,
}

/// Checks ways out and remembers what it found.
pub(super) struct Checker {
    standing: Arc<ArcSwap<Standing>>,
    client: EgressClient,
    names: Arc<dyn Names>,
    herald: Arc<Herald>,
    last: Mutex<BTreeMap<String, EgressCheck>>,
}

/// What all parts of one check share.
struct Round<'a> {
    config: &'a Config,
    egress: &'a Egress,
    client: &'a EgressClient,
    names: &'a dyn Names,
    /// The host whose port 25 must answer.
    to: Option<(Domain, u16)>,
}

impl Checker {
    pub(super) fn new(
        standing: Arc<ArcSwap<Standing>>,
        client: EgressClient,
        names: Arc<dyn Names>,
        herald: Arc<Herald>,
    ) -> Self {
        Self { standing, client, names, herald, last: Mutex::default() }
    }

    /// Checks one egress or all, everything.
    ///
    /// # Errors
    /// There is no such egress, or `to` is no host.
    pub(super) async fn check(
        &self,
        egress: Option<&str>,
        to: Option<&str>,
    ) -> Done<Vec<EgressCheck>> {
        let to = to.map(host_and_port).transpose()?;
        let config = self.standing.load().config.clone();
        let chosen: Vec<&Egress> = config
            .ways_out()
            .filter(|known| egress.is_none_or(|name| known.name == name))
            .collect();
        if let (Some(name), true) = (egress, chosen.is_empty()) {
            let text = format!("there is no egress {name}");
            return Err(Trouble::new(TroubleKind::NotFound, text));
        }
        let checks = chosen.iter().map(|egress| {
            let to = to.clone().or_else(|| config.checks.probe.clone());
            self.look(&config, egress, to, Depth::Full)
        });
        let checks = join_all(checks).await;
        for check in &checks {
            self.remember(check);
        }
        Ok(checks)
    }

    /// One look at one egress.
    async fn look(
        &self,
        config: &Config,
        egress: &Egress,
        to: Option<(Domain, u16)>,
        depth: Depth,
    ) -> EgressCheck {
        let config = &*config.outward();
        let round = Round { config, egress, client: &self.client, names: &*self.names, to };
        let findings = round.findings(depth).await;
        EgressCheck {
            egress: egress.name.clone(),
            device: egress.device.clone(),
            addresses: addresses(egress).map(|address| address.to_string()).collect(),
            ehlo: egress.ehlo.to_string(),
            at: clock::wall(),
            findings,
        }
    }

    /// Keeps the findings; those that a quicker look left out stay.
    fn remember(&self, check: &EgressCheck) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut check = check.clone();
        if let Some(before) = last.remove(&check.egress) {
            let fresh = |old: &Finding| {
                check.findings.iter().any(|f| f.item == old.item && f.subject == old.subject)
            };
            let kept: Vec<Finding> = before.findings.into_iter().filter(|f| !fresh(f)).collect();
            // Of a domain or list that the configuration no longer has, nothing is kept for long:
            // a full check begins anew.
            if check.count(Grade::Pass) > 0 && !check.findings.iter().any(|f| f.item == "spf") {
                check.findings.extend(kept);
            }
        }
        last.insert(check.egress.clone(), check);
    }

    /// What was found last, for the status.
    pub(super) fn rows(&self) -> Vec<CheckRow> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.values().map(row).collect()
    }
}

fn row(check: &EgressCheck) -> CheckRow {
    let mut wrong: Vec<&Finding> =
        check.findings.iter().filter(|finding| finding.grade >= Grade::Warn).collect();
    wrong.sort_by_key(|finding| std::cmp::Reverse(finding.grade));
    CheckRow {
        egress: check.egress.clone(),
        at: check.at,
        worst: check.worst(),
        passed: check.count(Grade::Pass) as u64,
        wrong: wrong.iter().take(WRONG_SHOWN).map(|finding| finding.text.clone()).collect(),
    }
}

impl Round<'_> {
    async fn findings(&self, depth: Depth) -> Vec<Finding> {
        let mut findings = local::link(self);
        if self.client.suspended(&self.egress.name).is_some() {
            // Nothing can be asked: names and lists keep what was found before.
            return findings;
        }
        let lists =
            async { if depth == Depth::Quick { Vec::new() } else { lists::check(self).await } };
        let port =
            async { if depth == Depth::Quick { Vec::new() } else { port::check(self).await } };
        let senders =
            async { if depth == Depth::Full { senders::check(self).await } else { Vec::new() } };
        let (heard, names, lists, port, senders) = tokio::join!(
            bounded("dns", servers::check(self)),
            bounded("ptr", ptr::check(self)),
            bounded("dnsbl", lists),
            bounded("port", port),
            bounded("spf", senders),
        );
        findings.push(local::gateway(self, &heard));
        for part in [heard, port, names, senders, lists] {
            findings.extend(part);
        }
        if depth == Depth::Full {
            findings.extend(bounded("plan", local::system(self)).await);
        }
        findings
    }
}

/// One part of a check, which must not keep the others waiting for ever.
async fn bounded(part: &str, work: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let done = tokio::time::timeout(CHECK_TIMEOUT, work).await;
    done.unwrap_or_else(|_| {
        let text = "this part of the check did not end in time";
        vec![unknown(part, "all", text)]
    })
}

/// `HOST[:PORT]`.
fn host_and_port(text: &str) -> Done<(Domain, u16)> {
    let odd = |why: String| Trouble::new(TroubleKind::Invalid, format!("{text:?}: {why}"));
    let (host, port) = match text.rsplit_once(':') {
        None => (text, 25),
        Some((host, port)) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, port.ok_or_else(|| odd("the port is no number".to_owned()))?)
        }
    };
    let host = Domain::parse(host).map_err(|cause| odd(cause.to_string()))?;
    Ok((host, port))
}

/// Source addresses, IPv4 first.
fn addresses(egress: &Egress) -> impl Iterator<Item = IpAddr> {
    let v4 = egress.ipv4.map(IpAddr::V4);
    v4.into_iter().chain(egress.ipv6.map(IpAddr::V6))
}

/// The egress as if it had only the family of `address`, so that names are asked for that one.
fn of_family(egress: &Egress, address: IpAddr) -> Egress {
    let mut alone = egress.clone();
    match address {
        IpAddr::V4(_) => alone.ipv6 = None,
        IpAddr::V6(_) => alone.ipv4 = None,
    }
    alone
}

fn finding(
    item: &str,
    subject: impl fmt::Display,
    grade: Grade,
    text: impl Into<String>,
) -> Finding {
    let (item, subject) = (item.to_owned(), subject.to_string());
    Finding { item, subject, grade, text: text.into(), remedy: None }
}

fn pass(item: &str, subject: impl fmt::Display, text: impl Into<String>) -> Finding {
    finding(item, subject, Grade::Pass, text)
}

fn unknown(item: &str, subject: impl fmt::Display, text: impl Into<String>) -> Finding {
    finding(item, subject, Grade::Unknown, text)
}

/// A finding that needs hands.
fn wrong(
    item: &str,
    subject: impl fmt::Display,
    grade: Grade,
    text: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding { remedy: Some(remedy.into()), ..finding(item, subject, grade, text) }
}

/// Why nobody knows, in words.
fn cause(error: &LookupError) -> String {
    match error {
        LookupError::NoSuchDomain => "the name does not exist".to_owned(),
        LookupError::Temporary(why) => format!("the name servers do not answer: {why}"),
        LookupError::Bogus(why) => format!("DNSSEC says that the answer is forged: {why}"),
        LookupError::Suspended(why) => format!("the egress is suspended: {why}"),
    }
}
