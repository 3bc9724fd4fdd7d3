//! A disk that fails at the n-th call: whatever fails, wherever, nothing acknowledged is lost, and
//! what was not stored is not acknowledged.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use postern::base::id::QueueId;
use postern::event::Event;
use postern::store::Health;
use postern::store::disk::{Disk, RealDisk};
use postern::store::spool::{CommitError, Spool};

use crate::bench::{Bench, content, delivered, ids, signed};

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Create,
    Allocate,
    Write,
    Sync,
    SyncFolder,
    Unlink,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Once.
    Io,
    /// From then on, as a full disk does.
    Full,
    /// Half is written, then the disk is full for good.
    HalfThenFull,
    /// Half is written; the rest goes well.
    Short,
    /// Once, and harmless.
    Interrupted,
}

struct FaultyDisk {
    call: Call,
    how: How,
    at: u64,
    calls: AtomicU64,
}

impl FaultyDisk {
    fn new(call: Call, how: How, at: u64) -> Arc<Self> {
        Arc::new(Self { call, how, at, calls: AtomicU64::new(0) })
    }

    fn fail(&self, call: Call) -> io::Result<()> {
        if call != self.call {
            return Ok(());
        }
        let n = self.calls.fetch_add(1, SeqCst) + 1;
        match self.how {
            How::Io if n == self.at => Err(io::Error::from_raw_os_error(5)),
            How::Full if n >= self.at => Err(io::Error::from_raw_os_error(28)),
            How::HalfThenFull if n > self.at => Err(io::Error::from_raw_os_error(28)),
            How::Interrupted if n == self.at => Err(io::ErrorKind::Interrupted.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.fail(Call::Create)?;
        RealDisk.create(path)
    }
    fn allocate(&self, file: &File, from: u64, octets: u64) -> io::Result<()> {
        self.fail(Call::Allocate)?;
        RealDisk.allocate(file, from, octets)
    }
    fn write(&self, file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.fail(Call::Write)?;
        let half = matches!(self.how, How::Short | How::HalfThenFull);
        if self.call == Call::Write && half && self.calls.load(SeqCst) == self.at {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            return RealDisk.write(file, &[IoSlice::new(&all[..all.len().div_ceil(2)])], offset);
        }
        RealDisk.write(file, slices, offset)
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.fail(Call::Sync)?;
        RealDisk.sync(file)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.fail(Call::SyncFolder)?;
        RealDisk.sync_folder(path)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.fail(Call::Unlink)?;
        RealDisk.unlink(path)
    }
    fn free_octets(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_octets(path)
    }
    fn segment_octets(&self) -> u64 {
        40_000
    }
}

/// What was promised.
#[derive(Default)]
struct Promised {
    stored: Vec<u128>,
    settling: Vec<u128>,
    settled: Vec<u128>,
    errors: Vec<CommitError>,
}

async fn work(spool: &Spool) -> Promised {
    let mut promised = Promised::default();
    for id in 1..=14u128 {
        match spool.commit(signed(id, 1, 6000), Vec::new()).await {
            Ok(custody) => promised.stored.push(custody.id().0),
            Err(error) => promised.errors.push(error),
        }
        if id % 3 == 0 {
            promised.settling.push(id - 1);
            match spool.record_durably(vec![delivered(id - 1, 0)]).await {
                Ok(()) => promised.settled.push(id - 1),
                Err(error) => promised.errors.push(error),
            }
        }
    }
    promised
}

async fn verify(bench: &Bench, promised: &Promised, what: &str) {
    let cut = bench.cut();
    let (spool, all) = cut.open().await;
    let live = ids(&all);
    for id in &promised.stored {
        if !promised.settling.contains(id) {
            assert!(live.contains(id), "{what}: {id} was acknowledged and is lost");
            let parcel = spool.fetch(QueueId(*id)).await.unwrap();
            assert_eq!(parcel.content, content(*id, 6000), "{what}: {id}");
        }
    }
    for id in &promised.settled {
        assert!(!live.contains(id), "{what}: {id} came back");
    }
}

#[tokio::test]
async fn whatever_fails_nothing_acknowledged_is_lost() {
    let calls = [Call::Create, Call::Allocate, Call::Write, Call::Sync, Call::SyncFolder];
    for call in calls {
        for how in [How::Io, How::Full, How::HalfThenFull, How::Short, How::Interrupted] {
            let half = matches!(how, How::Short | How::HalfThenFull | How::Interrupted);
            if half && call != Call::Write {
                continue;
            }
            for at in [1, 2, 3, 4, 5, 7, 9, 12, 16, 20] {
                let what = format!("{call:?} {how:?} at {at}");
                let bench = Bench::new();
                let disk = FaultyDisk::new(call, how, at);
                let (spool, _) = bench.open_on(disk.clone()).await;
                let promised = work(&spool).await;
                let latched = spool.health() == Health::Latched;
                let reached = disk.calls.load(SeqCst) >= at;
                match how {
                    How::Io if reached => assert!(latched, "{what}"),
                    How::Short | How::Interrupted => {
                        assert!(promised.errors.is_empty() && !latched, "{what}");
                    }
                    How::Full | How::HalfThenFull => {
                        // A sync that finds no room has lost data all the same.
                        let sync = matches!(call, Call::Sync | Call::SyncFolder);
                        assert!(sync || !latched, "{what}: no room is no reason to latch");
                    }
                    How::Io => assert!(promised.errors.is_empty(), "{what}"),
                }
                if latched {
                    assert!(spool.commit(signed(99, 1, 10), Vec::new()).await.is_err(), "{what}");
                    let told = bench.facts();
                    assert!(told.iter().any(|fact| matches!(fact, Event::SpoolLatched { .. })));
                }
                verify(&bench, &promised, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_unlinked_does_no_harm() {
    let bench = Bench::new();
    let (spool, _) = bench.open_on(FaultyDisk::new(Call::Unlink, How::Full, 1)).await;
    let promised = work(&spool).await;
    assert!(promised.errors.is_empty());
    tokio::time::sleep(Duration::from_millis(2500)).await;
    verify(&bench, &promised, "unlink").await;
    spool.close().await;
    verify(&bench, &promised, "unlink, closed").await;
}

#[tokio::test]
async fn a_second_opener_is_told_who_has_the_spool() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    let error = Spool::open(&bench.config(), bench.tell()).unwrap_err().to_string();
    let pid = std::process::id().to_string();
    assert!(error.contains(&pid) && error.contains("in use"), "{error}");
    spool.close().await;
    assert_eq!(spool.commit(signed(1, 1, 1), Vec::new()).await.unwrap_err(), CommitError::Latched);
    let (spool, _) = bench.open().await;
    spool.close().await;
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_refused() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    spool.close().await;
    let path = bench.config().path.join("ledger/00000009-0000000000000000.v3");
    std::fs::write(path, "").unwrap();
    let error = Spool::open(&bench.config(), bench.tell()).unwrap_err().to_string();
    assert!(error.contains("newer"), "{error}");
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    spool.commit(signed(1, 1, 10), Vec::new()).await.unwrap();
    let again = spool.commit(signed(1, 1, 20), Vec::new()).await;
    assert_eq!(again.unwrap_err(), CommitError::Taken);
}

#[tokio::test]
async fn a_poisonous_message_is_set_aside() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    spool.commit(signed(1, 2, 3000), Vec::new()).await.unwrap();
    spool.quarantine(QueueId(1), "in hand at two crashes").await.unwrap();
    assert!(!spool.contains(QueueId(1)));
    let path = bench.config().path.join("quarantine").join(format!("{}.eml", QueueId(1)));
    assert_eq!(std::fs::read(path).unwrap(), content(1, 3000));
    assert!(bench.facts().iter().any(|fact| matches!(fact, Event::MessageQuarantined { .. })));
    assert!(bench.cut().open().await.1.is_empty());
}
