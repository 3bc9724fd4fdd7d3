//! Things that happen to the files between two runs: the state of the spool deleted, cut short or
//! changed costs nothing; a damaged record of the ledger costs itself alone and is named.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Duration;

use postern::base::chance::Chance;

use crate::clients::{Clients, Session};
use crate::daemon::Home;
use crate::letters::{Book, Letter};
use crate::receiver::Receiver;
use crate::{close, judge, number, settle};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let (folders, mut files): (Vec<_>, Vec<_>) =
        entries.map(|entry| entry.path()).partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| self::files(folder)));
    files.sort();
    files
}

fn flip(path: &Path, at: u64, mask: u8) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let mut octet = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut octet).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[octet[0] ^ mask]).unwrap();
}

/// Does something bad to the state; returns what.
fn spoil(state: &Path, chance: &mut Chance) -> &'static str {
    let files = files(state);
    let pick = usize::try_from(chance.below(files.len() as u64)).unwrap();
    match chance.below(5) {
        0 => {
            fs::remove_dir_all(state).unwrap();
            "deleted"
        }
        1 => {
            fs::remove_file(&files[pick]).unwrap();
            "a file deleted"
        }
        2 => {
            let file = File::options().write(true).open(&files[pick]).unwrap();
            let octets = file.metadata().unwrap().len();
            file.set_len(chance.below(octets.max(1))).unwrap();
            "a file cut short"
        }
        3 => {
            let octets = fs::metadata(&files[pick]).unwrap().len();
            if octets > 0 {
                for _ in 0..20 {
                    flip(&files[pick], chance.below(octets), 1 << chance.below(8));
                }
            }
            "bits flipped"
        }
        _ => {
            fs::remove_dir_all(state).unwrap();
            fs::write(state, "not a folder").unwrap();
            "a file in its place"
        }
    }
}

#[test]
fn the_state_may_always_be_lost() {
    let rounds = number("POSTERN_CRASH_KILLS", 10).min(100);
    let folder = tempfile::tempdir().unwrap();
    let book = Arc::new(Book::default());
    let receiver = Receiver::open(Arc::clone(&book));
    let home = Home::make(folder.path(), receiver.address, None);
    let clients = Clients::start(3, 3, &book, &home.port, Letter::draw);
    let mut chance = Chance::new(3);
    let mut done = Vec::new();
    for round in 0..rounds {
        // In every other round much is deferred, so that the state has something to lose.
        receiver.closed.store(round % 2 == 0, Relaxed);
        let daemon = home.start();
        daemon.ready();
        sleep(Duration::from_millis(1200 + chance.below(500)));
        let said = daemon.kill(&book);
        assert!(!said.iter().any(|line| line.contains("panicked")), "{done:?}: {said:#?}");
        done.push(spoil(&home.spool.join("state"), &mut chance));
    }
    receiver.closed.store(false, Relaxed);
    let daemon = home.start();
    daemon.ready();
    sleep(Duration::from_millis(500));
    clients.stop();
    settle(&book);
    close(&home, daemon);
    let figures = book.figures();
    println!("state {done:?}: {figures}");
    judge(&figures, 3);
}

/// Offset of the content of letter `id` in a segment.
fn find(ledger: &Path, id: u64) -> Option<(PathBuf, u64)> {
    let words = format!("Subject: letter {id} of");
    files(ledger).into_iter().find_map(|path| {
        let octets = fs::read(&path).ok()?;
        let at = memchr::memmem::find(&octets, words.as_bytes())?;
        Some((path, at as u64))
    })
}

#[test]
fn a_damaged_record_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let book = Arc::new(Book::default());
    let receiver = Receiver::open(Arc::clone(&book));
    receiver.closed.store(true, Relaxed);
    let home = Home::make(folder.path(), receiver.address, None);
    let daemon = home.start();
    daemon.ready();
    let mut session = Session::open(home.port.load(Relaxed)).unwrap();
    let mut lost = Vec::new();
    for n in 0..30 {
        let id = book.number();
        let recipients = vec![format!("now-{id}-0@d{}.far.example", n % 3)];
        let letter = Letter { id, octets: 3000, recipients };
        assert!(session.submit(&letter).unwrap().starts_with("250"));
        if n == 7 || n == 20 {
            lost.push(letter);
        } else {
            book.acknowledge(letter);
        }
    }
    daemon.kill(&book);
    for letter in &lost {
        let (path, at) = find(&home.spool.join("ledger"), letter.id).unwrap();
        flip(&path, at, 0x20);
    }
    receiver.closed.store(false, Relaxed);
    book.expect_reports();
    let daemon = home.start();
    daemon.ready();
    daemon.hear("record is damaged", Duration::from_secs(10));
    settle(&book);
    // The sender of what was lost is told, and an event names the message.
    for _ in 0..200 {
        if book.reports().len() >= 2 {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    let said = daemon.said();
    assert_eq!(book.reports().len(), 2, "{said:#?}");
    let kept = files(&home.spool.join("quarantine"));
    assert!(kept.len() >= 2, "{kept:?}");
    close(&home, daemon);
    let figures = book.figures();
    println!("two damaged records of thirty: {figures}");
    judge(&figures, 0);
}
