//! Transport security: which policies count, exceptions with an end, reports.

use super::super::Surroundings;
use super::super::checked::{
    DaneMode, DkimKey, Remember, RouteMatch, TlsFloor, TlsOverride, TlsReports, TrustConfig,
};
use super::super::complaint::Desk;
use super::super::file::{Entry, Section};
use super::egress::route_match;
use super::gateway::readable;
use super::source::moment;
use super::{absolute, host_name, keyword};
use crate::base::limits::TLS_OVERRIDE_SPAN_MAX;
use crate::base::time::WallTime;
use crate::mail::address::Mailbox;

/// Characters of a reason or of an organization's name: one line.
const TEXT_CHARS_MAX: usize = 200;

/// What the document says about DANE, MTA-STS, overrides and reports.
pub(super) fn trust(
    top: &mut Section<'_>,
    dkim: &[DkimKey],
    desk: &Desk,
    surroundings: &dyn Surroundings,
) -> TrustConfig {
    let mut trust = TrustConfig::default();
    let Some(mut section) = top.find("trust").and_then(|entry| entry.section()) else {
        return trust;
    };
    let remedy = "Write \"auto\", \"on\" or \"off\"";
    if let Some(mode) = section.parsed("dane", remedy, keyword::<DaneMode>) {
        trust.dane = mode;
    }
    if section.find("mta_sts").is_some() {
        trust.mta_sts = section.flag("mta_sts");
    }
    let remedy = "Write \"alarm\" or \"enforce\"";
    if let Some(remember) = section.parsed("remember", remedy, keyword::<Remember>) {
        trust.remember = remember;
    }
    let remedy = "Write the path of a PEM file with certificates of authorities";
    trust.roots = section.parsed("roots", remedy, absolute);
    readable(&mut section, "roots", trust.roots.as_deref(), surroundings);
    let remedy =
        "Write zones that only your own name servers know, for example [\"corp.internal\"]";
    trust.unsigned = section.list("unsigned", remedy, host_name);
    let remedy = "Write the path of a file with DNSKEY records of the root";
    trust.anchors = section.parsed("anchors", remedy, absolute);
    readable(&mut section, "anchors", trust.anchors.as_deref(), surroundings);
    trust.overrides = overrides(&mut section, desk, surroundings.now());
    trust.reports = section
        .find("reports")
        .and_then(|entry| entry.section())
        .and_then(|section| reports(section, dkim, desk));
    section.close();
    trust
}

/// Exceptions, the most specific first.
fn overrides(section: &mut Section<'_>, desk: &Desk, now: Option<WallTime>) -> Vec<TlsOverride> {
    let Some(list) = section.find("override") else { return Vec::new() };
    let mut overrides: Vec<TlsOverride> = Vec::new();
    let mut known: Vec<RouteMatch> = Vec::new();
    for entry in list.items("Write [[trust.override]] with domain, tls, reason and expires") {
        let Some(section) = entry.section() else { continue };
        if let Some(one) = exception(section, &entry, desk, now, &mut known) {
            overrides.push(one);
        }
    }
    overrides.sort_by_key(|one| one.matches.breadth());
    overrides
}

fn exception(
    mut section: Section<'_>,
    entry: &Entry<'_>,
    desk: &Desk,
    now: Option<WallTime>,
    known: &mut Vec<RouteMatch>,
) -> Option<TlsOverride> {
    let remedy = "Write \"example.org\", \"*.example.org\" or \"*\"";
    let matches = section.needed("domain", remedy, route_match);
    let remedy = "Write \"opportunistic\", \"encrypted\" or \"authenticated\"";
    let tls = section.needed("tls", remedy, keyword::<TlsFloor>);
    let remedy = "Say in one line why, and who agreed";
    let reason = section.needed("reason", remedy, one_line);
    let remedy = "Every exception has an end: write expires = \"2027-01-31T00:00:00Z\"";
    section.need("expires", remedy);
    let expires = moment(&mut section, "expires");
    let named = section.find("domain");
    section.close();
    if let (Some(named), Some(matches)) = (named, &matches) {
        if known.contains(matches) {
            named.complain("has an override already", "Keep one of the two");
        }
        known.push(matches.clone());
    }
    let key = format!("{}.expires", entry.path);
    match (now, expires) {
        (Some(now), Some(end)) if end <= now => {
            desk.warn(&key, "is over: the override has no effect", "Remove it, or renew it");
        }
        (Some(now), Some(end)) if end.since(now) > TLS_OVERRIDE_SPAN_MAX => {
            desk.complain(&key, "is more than a year away", "Renew an exception every year");
        }
        _ => {}
    }
    Some(TlsOverride { matches: matches?, tls: tls?, reason: reason?, expires: expires? })
}

fn reports(mut section: Section<'_>, dkim: &[DkimKey], desk: &Desk) -> Option<TlsReports> {
    let remedy = "Write the address that answers questions about the reports";
    let from = section.needed("from", remedy, |text| Mailbox::parse(text, false));
    let remedy = "Write the name of your organization";
    let organization = section.needed("organization", remedy, one_line);
    let remedy = "Write domains, for example [\"example.com\"]";
    let except = section.list("except", remedy, host_name);
    let key = section.path("from");
    section.close();
    let from = from?;
    if !dkim.iter().any(|key| key.domain == *from.domain()) {
        desk.complain(
            &key,
            format!("{} has no DKIM key, and reports must be signed (RFC 8460 3)", from.domain()),
            "Add [[dkim]] for it, or report from a domain that has one",
        );
    }
    Some(TlsReports { from, organization: organization?, except })
}

fn one_line(text: &str) -> Result<String, String> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(format!("is not one line of 1 to {TEXT_CHARS_MAX} characters"));
    }
    Ok(text.to_owned())
}

impl RouteMatch {
    /// The order in which matches count: a domain, then subdomains by the number of labels, then
    /// all.
    pub(super) fn breadth(&self) -> (u8, usize) {
        match self {
            Self::Domain(_) => (0, 0),
            Self::Subdomains(domain) => (1, usize::MAX - domain.as_str().split('.').count()),
            Self::Any => (2, 0),
        }
    }
}
