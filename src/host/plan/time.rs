//! chrony's sources: which servers, by which interface, and who must prove what they say.

use std::net::IpAddr;

use super::whole::Whole;
use super::{File, Page};
use crate::config::checked::Nts;

/// Servers, and domains of servers (with a dot), that are known to speak NTS.
const KNOWN: [&str; 9] = [
    "time.cloudflare.com",
    ".nts.netnod.se",
    "nts.netnod.se",
    "ptbtime1.ptb.de",
    "ptbtime2.ptb.de",
    "ptbtime3.ptb.de",
    "ptbtime4.ptb.de",
    "ntppool1.time.nl",
    "ntppool2.time.nl",
];

/// Authorities are handed to chrony by the service manager: its user may not read the document's
/// folder.
pub const ROOTS: &str = "run/systemd/system/chrony.service.d/postern-roots.conf";
/// Where it finds them.
const HANDED: &str = "/run/credentials/chrony.service/roots";

/// The drop-in that hands over the authorities, if the document names some.
pub(super) fn roots(whole: &Whole) -> Option<File> {
    let path = whole.time.roots.as_ref().filter(|_| whole.manage().is_some())?;
    let mut page = Page::default();
    page.head("Authorities that vouch for time servers");
    page.line("[Service]");
    page.line(&format!("LoadCredential=roots:{}", path.display()));
    Some(File { path: ROOTS.into(), text: page.0 })
}

/// The file that chrony reads beside its own.
pub(super) fn sources(whole: &Whole) -> String {
    let mut page = Page::default();
    page.head("Where this machine gets its time");
    let Some(manage) = whole.manage() else {
        page.comment("no interface is for administrators, so nobody is asked");
        return page.0;
    };
    page.because(
        "questions leave by the interface for administrators alone",
        &format!("bindacqdevice {}", manage.device()),
    );
    let mut proven = false;
    for server in &whole.time.servers {
        let nts = speaks_nts(server, whole.time.nts);
        proven |= nts;
        let reason = if nts { "proves who it is (NTS)" } else { "is believed as it is" };
        page.because(reason, &format!("server {server} iburst{}", if nts { " nts" } else { "" }));
    }
    if proven {
        let word = if whole.time.nts == Nts::Always { "require" } else { "prefer" };
        page.because(
            "who cannot prove it does not outvote who can",
            &format!("authselectmode {word}"),
        );
        page.because(
            "a clock that has lost its battery knows no date to judge a certificate by: once",
            "nocerttimecheck 1",
        );
        if whole.time.roots.is_some() {
            page.because(
                "authorities of the house may vouch for them, too",
                &format!("ntstrustedcerts {HANDED}"),
            );
        }
    }
    page.0
}

fn speaks_nts(server: &str, nts: Nts) -> bool {
    let known = |entry: &&&str| {
        let domain = entry.starts_with('.') && server.ends_with(**entry);
        domain || **entry == server
    };
    match nts {
        Nts::Always => true,
        Nts::Never => false,
        Nts::Auto => server.parse::<IpAddr>().is_err() && KNOWN.iter().any(|entry| known(&entry)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_that_can_must_prove_it() {
        for (server, auto) in [
            ("time.cloudflare.com", true),
            ("sth1.nts.netnod.se", true),
            ("xnts.netnod.se", false),
            ("0.debian.pool.ntp.org", false),
            ("162.159.200.1", false),
        ] {
            assert_eq!(speaks_nts(server, Nts::Auto), auto, "{server}");
            assert!(speaks_nts(server, Nts::Always));
            assert!(!speaks_nts(server, Nts::Never));
        }
    }
}
