//! The reports of yesterday (RFC 8460 3 to 5).

use bytes::Bytes;

use super::{Outbox, Trust};
use crate::base::chance::Chance;
use crate::base::fault::Fault;
use crate::base::limits::TLSRPT_JITTER;
use crate::base::time::WallTime;
use crate::config::checked::{Config, Egress, TlsReports};
use crate::event::Event;
use crate::host::clock;
use crate::mail::address::Domain;
use crate::outcome::tlsrpt::{Counts, Heading, Notice, begin_of, gzip, json, message};
use crate::route::LookupError;
use crate::route::sts::{ReportTo, report_to};

/// What became of the report of one day for one domain.
enum Outcome {
    /// Sent, or nobody wants it: forgotten.
    Done,
    /// To be tried again.
    Later,
}

/// Sends the reports whose time has come. What cannot be sent is tried again until it is too old.
pub(super) async fn send_due<O: Outbox>(trust: &Trust, config: &Config, outbox: &O, now: WallTime) {
    let due = trust.ledger.due(trust.store.as_ref(), now);
    let Some(reports) = &config.trust.reports else {
        for (day, domain) in due {
            trust.ledger.forget(trust.store.as_ref(), day, &domain);
        }
        return;
    };
    for (day, domain) in due {
        if now < opening(day, &domain) {
            continue;
        }
        let Some(counts) = trust.ledger.counts(day, &domain) else { continue };
        let round = Round { trust, config, reports, outbox };
        match round.send(day, &domain, &counts).await {
            Ok(Outcome::Done) => trust.ledger.forget(trust.store.as_ref(), day, &domain),
            Ok(Outcome::Later) => {}
            Err(fault) => trust.fault(&fault),
        }
    }
}

/// When the report of `day` may leave: somewhere after midnight, always the same for a domain, so
/// that receivers of many reports are not called all at once.
fn opening(day: u32, domain: &Domain) -> WallTime {
    let sum = u64::from(crc32fast::hash(domain.as_str().as_bytes()));
    let wait = Chance::new(sum).below(TLSRPT_JITTER.as_secs());
    begin_of(day.saturating_add(1)).after(std::time::Duration::from_secs(wait))
}

/// The way by which reports go: the first of the default pool.
fn default_egress(config: &Config) -> Option<&Egress> {
    let name = &config.pool(None)?.members.first()?.egress;
    config.egresses.iter().find(|egress| egress.name == *name)
}

/// One report.
struct Round<'a, O> {
    trust: &'a Trust,
    config: &'a Config,
    reports: &'a TlsReports,
    outbox: &'a O,
}

impl<O: Outbox> Round<'_, O> {
    async fn send(&self, day: u32, domain: &Domain, counts: &Counts) -> Result<Outcome, Fault> {
        let Some(egress) = default_egress(self.config) else { return Ok(Outcome::Later) };
        let record = format!("_smtp._tls.{domain}");
        let wanted = match self.trust.names.txt(egress, &record).await {
            Ok(records) => report_to(&records),
            Err(LookupError::NoSuchDomain) => return Ok(Outcome::Done),
            Err(_) => return Ok(Outcome::Later),
        };
        if wanted.is_empty() {
            return Ok(Outcome::Done);
        }
        let contact = self.reports.from.to_string();
        let heading = Heading {
            domain: domain.as_str(),
            organization: &self.reports.organization,
            contact: &contact,
            day,
        };
        let compressed = Bytes::from(gzip(&json(&heading, counts)?)?);
        let mut sent = 0_usize;
        for to in &wanted {
            if self.submit(egress, &heading, to, &compressed).await? {
                sent += 1;
            }
        }
        // One receiver that is down must not make the others hear the same day twice.
        if sent == 0 {
            return Ok(Outcome::Later);
        }
        let (sessions_good, sessions_bad) = counts.sums();
        (self.trust.tell)(Event::TlsReportSent {
            domain: domain.to_string(),
            day: begin_of(day),
            sessions_good,
            sessions_bad,
        });
        Ok(Outcome::Done)
    }

    /// Whether this receiver has got it, or will.
    async fn submit(
        &self,
        egress: &Egress,
        heading: &Heading<'_>,
        to: &ReportTo,
        compressed: &Bytes,
    ) -> Result<bool, Fault> {
        match to {
            ReportTo::Https { host, port, target } => {
                let report = compressed.clone();
                let sent = self.trust.web.submit(egress, host, *port, target, report).await;
                if let Err(error) = &sent {
                    self.trust.fault(&Fault::new("reporting about TLS to", host, error));
                }
                Ok(sent.is_ok())
            }
            ReportTo::Mailbox(to) => {
                let id = self.outbox.id();
                let notice = Notice {
                    hostname: &self.config.hostname,
                    from: &self.reports.from,
                    to,
                    id,
                    now: clock::wall(),
                };
                let content = message(&notice, heading, compressed);
                self.outbox.send(id, to.clone(), content).await?;
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_leaves_within_four_hours_of_its_day() {
        for n in 0..100 {
            let domain = Domain::parse(&format!("d{n}.example")).unwrap();
            let at = opening(20_717, &domain);
            assert_eq!(at, opening(20_717, &domain));
            assert!(at >= begin_of(20_718));
            assert!(at.since(begin_of(20_718)) < TLSRPT_JITTER);
        }
    }
}
