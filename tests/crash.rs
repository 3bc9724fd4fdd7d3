//! The real daemon, killed with SIGKILL again and again under load: what was acknowledged arrives,
//! octet for octet; what arrives twice was in flight at a kill.
//!
//! `POSTERN_CRASH_KILLS=500 cargo test --test crash` kills more often; `POSTERN_CRASH_SEED=7` draws
//! other moments. The figures are printed (`--nocapture`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly"
)]

#[path = "crash/clients.rs"]
mod clients;
#[path = "crash/daemon.rs"]
mod daemon;
#[path = "crash/faults.rs"]
mod faults;
#[path = "crash/full.rs"]
mod full;
#[path = "crash/letters.rs"]
mod letters;
#[path = "crash/poison.rs"]
mod poison;
#[path = "crash/receiver.rs"]
mod receiver;
#[path = "crash/rot.rs"]
mod rot;

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use postern::base::chance::Chance;

use clients::Clients;
use daemon::{Daemon, Home};
use letters::{Book, Figures, Letter};
use receiver::Receiver;

/// All that is due arrives within this time on the slowest of machines.
const ARRIVAL: Duration = Duration::from_secs(120);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// When a run ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// This long after its start, most likely before it serves.
    StartUp(Duration),
    /// This long after it serves.
    Serving(Duration),
    /// While, or just after, the state of the spool is written.
    Checkpoint,
}

impl End {
    fn draw(chance: &mut Chance) -> Self {
        let millis = |chance: &mut Chance, most| Duration::from_millis(chance.below(most));
        match chance.below(8) {
            0 | 1 => Self::StartUp(millis(chance, 120)),
            2 | 3 => Self::Checkpoint,
            _ => Self::Serving(millis(chance, 2000)),
        }
    }

    fn come(self, daemon: &Daemon, spool: &Path) {
        match self {
            Self::StartUp(after) => sleep(after),
            Self::Serving(after) => {
                daemon.ready();
                sleep(after);
            }
            Self::Checkpoint => {
                daemon.ready();
                let state = spool.join("state/db");
                let written = || std::fs::metadata(&state).and_then(|meta| meta.modified()).ok();
                sleep(Duration::from_millis(300));
                let before = written();
                let until = Instant::now() + Duration::from_secs(4);
                while written() == before && Instant::now() < until {
                    sleep(Duration::from_micros(300));
                }
            }
        }
    }
}

/// Waits until everything acknowledged has arrived, or nothing more comes.
fn settle(book: &Book) {
    let until = Instant::now() + ARRIVAL;
    while book.open() > 0 && Instant::now() < until {
        sleep(Duration::from_millis(20));
    }
}

fn judge(figures: &Figures, seed: u64) {
    assert!(figures.lost.is_empty(), "seed {seed}: lost {:?}", figures.lost);
    assert!(figures.complaints.is_empty(), "seed {seed}: {:#?}", figures.complaints);
}

/// After all: an orderly end, and a start that finds nothing left to do.
fn close(home: &Home, daemon: Daemon) {
    sleep(Duration::from_millis(300));
    let (status, said) = daemon.end();
    assert!(status.success(), "{status}: {said:#?}");
    let daemon = home.start();
    daemon.ready();
    let opened = daemon.hear("spool open after", Duration::from_secs(30));
    assert!(opened.contains(" ms: 0 messages,"), "{opened}");
    let (status, said) = daemon.end();
    assert!(status.success(), "{status}: {said:#?}");
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let kills = number("POSTERN_CRASH_KILLS", 36);
    let seed = number("POSTERN_CRASH_SEED", 1);
    let folder = tempfile::tempdir().unwrap();
    let book = Arc::new(Book::default());
    let receiver = Receiver::open(Arc::clone(&book));
    let home = Home::make(folder.path(), receiver.address, None);
    let clients = Clients::start(5, seed, &book, &home.port, Letter::draw);
    let mut chance = Chance::new(seed);
    let mut damage = Vec::new();
    for _ in 0..kills {
        let daemon = home.start();
        End::draw(&mut chance).come(&daemon, &home.spool);
        let said = daemon.kill(&book);
        damage.extend(said.into_iter().filter(|line| is_damage(line)));
    }
    let daemon = home.start();
    daemon.ready();
    sleep(Duration::from_secs(1));
    clients.stop();
    settle(&book);
    close(&home, daemon);
    let figures = book.figures();
    println!("{kills} kills, seed {seed}: {figures}");
    judge(&figures, seed);
    assert!(damage.is_empty(), "seed {seed}: {damage:#?}");
    assert!(figures.acknowledged as u64 > kills * 10, "seed {seed}: too little load");
}

/// A kill damages nothing but what is being written: whatever else says so is wrong.
fn is_damage(line: &str) -> bool {
    if line.contains("never acknowledged") {
        return false;
    }
    ["panicked", "set aside", "damaged", "quarantine", "ledger failed"]
        .iter()
        .any(|word| line.contains(word))
}
