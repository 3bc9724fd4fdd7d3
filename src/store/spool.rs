//! The spool: the one handle by which the house stores, changes and reads messages.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::FlockOperation;
use tokio::sync::oneshot;

use super::committer::{Committer, Request};
use super::disk::{Disk, RealDisk};
use super::gauge::Health;
use super::hands::{Hands, InHand};
use super::keeper::Keeper;
use super::segment;
use super::shared::{Shared, Tell, lock};
use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::config::checked::SpoolConfig;
use crate::mail::envelope::Envelope;
use crate::mail::queued::{Change, Queued};
use crate::mail::stage::{Custody, Label, Parcel, Signed};
use crate::spool::record::{Draft, Kind, Stored};

/// Batches of recovered messages that wait for the queue.
const BATCHES_WAITING: usize = 4;

/// Why the spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the spool {path} is in use by process {pid}; two daemons must not share a spool")]
    InUse {
        /// The spool's folder.
        path: String,
        /// The process, as far as it is known.
        pid: String,
    },
    /// It holds something that this program does not know.
    #[error("{path} is not a segment of this version; a newer postern may have written it")]
    Stranger {
        /// The file.
        path: String,
    },
    /// The file system says no.
    #[error("{0}")]
    Fault(Fault),
}

/// Why custody was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// No room; peers hear 452 4.3.1.
    #[error("the disk of the spool is full")]
    Full,
    /// The id is taken; peers hear 451 4.3.0 and come again with another id.
    #[error("the queue id is taken")]
    Taken,
    /// The ledger failed or the spool is closed; peers hear 421 4.3.0. Whether the message is
    /// stored is not known.
    #[error("the ledger failed; nothing is stored until a restart")]
    Latched,
}

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It is complete, or was never here.
    #[error("no such message in the spool")]
    Unknown,
    /// Its record is damaged; its octets are in the quarantine. The envelope, if that could be
    /// read, says who must be told.
    #[error("the stored message is damaged")]
    Damaged(Option<Box<(Label, Envelope)>>),
    /// The disk could not be read just now.
    #[error("{0}")]
    Fault(Fault),
}

/// Figures for `status`, metrics and the watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Live messages.
    pub live: u64,
    /// Octets of their records.
    pub live_octets: u64,
    /// Segments.
    pub segments: u64,
    /// Octets of the segments on disk.
    pub octets: u64,
    /// Free octets on the file system, as of the last look.
    pub free_octets: u64,
    /// Average of the latest syncs in microseconds.
    pub sync_micros: u64,
    /// Since the last sync; `None` before the first.
    pub since_sync: Option<Duration>,
    /// The reserve for a full disk is in place.
    pub ballast: bool,
}

/// What an earlier run left, handed over while the spool already serves.
#[derive(Debug)]
pub struct Recovery {
    batches: tokio::sync::mpsc::Receiver<Vec<Queued>>,
    suspects: Vec<(QueueId, u8)>,
}

impl Recovery {
    /// The next messages whose outcome is open; `None` when all were handed over. Must be asked
    /// until then: the spool waits, and neither checkpoints nor gives space back before.
    pub async fn next(&mut self) -> Option<Vec<Queued>> {
        self.batches.recv().await
    }

    /// Messages that were in hand ([`Spool::take_in_hand`]) when an earlier process crashed, and
    /// how often that was so. From `CRASHES_MAX` on they should be quarantined.
    #[must_use]
    pub fn suspects(&self) -> &[(QueueId, u8)] {
        &self.suspects
    }
}

/// The spool. Clones are handles of the same one.
#[derive(Clone)]
pub struct Spool {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    requests: Sender<Request>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<File>>,
    hands: Arc<Hands>,
    closed: AtomicBool,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.bell.close();
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("path", &self.inner.shared.config.path).finish()
    }
}

impl Spool {
    /// Opens the spool in `config.path`, making it if there is none. Returns before anything old
    /// is read: new mail may be committed at once, and what is stored comes through [`Recovery`].
    ///
    /// # Errors
    /// If another process has it, if a newer version wrote it, or if the file system says no.
    pub fn open(config: &SpoolConfig, tell: Tell) -> Result<(Self, Recovery), OpenError> {
        Self::open_on(config, tell, Arc::new(RealDisk))
    }

    /// [`Spool::open`] on another disk.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_on(
        config: &SpoolConfig,
        tell: Tell,
        disk: Arc<dyn Disk>,
    ) -> Result<(Self, Recovery), OpenError> {
        let shared = Arc::new(Shared::new(config.clone(), disk, tell));
        for folder in [&config.path, &shared.ledger(), &shared.quarantine()] {
            make_folder(folder)?;
        }
        let lock = take_lock(&config.path)?;
        let (hands, suspects) =
            Hands::open(&config.path).map_err(|error| fault("opening", &config.path, &error))?;
        let ledger = shared.ledger();
        let listing = segment::list(&ledger).map_err(|error| fault("listing", &ledger, &error))?;
        if let Some(name) = listing.strangers.first() {
            let path = ledger.join(name).display().to_string();
            return Err(OpenError::Stranger { path });
        }
        let old = listing.segments;
        let next = old.keys().next_back().map_or(1, |last| last.wrapping_add(1));
        shared.adopt_segments(&old);
        shared.measure();
        shared.adopt_ballast();

        let (requests, inbox) = mpsc::channel();
        let (batches, receiver) = tokio::sync::mpsc::channel(BATCHES_WAITING);
        let committer = Committer::new(Arc::clone(&shared), inbox, next);
        spawn("spool-commit", move || committer.run())?;
        let keeper = Keeper::new(Arc::clone(&shared), requests.clone(), old);
        let keeper = spawn("spool-keep", move || keeper.run(batches))?;
        let inner = Inner {
            shared,
            requests,
            keeper: Mutex::new(Some(keeper)),
            lock: Mutex::new(Some(lock)),
            hands: Arc::new(hands),
            closed: AtomicBool::new(false),
        };
        Ok((Self { inner: Arc::new(inner) }, Recovery { batches: receiver, suspects }))
    }

    /// Stores a message; returns when it survives a power cut. `settles` are changes of other
    /// messages that become true in the same instant (a report and the outcome it reports).
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(
        &self,
        signed: Signed,
        settles: Vec<Change>,
    ) -> Result<Custody, CommitError> {
        let parcel = Arc::clone(signed.parcel());
        match self.health() {
            Health::Latched => return Err(CommitError::Latched),
            Health::Full if !parcel.label.notification => return Err(CommitError::Full),
            _ => {}
        }
        if lock(&self.inner.shared.applied).index.slot(parcel.id).is_some() {
            return Err(CommitError::Taken);
        }
        let queued = Queued::fresh(&parcel);
        let stored = Stored {
            label: parcel.label.clone(),
            envelope: parcel.envelope.clone(),
            carried: None,
            settles,
        };
        let draft = Draft::new(Kind::Message, parcel.id, &stored, parcel.content.clone());
        let draft = draft.map_err(|_| CommitError::Latched)?;
        let settles = stored.settles;
        let (answer, answered) = oneshot::channel();
        let request = Request::Commit { draft, queued, settles, parcel, answer };
        self.inner.requests.send(request).map_err(|_| CommitError::Latched)?;
        answered.await.unwrap_or(Err(CommitError::Latched))
    }

    /// Changes stored messages, with the next group or within `OUTCOME_SYNC_WAIT`. If the ledger
    /// has failed, the changes are lost, and with them nothing but a second delivery.
    pub fn record(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            drop(self.inner.requests.send(Request::Record { changes, answer: None }));
        }
    }

    /// Changes stored messages; returns when that survives a power cut.
    ///
    /// # Errors
    /// `Full`: the changes are kept in memory and written when there is room. `Latched`: they are
    /// lost.
    pub async fn record_durably(&self, changes: Vec<Change>) -> Result<(), CommitError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Record { changes, answer: Some(answer) };
        self.inner.requests.send(request).map_err(|_| CommitError::Latched)?;
        answered.await.unwrap_or(Err(CommitError::Latched))
    }

    /// A stored message, from memory if it is young, else from disk with its checksums verified.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(&self, id: QueueId) -> Result<Arc<Parcel>, FetchError> {
        if let Some(parcel) = lock(&self.inner.shared.fresh).get(id) {
            return Ok(parcel);
        }
        let shared = Arc::clone(&self.inner.shared);
        let read = tokio::task::spawn_blocking(move || shared.read(id)).await;
        read.unwrap_or_else(|error| {
            Err(FetchError::Fault(Fault::new("reading the spool", id, error)))
        })
        .map(Arc::new)
    }

    /// Sets a message aside: its octets go to the quarantine folder, its recipients are settled
    /// as purged, durably.
    ///
    /// # Errors
    /// If it is unknown or cannot be read or written.
    pub async fn quarantine(&self, id: QueueId, reason: &str) -> Result<(), FetchError> {
        let shared = Arc::clone(&self.inner.shared);
        let aside = tokio::task::spawn_blocking(move || shared.set_aside(id)).await;
        let open = aside.unwrap_or_else(|error| {
            Err(FetchError::Fault(Fault::new("setting aside", id, error)))
        })?;
        let settlement = crate::mail::queued::Settlement::Purged;
        let purge = |recipient| Change::Settled { id, recipient, settlement: settlement.clone() };
        let changes = open.into_iter().map(purge).collect();
        let recorded = self.record_durably(changes).await;
        recorded.map_err(|error| FetchError::Fault(Fault::new("setting aside", id, error)))?;
        let reason = reason.to_owned();
        (self.inner.shared.tell)(crate::event::Event::MessageQuarantined { id, reason });
        Ok(())
    }

    /// Returns when the ledger has failed, with the reason. Nothing mends it but a restart, which
    /// compares what is stored and goes on.
    pub async fn failed(&self) -> String {
        let mut failure = self.inner.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // Not before the spool itself is gone, and this handle keeps it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Marks a message as being handled, until the answer is dropped: what is marked at two
    /// crashes is suspected to be their cause. For work that its octets could bring down.
    #[must_use]
    pub fn take_in_hand(&self, id: QueueId) -> InHand {
        Hands::take(&self.inner.hands, id)
    }

    /// What the gate may promise.
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner.shared.gauge.health()
    }

    /// Whether a message is stored and not complete.
    #[must_use]
    pub fn contains(&self, id: QueueId) -> bool {
        lock(&self.inner.shared.applied).index.slot(id).is_some()
    }

    /// Figures.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.inner.shared.usage()
    }

    /// Closes in order: everything is written and synced, the state follows, the lock is free.
    /// Handles that remain hear `Latched`.
    pub async fn close(&self) {
        if self.inner.closed.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        let (answer, answered) = oneshot::channel();
        if self.inner.requests.send(Request::Close { answer }).is_ok() {
            drop(answered.await);
        }
        self.inner.shared.bell.close();
        let keeper = lock(&self.inner.keeper).take();
        if let Some(keeper) = keeper {
            drop(tokio::task::spawn_blocking(move || drop(keeper.join())).await);
        }
        drop(lock(&self.inner.lock).take());
    }
}

fn fault(doing: &'static str, path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Fault(Fault::new(doing, path.display(), error))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| OpenError::Fault(Fault::new("starting the thread", name, error)))
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.map_err(|error| fault("making the folder", path, &error))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let synced = File::open(parent.unwrap_or(Path::new("."))).and_then(|file| file.sync_all());
    synced.map_err(|error| fault("syncing the folder above", path, &error))
}

/// One opener: a lock that the kernel frees when the process ends, however it ends.
fn take_lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let mut open = OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = open.open(&path).map_err(|error| fault("opening", &path, &error))?;
    if let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(fault("locking", &path, &error.into()));
        }
        let mut pid = String::new();
        drop(file.take(20).read_to_string(&mut pid));
        let pid = pid.trim();
        let pid = if pid.is_empty() { "unknown" } else { pid }.to_owned();
        return Err(OpenError::InUse { path: folder.display().to_string(), pid });
    }
    // The number is for people. A full disk must not keep the spool closed.
    let note = format!("{:<10}\n", std::process::id());
    drop(file.rewind().and_then(|()| file.write_all(note.as_bytes())));
    Ok(file)
}
