//! A file system of 64 MiB that is full to the last block: new mail hears "full", what is stored
//! is delivered, the spool opens, and everything goes on when there is room again.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use postern::base::id::QueueId;
use postern::config::checked::SpoolConfig;
use postern::mail::stage::Signed;
use postern::store::Health;
use postern::store::spool::{CommitError, Spool};

use crate::bench::{Bench, content, delivered, parcel, put, signed};

/// A small ext4 on a loop device, unmounted at the end.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(64 * 1024 * 1024).unwrap();
        std::fs::create_dir(folder.path().join("mnt")).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", image.to_str().unwrap()]);
        let mnt = folder.path().join("mnt");
        run("mount", &["-o", "loop", image.to_str().unwrap(), mnt.to_str().unwrap()]);
        Self { folder }
    }

    fn mnt(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    /// Takes every block that is left.
    fn fill(&self) {
        let filler = std::fs::File::options().create(true).append(true).open(self.filler());
        let filler = filler.unwrap();
        let mut at = filler.metadata().unwrap().len();
        for block in [1 << 20, 4096] {
            while let Ok(written) = filler.write_at(&vec![1; block], at) {
                at += written as u64;
            }
        }
    }

    fn filler(&self) -> PathBuf {
        self.mnt().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.mnt()).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    let done = status.unwrap_or_else(|error| panic!("{program}: {error} (apt-get install mount)"));
    assert!(
        done.success(),
        "{program} {arguments:?} failed: this test needs root and loop devices"
    );
}

fn config(mnt: &Path) -> SpoolConfig {
    SpoolConfig {
        path: mnt.join("spool"),
        ballast_octets: 4 * 1024 * 1024,
        free_octets_min: 2 * 1024 * 1024,
        sync_slow: Duration::from_secs(10),
    }
}

async fn until(what: &str, mut met: impl FnMut() -> bool) {
    for _ in 0..200 {
        if met() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within ten seconds: {what}");
}

#[tokio::test]
async fn a_full_disk_turns_mail_away_and_recovers_by_itself() {
    let disk = SmallDisk::new();
    let (bench, config) = (Bench::new(), config(&disk.mnt()));
    let (spool, mut recovery) = Spool::open(&config, bench.tell()).unwrap();
    while recovery.next().await.is_some() {}
    assert!(spool.usage().ballast);
    let mut stored = 0u128;
    let refused = loop {
        match spool.commit(signed(stored + 1, 1, 500_000), Vec::new()).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!((60..130).contains(&stored), "{stored} messages of 500,000 octets in 64 MiB");
    assert_eq!((refused, spool.health()), (CommitError::Full, Health::Full));

    disk.fill();
    spool.record_durably(vec![delivered(1, 0)]).await.unwrap();
    let mut report = parcel(1000, 1, 3000);
    report.label.notification = true;
    spool.commit(Signed::mint(report), vec![delivered(2, 0)]).await.unwrap();
    spool.close().await;

    // It opens when every block is taken, and all is there.
    disk.fill();
    let (spool, mut recovery) = Spool::open(&config, bench.tell()).unwrap();
    let mut live = 0;
    while let Some(batch) = recovery.next().await {
        live += batch.len();
    }
    assert_eq!(live as u128, stored - 2 + 1);
    let last = spool.fetch(QueueId(stored)).await.unwrap();
    assert_eq!(last.content, content(stored, 500_000));
    assert_eq!(spool.health(), Health::Full);
    let refused = spool.commit(signed(2000, 1, 100), Vec::new()).await.unwrap_err();
    assert_eq!(refused, CommitError::Full);

    // Outcomes are kept even now: written if the reserve allows, else in memory until there is
    // room. The disk drains, and the spool is open again without anybody's help.
    spool.record((3..=stored).map(|id| delivered(id, 0)).collect());
    std::fs::remove_file(disk.filler()).unwrap();
    until("health is open", || spool.health() == Health::Open).await;
    until("everything is drained", || spool.usage().live == 1).await;
    until("space is given back", || spool.usage().octets <= 20 * 1024 * 1024).await;
    until("the reserve is back", || spool.usage().ballast).await;
    put(&spool, 3000..3010, 10_000).await;
    spool.close().await;
    let (_spool, mut recovery) = Spool::open(&config, bench.tell()).unwrap();
    let mut live = 0;
    while let Some(batch) = recovery.next().await {
        live += batch.len();
    }
    assert_eq!(live, 11);
}
