//! Messages whose content follows from their id, and the spool that they go into.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postern::base::chance::Chance;
use postern::base::id::QueueId;
use postern::base::time::WallTime;
use postern::config::checked::SpoolConfig;
use postern::mail::address::{Mailbox, ReversePath};
use postern::mail::class::MessageClass;
use postern::mail::envelope::{Envelope, Recipient};
use postern::mail::source::SourceName;
use postern::mail::stage::{Label, Parcel};
use postern::store::disk::{Disk, RealDisk};

const PAGE: usize = 4096;

/// Octets that look like chance, each page stamped with the id and its number.
pub(crate) fn content(id: u64, octets: usize) -> Bytes {
    let mut chance = Chance::new(id);
    let page: Vec<u8> = (0..PAGE / 8).flat_map(|_| chance.draw().to_le_bytes()).collect();
    let mut out = Vec::with_capacity(octets + PAGE);
    while out.len() < octets {
        let stamp = out.len();
        out.extend_from_slice(&page);
        out[stamp..stamp + 8].copy_from_slice(&(id ^ stamp as u64).to_le_bytes());
    }
    out.truncate(octets);
    out.into()
}

pub(crate) fn parcel(id: u64, recipients: u16, octets: usize) -> Parcel {
    let sender = Mailbox::parse("app@example.com", false).unwrap();
    let mut envelope = Envelope::from(ReversePath::Mailbox(sender));
    for n in 0..recipients {
        let address = format!("r{n}@example.org");
        envelope.recipients.push(Recipient::plain(Mailbox::parse(&address, false).unwrap()));
    }
    let label = Label {
        source: SourceName::new("app").unwrap(),
        class: MessageClass::Transactional,
        accepted: WallTime(1_790_000_000_000),
        expires: WallTime(1_790_400_000_000),
        notification: false,
        priority: 0,
        notice: None,
    };
    Parcel { id: QueueId(u128::from(id)), label, envelope, content: content(id, octets) }
}

pub(crate) fn config() -> SpoolConfig {
    SpoolConfig {
        path: PathBuf::from(std::env::var("POWERCUT_SPOOL").unwrap()),
        ballast_octets: 1024 * 1024,
        free_octets_min: 0,
        sync_slow: Duration::from_secs(60),
    }
}

/// The real disk with segments of a chosen size, so that a short run turns many of them over.
struct SmallSegments(u64);

impl Disk for SmallSegments {
    fn create(&self, path: &std::path::Path) -> std::io::Result<std::fs::File> {
        RealDisk.create(path)
    }
    fn allocate(&self, file: &std::fs::File, from: u64, octets: u64) -> std::io::Result<()> {
        RealDisk.allocate(file, from, octets)
    }
    fn write(
        &self,
        file: &std::fs::File,
        slices: &[std::io::IoSlice<'_>],
        offset: u64,
    ) -> std::io::Result<usize> {
        RealDisk.write(file, slices, offset)
    }
    fn sync(&self, file: &std::fs::File) -> std::io::Result<()> {
        // The suite is tested as well: with a sync that does nothing it must find losses.
        if std::env::var("POWERCUT_BREAK").is_ok() { Ok(()) } else { RealDisk.sync(file) }
    }
    fn sync_folder(&self, path: &std::path::Path) -> std::io::Result<()> {
        RealDisk.sync_folder(path)
    }
    fn unlink(&self, path: &std::path::Path) -> std::io::Result<()> {
        RealDisk.unlink(path)
    }
    fn free_octets(&self, path: &std::path::Path) -> std::io::Result<u64> {
        RealDisk.free_octets(path)
    }
    fn segment_octets(&self) -> u64 {
        self.0
    }
}

pub(crate) fn disk() -> Arc<dyn Disk> {
    let octets = std::env::var("POWERCUT_SEGMENT").unwrap().parse().unwrap();
    Arc::new(SmallSegments(octets))
}

/// `id recipients octets` in one number: what a message is follows from its id.
pub(crate) fn shape(id: u64) -> (u16, usize) {
    let recipients = u16::try_from(id % 3 + 1).unwrap();
    let large = std::env::var("POWERCUT_LARGE").is_ok();
    let octets = match Chance::new(id ^ 0x5a5a).below(1000) {
        0..600 => 1024,
        600..900 => 20_000,
        900..992 => 700_000,
        _ if large => 25_000_000,
        _ => 130_000,
    };
    (recipients, octets)
}
