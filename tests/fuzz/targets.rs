//! The targets: each takes any octets, must never panic, and checks a law of its reader.

use postern::mail::address::{Domain, Mailbox};

/// A target: its name and the function that must survive any octets.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target; `tests/fuzz/run --list` shows the names.
pub(crate) const TARGETS: &[Target] = &[("address", address)];

/// Law: what was read is written back as something that reads as the same.
fn address(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    for utf8 in [false, true] {
        let Ok(mailbox) = Mailbox::parse(text, utf8) else { continue };
        let again = Mailbox::parse(mailbox.as_str(), utf8).expect("an address reads again");
        assert_eq!(mailbox, again);
        assert!(!mailbox.as_str().bytes().any(|octet| octet < b' ' || octet == 0x7f));
        let _ = mailbox.ascii_form();
        assert!(utf8 || !mailbox.needs_utf8());
    }
    if let Ok(domain) = Domain::parse(text) {
        assert_eq!(Domain::parse(domain.as_str()).as_ref(), Ok(&domain));
    }
}
