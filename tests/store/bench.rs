//! A spool on a workbench: messages to put in, and the folder to look at.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use postern::base::chance::Chance;
use postern::base::id::QueueId;
use postern::base::time::WallTime;
use postern::config::checked::SpoolConfig;
use postern::event::Event;
use postern::mail::address::{Mailbox, ReversePath};
use postern::mail::class::MessageClass;
use postern::mail::envelope::{Envelope, Recipient};
use postern::mail::queued::{Change, Queued, Settlement};
use postern::mail::source::SourceName;
use postern::mail::stage::{Label, Parcel, Signed};
use postern::store::Tell;
use postern::store::disk::{Disk, RealDisk};
use postern::store::spool::Spool;

/// A folder for a spool, and the facts that it told.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) facts: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), facts: Arc::default() }
    }

    pub(crate) fn config(&self) -> SpoolConfig {
        SpoolConfig {
            path: self.folder.path().join("spool"),
            ballast_octets: 0,
            free_octets_min: 0,
            sync_slow: Duration::from_secs(10),
        }
    }

    pub(crate) fn tell(&self) -> Tell {
        let facts = Arc::clone(&self.facts);
        Arc::new(move |fact| facts.lock().unwrap().push(fact))
    }

    pub(crate) fn facts(&self) -> Vec<Event> {
        self.facts.lock().unwrap().clone()
    }

    /// Opens, and waits until everything old has been handed over.
    pub(crate) async fn open(&self) -> (Spool, Vec<Queued>) {
        self.open_on(Arc::new(RealDisk)).await
    }

    pub(crate) async fn open_on(&self, disk: Arc<dyn Disk>) -> (Spool, Vec<Queued>) {
        let (spool, mut recovery) = Spool::open_on(&self.config(), self.tell(), disk).unwrap();
        let mut all = Vec::new();
        while let Some(batch) = recovery.next().await {
            all.extend(batch);
        }
        all.sort_by_key(|queued| queued.id);
        (spool, all)
    }

    /// A copy of the folder as it is now, as another bench: what a process killed now leaves.
    pub(crate) fn cut(&self) -> Self {
        let copy = Self::new();
        copy_folder(&self.config().path, &copy.config().path);
        copy
    }

    pub(crate) fn ledger(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(self.config().path.join("ledger"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            // A file may vanish while it is copied (sled's snapshots do).
            let _ = std::fs::copy(entry.path(), target);
        }
    }
}

pub(crate) fn content(id: u128, octets: usize) -> Bytes {
    let mut chance = Chance::new(u64::try_from(id).unwrap());
    let mut out = Vec::with_capacity(octets + 8);
    while out.len() < octets {
        out.extend(chance.draw().to_le_bytes());
    }
    out.truncate(octets);
    out.into()
}

pub(crate) fn parcel(id: u128, recipients: u16, octets: usize) -> Parcel {
    let mut envelope =
        Envelope::from(ReversePath::Mailbox(Mailbox::parse("app@example.com", false).unwrap()));
    for n in 0..recipients {
        let address = format!("r{n}@d{}.example", n % 7);
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
    Parcel { id: QueueId(id), label, envelope, content: content(id, octets) }
}

pub(crate) fn signed(id: u128, recipients: u16, octets: usize) -> Signed {
    Signed::mint(parcel(id, recipients, octets))
}

pub(crate) fn delivered(id: u128, recipient: u16) -> Change {
    Change::Settled { id: QueueId(id), recipient, settlement: Settlement::Delivered }
}

pub(crate) async fn put(spool: &Spool, ids: std::ops::Range<u128>, octets: usize) {
    for id in ids {
        let custody = spool.commit(signed(id, 1, octets), Vec::new()).await.unwrap();
        assert_eq!(custody.id(), QueueId(id));
    }
}

pub(crate) fn ids(all: &[Queued]) -> Vec<u128> {
    all.iter().map(|queued| queued.id.0).collect()
}
