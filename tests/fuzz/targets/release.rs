//! Readers of what comes from a server, a stick, or the ESP: bundle, manifest, record, names.

use std::sync::OnceLock;

use postern::update::bundle::{Piece, Reader};
use postern::update::entry::Entry;
use postern::update::keys::{ReleaseKey, Roots, SecretKey, verify};
use postern::update::manifest::Manifest;
use postern::update::record::Record;
use postern::update::version::Version;

/// Keys that have signed nothing.
fn roots() -> &'static Roots {
    static ROOTS: OnceLock<Roots> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let key = || -> Option<ReleaseKey> {
            let pem = SecretKey::generate().ok()?;
            SecretKey::read(pem.expose().as_bytes()).ok().map(|key| key.public())
        };
        Roots::new([key(), key()].into_iter().flatten()).unwrap()
    })
}

/// Law: whatever is read is written again as it was meant, a bundle gives no octet that it did not
/// have, and nobody's signatures are believed.
pub(crate) fn release(octets: &[u8]) {
    if let Ok(manifest) = Manifest::read(octets) {
        assert_eq!(Manifest::read(&manifest.write()).as_ref(), Ok(&manifest));
    }
    if let Ok(record) = Record::read(octets) {
        assert_eq!(Record::read(&record.write()).as_ref(), Ok(&record));
    }
    let text = String::from_utf8_lossy(octets);
    if let Some(entry) = Entry::read_name(&text) {
        assert_eq!(Entry::read_name(&entry.to_string()), Some(entry));
    }
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string(), text);
    }
    assert!(verify(octets, &[octets.to_vec(), octets.to_vec()], roots()).is_err());
    let (mut reader, mut pieces) = (Reader::default(), Vec::new());
    let read = octets.chunks(700).try_for_each(|part| reader.push(part, &mut pieces));
    let whole = read.is_ok() && reader.finish().is_ok();
    let (mut begun, mut given) = (0, 0);
    for piece in &pieces {
        match piece {
            Piece::Begin { octets, .. } => begun += octets,
            Piece::Octets(octets) => given += octets.len() as u64,
            Piece::Signed { .. } | Piece::End => {}
        }
    }
    assert!(given <= begun && given <= octets.len() as u64);
    assert!(!whole || given == begun, "a whole bundle has whole files");
}
