//! The built-in table of providers: whose host an MX is, and what that receiver bears.
//!
//! A rule of the document with the same name replaces one of these, or parts of it. Numbers with a
//! source are the receiver's own words at the time of writing; all others are **our choice**:
//! below what is commonly reported to work for a sender with a good name, because a transactional
//! sender loses little by being slow and much by being throttled. Without a number the general
//! limits of `[lanes]` count (20 connections, 100 messages on each).
//!
//! Patterns are narrow where a network also has customers' machines: whoever may speak as a
//! provider's host may slow down that provider's lane.

use super::checked::ProviderRule;

/// Name, hosts, connections at most, messages on one connection, messages a minute; 0: as in
/// `[lanes]`.
type Row = (&'static str, &'static [&'static str], u32, u32, u32);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // The great ones.
    // Google publishes no number; 100 messages on a connection is its advice for relays.
    ("google", &["*.google.com", "*.googlemail.com"], 20, 100, 0),
    // Consumer mail. Its policies forbid more than 500 connections; reputation limits sooner.
    ("outlook", &["*.olc.protection.outlook.com"], 10, 50, 0),
    ("exchange-online", &[
        "*.mail.protection.outlook.com", "*.mx.microsoft", "*.mail.protection.office365.us",
        "*.mail.protection.partner.outlook.cn",
    ], 20, 50, 0),
    // Yahoo ends a connection after 20 messages (help.yahoo.com, SLN3433).
    ("yahoo", &["*.yahoodns.net"], 10, 20, 0),
    ("yahoo-japan", &["*.mail.yahoo.co.jp"], 5, 20, 0),
    ("apple", &["*.mail.icloud.com"], 10, 50, 0),

    // Filters in front of companies.
    ("proofpoint", &["*.pphosted.com", "*.ppe-hosted.com"], 20, 50, 0),
    ("mimecast", &["*.mimecast.com", "*.mimecast.co.za", "*.mimecast-offshore.com"], 20, 50, 0),
    ("barracuda", &["*.barracudanetworks.com"], 10, 50, 0),
    ("cisco", &["*.iphmx.com"], 10, 50, 0),
    ("broadcom", &["*.messagelabs.com"], 10, 50, 0),
    ("trend-micro", &["*.trendmicro.com", "*.trendmicro.eu"], 10, 50, 0),
    ("sophos", &["*.hydra.sophos.com"], 10, 50, 0),
    ("hornetsecurity", &["*.hornetsecurity.com", "*.antispameurope.com"], 10, 50, 0),
    ("retarus", &["*.retarus.com"], 10, 50, 0),
    ("forcepoint", &["*.mailcontrol.com"], 10, 50, 0),
    ("vade", &["*.vadesecure.com"], 5, 50, 0),
    ("n-able", &["*.antispamcloud.com"], 10, 50, 0),

    // Germany, Austria, Switzerland.
    ("gmx", &["*.emig.gmx.net", "mx*.gmx.net", "mx-ha*.web.de", "mx*.mail.com"], 5, 50, 0),
    ("ionos", &[
        "*.ionos.de", "*.ionos.com", "*.ionos.co.uk", "*.ionos.fr", "*.ionos.es", "*.ionos.it",
        "mx*.kundenserver.de", "mx*.1and1.com", "mx*.1and1.co.uk", "mx*.perfora.net",
    ], 5, 50, 0),
    ("strato", &["*.rzone.de"], 5, 50, 0),
    // T-Online takes mail of known senders only; slow is safe.
    ("t-online", &["mx*.t-online.de"], 5, 20, 0),
    ("freenet", &["mx*.freenet.de", "emig.freenet.de"], 5, 20, 0),
    ("mailbox-org", &["mx*.mailbox.org"], 5, 50, 0),
    ("posteo", &["mx*.posteo.de"], 5, 50, 0),
    ("bluewin", &["*.lb.bluewin.ch"], 5, 20, 0),
    ("infomaniak", &["*.infomaniak.ch"], 5, 50, 0),
    ("proton", &["*.protonmail.ch"], 5, 50, 0),
    ("tuta", &["mail.tutanota.de", "*.tutanota.de"], 5, 50, 0),

    // France. Orange says "too many connections" from the third on, by many reports.
    ("orange", &["smtp-in*.orange.fr", "smtp-in*.wanadoo.fr"], 2, 100, 0),
    ("free", &["mx1.free.fr", "mx2.free.fr"], 2, 50, 0),
    ("sfr", &["smtp-in*.sfr.fr", "mx*.sfr.fr"], 2, 50, 0),
    ("laposte", &["smtp*.laposte.net"], 2, 50, 0),
    ("ovh", &["*.mail.ovh.net", "mx*.ovh.net", "redirect.ovh.net", "*.mail.ovh.ca"], 5, 50, 0),
    ("gandi", &["*.mail.gandi.net"], 5, 50, 0),

    // The rest of Europe.
    ("libero", &["smtp-in*.libero.it", "smtp-in*.virgilio.it"], 3, 20, 0),
    ("tiscali", &["etb-*.tiscali.it", "mx*.tiscali.it"], 3, 20, 0),
    ("aruba", &["mx*.aruba.it"], 5, 50, 0),
    ("seznam", &["mx*.seznam.cz"], 5, 50, 0),
    ("wp", &["mx*.wp.pl", "mx*.tlen.pl"], 3, 20, 0),
    ("onet", &["mx*.poczta.onet.pl"], 3, 20, 0),
    ("interia", &["mx*.interia.pl"], 3, 20, 0),
    ("ziggo", &["mx*.ziggo.nl", "*.mx.ziggo.nl"], 5, 50, 0),
    ("telenet", &["mx*.telenet-ops.be"], 5, 50, 0),
    ("yandex", &["mx*.yandex.ru", "mx*.yandex.net"], 10, 50, 0),
    ("mail-ru", &["mxs*.mail.ru", "emx*.mail.ru"], 10, 50, 0),
    ("rambler", &["*.mail.rambler.ru", "inmx*.rambler.ru"], 5, 20, 0),

    // The Americas. Comcast bears 25 connections from an address (postmaster.comcast.net), and
    // over IPv6 1,000 messages an hour from a network.
    ("comcast", &["mx*.comcast.net"], 20, 100, 0),
    ("charter", &["*.msg.pkvw.co.charter.net", "mx*.charter.net"], 5, 50, 0),
    ("att", &["ff-ip4-mx-vip*.prodigy.net"], 5, 20, 0),
    ("rackspace", &["mx*.emailsrvr.com"], 10, 50, 0),
    ("godaddy", &["*.secureserver.net"], 5, 50, 0),
    ("uol", &["mx*.uol.com.br"], 5, 20, 0),
    ("terra", &["mx*.terra.com.br"], 5, 20, 0),

    // Asia and the Pacific. The mobile operators of Japan throttle early.
    ("zoho", &["*.zoho.com", "*.zoho.eu", "*.zoho.in", "*.zoho.com.au", "*.zoho.jp"], 10, 50, 0),
    ("qq", &["mx*.qq.com"], 3, 20, 60),
    ("netease", &["*.netease.com", "*.ym.163.com"], 3, 20, 60),
    ("aliyun", &["mx*.aliyun.com", "*.qiye.aliyun.com", "mxn*.mxhichina.com"], 5, 20, 0),
    ("sina", &["*.sinamail.sina.com.cn"], 3, 20, 0),
    ("naver", &["mx*.naver.com"], 5, 20, 0),
    ("daum", &["mx*.hanmail.net", "mx*.daum.net"], 5, 20, 0),
    ("docomo", &["*.docomo.ne.jp"], 2, 20, 0),
    ("au", &["*.au.com", "*.ezweb.ne.jp"], 2, 20, 0),
    ("softbank", &["*.softbank.ne.jp"], 2, 20, 0),
    ("bigpond", &["extmail.bigpond.com", "*.mx.bigpond.com"], 5, 20, 0),

    // Hosts of many domains, everywhere.
    ("fastmail", &["*.messagingengine.com"], 10, 50, 0),
    ("amazon", &[
        "inbound-smtp.us-east-1.amazonaws.com", "inbound-smtp.us-west-2.amazonaws.com",
        "inbound-smtp.eu-west-1.amazonaws.com",
    ], 10, 50, 0),
    ("cloudflare", &["*.mx.cloudflare.net"], 10, 50, 0),
    ("namecheap", &["*.privateemail.com", "*.registrar-servers.com"], 5, 50, 0),
    ("hostinger", &["mx*.hostinger.com"], 5, 50, 0),
    ("titan", &["mx*.titan.email"], 5, 50, 0),
    ("siteground", &["*.mailspamprotection.com"], 5, 50, 0),
];

/// The built-in rules in their order.
#[must_use]
pub fn built_in() -> Vec<ProviderRule> {
    let some = |number: u32| (number > 0).then_some(number);
    let rule = |(name, mx, connections, messages, minute): &Row| ProviderRule {
        name: (*name).to_owned(),
        mx: mx.iter().map(|host| (*host).to_owned()).collect(),
        connections_max: some(*connections),
        messages_per_connection: some(*messages),
        messages_per_minute: some(*minute),
    };
    TABLE.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_patterns_stand_once_and_are_lower_case() {
        let (mut names, mut patterns) = (BTreeSet::new(), BTreeSet::new());
        for rule in built_in() {
            assert!(!rule.name.contains('.'), "{} looks like a domain", rule.name);
            assert!(names.insert(rule.name.clone()), "{}", rule.name);
            for pattern in rule.mx {
                assert!(pattern.matches('*').count() <= 1, "{pattern}");
                assert!(pattern.bytes().all(|b| !b.is_ascii_uppercase() && b != b' '));
                assert!(patterns.insert(pattern.clone()), "{pattern}");
            }
        }
        assert!(names.len() > 50);
    }

    #[test]
    fn hosts_that_everybody_knows() {
        let rules = built_in();
        let of = |host: &str| {
            rules.iter().find(|rule| rule.serves(host)).map_or("none", |rule| &rule.name)
        };
        for (host, name) in [
            ("gmail-smtp-in.l.google.com", "google"),
            ("aspmx2.googlemail.com", "google"),
            ("hotmail-com.olc.protection.outlook.com", "outlook"),
            ("example-com.mail.protection.outlook.com", "exchange-online"),
            ("example-com.a-v1.mx.microsoft", "exchange-online"),
            ("mta5.am0.yahoodns.net", "yahoo"),
            ("mx-aol.mail.gm0.yahoodns.net", "yahoo"),
            ("mx01.mail.icloud.com", "apple"),
            ("mx0a-00000000.pphosted.com", "proofpoint"),
            ("eu-smtp-inbound-1.mimecast.com", "mimecast"),
            ("d1.ess.barracudanetworks.com", "barracuda"),
            ("mx1.hc1-1.eu.iphmx.com", "cisco"),
            ("mx00.emig.gmx.net", "gmx"),
            ("mx-ha02.web.de", "gmx"),
            ("mx00.t-online.de", "t-online"),
            ("smtp-in.orange.fr", "orange"),
            ("mx1.comcast.net", "comcast"),
            ("mx00.ionos.de", "ionos"),
            ("smtpin.rzone.de", "strato"),
            ("in1-smtp.messagingengine.com", "fastmail"),
            ("mail.protonmail.ch", "proton"),
            ("163mx01.mxmail.netease.com", "netease"),
            ("mx3.qq.com", "qq"),
            // Customers' machines in a provider's network speak for nobody but themselves.
            ("c-192-0-2-1.hsd1.ca.comcast.net", "none"),
            ("box.hd.free.fr", "none"),
            ("vps-1.vps.ovh.net", "none"),
            ("google.com.example.net", "none"),
        ] {
            assert_eq!(of(host), name, "{host}");
        }
    }
}
