//! Readers of what stands in a letter: addresses, address lists, header blocks.

use postern::mail::address::{Domain, Mailbox};
use postern::mail::author::Authors;
use postern::mail::header::Header;

/// Law: what was read is written back as something that reads as the same.
pub(crate) fn address(octets: &[u8]) {
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

/// Law: every mailbox of a From: that was read stands in it and reads by itself.
pub(crate) fn addresses(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    for utf8 in [false, true] {
        let Ok(authors) = Authors::parse(text, utf8) else { continue };
        for mailbox in &authors.mailboxes {
            assert!(Mailbox::parse(mailbox.as_str(), utf8).is_ok(), "{mailbox:?}");
        }
    }
}

/// Law: the fields of a block that was read are the block, and none of them hides a line.
pub(crate) fn header(octets: &[u8]) {
    let Ok(header) = Header::read(octets) else { return };
    let whole: String = header.fields().map(|field| field.whole).collect();
    assert_eq!(whole, header.text());
    assert!(header.body_start() <= octets.len());
    for field in header.fields() {
        assert!(!field.name.is_empty() && !field.name.contains([' ', ':', '\r', '\n']));
        assert!(!field.unfolded().contains(['\r', '\n']), "{field:?}");
        assert!(header.count(field.name) >= 1);
    }
}
