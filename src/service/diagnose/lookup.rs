//! dns and mx: what the name servers of this way say.

use std::net::IpAddr;

use super::{Outlook, Report, Target, lost};
use crate::control::check::Grade;
use crate::host::clock;
use crate::route::LookupError;

/// Hosts of a domain whose addresses are asked for.
const HOSTS_SHOWN: usize = 8;

/// What a proof is worth, in words.
fn proved(secure: bool) -> &'static str {
    if secure { "proved by DNSSEC" } else { "not signed" }
}

impl Outlook<'_> {
    pub(super) async fn dns(&self, aim: &Target, report: &Report) {
        if !self.has_servers(report) {
            return;
        }
        let servers: Vec<String> = self.egress.resolvers.iter().map(ToString::to_string).collect();
        report.pass("servers", format!("asked are {} and no others", servers.join(", ")));
        let begun = clock::now();
        if let Some(address) = aim.address {
            return self.names_of(address, report).await;
        }
        match self.names.addresses(self.egress, &aim.host).await {
            Ok(found) => {
                let took = clock::now().since(begun).as_millis();
                let v4 = found.v4.iter().map(ToString::to_string);
                let all: Vec<String> = v4.chain(found.v6.iter().map(ToString::to_string)).collect();
                let proved = proved(found.secure);
                if all.is_empty() {
                    let text = format!("{} exists and has no address ({proved})", aim.host);
                    report.fail("address", text, "a domain for mail alone has MX records: try mx");
                } else {
                    let text = format!("{} is {} ({proved}, {took} ms)", aim.host, all.join(", "));
                    report.pass("address", text);
                }
                if let Some(canonical) = found.canonical.filter(|name| *name != aim.host) {
                    report.pass("alias", format!("{} is another name of {canonical}", aim.host));
                }
            }
            Err(error) => lost(report, "address", &aim.host, &error),
        }
        self.proofs(report);
    }

    async fn names_of(&self, address: IpAddr, report: &Report) {
        match self.names.names(self.egress, address).await {
            Ok(names) if names.is_empty() => {
                let next = "whoever gave you the address can set its PTR record";
                report.fail("name", format!("{address} has no name (PTR)"), next);
            }
            Ok(names) => report.pass("name", format!("{address} is called {}", names.join(", "))),
            Err(LookupError::NoSuchDomain) => {
                let next = "whoever gave you the address can set its PTR record";
                report.fail("name", format!("{address} has no name (PTR)"), next);
            }
            Err(error) => lost(report, "name", &address.to_string(), &error),
        }
    }

    pub(super) async fn mx(&self, aim: &Target, report: &Report) {
        if !self.has_servers(report) {
            return;
        }
        if aim.address.is_some() {
            let next = "write the part of an e-mail address behind the @";
            return report.fail("mx", "an address has no MX records", next);
        }
        let answer = match self.names.mx(self.egress, &aim.host).await {
            Ok(answer) => answer,
            Err(error) => return lost(report, "mx", &aim.host, &error),
        };
        let proved = proved(answer.secure);
        let mut hosts = answer.hosts;
        hosts.sort();
        if hosts.is_empty() {
            let text = format!("{} has no MX records ({proved}): it is its own host", aim.host);
            report.step("mx", Grade::Warn, text);
            self.addresses(aim, report).await;
            return self.proofs(report);
        }
        if hosts.iter().all(|(_, host)| host.is_empty()) {
            let text = format!("{} takes no mail at all (null MX, {proved})", aim.host);
            return report.fail("mx", text, "mail to it bounces, as its owner wants");
        }
        report.pass("mx", format!("{} has {} hosts for mail ({proved})", aim.host, hosts.len()));
        for (preference, host) in hosts.into_iter().take(HOSTS_SHOWN) {
            // Questions are asked in letters of mixed case, and answers repeat them.
            let host = host.to_ascii_lowercase();
            report.pass(format!("host {preference}"), &host);
            let target = Target { host, address: None, port: None };
            self.addresses(&target, report).await;
        }
        self.proofs(report);
    }

    /// What became of DNSSEC.
    fn proofs(&self, report: &Report) {
        match self.names.dnssec(self.egress) {
            Some(Ok(())) => report.pass("dnssec", "the name servers pass DNSSEC on"),
            Some(Err(why)) => {
                report.step("dnssec", Grade::Warn, format!("names cannot be proven: {why}"));
                report.advise("name a resolver that passes DNSSEC on, or DANE protects no mail");
            }
            None => {}
        }
    }
}
