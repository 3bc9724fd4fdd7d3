//! A disk that fills up under load: 452 4.3.1 and nothing worse, what is there is delivered, and
//! with room come promises again, without a hand.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use postern::base::chance::Chance;

use crate::clients::{Clients, Session};
use crate::daemon::{Daemon, Home};
use crate::letters::{Book, Letter};
use crate::receiver::Receiver;
use crate::{close, judge, settle};

const DISK: &str = "size=64m";

/// Something changes within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Mounts a small disk that only this thread and what it starts can see; it goes with them.
fn small_disk(at: &Path) {
    fs::create_dir_all(at).unwrap();
    let none = None::<&str>;
    let mounted = unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
        .and_then(|()| mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(DISK)));
    assert!(mounted.is_ok(), "no file system can be mounted ({mounted:?}): run this test as root");
}

/// Takes all the room that is left, to the last octet.
fn fill(disk: &Path) {
    let mut filler = File::options().append(true).create(true).open(disk.join("filler")).unwrap();
    let mut block = vec![7; 1 << 20];
    while !block.is_empty() {
        if filler.write_all(&block).is_err() {
            block.truncate(block.len() / 2);
        }
    }
}

fn letter(id: u64, chance: &mut Chance) -> Letter {
    let octets = if chance.below(4) == 0 { 700 * 1024 } else { 20_000 };
    let recipients = vec![format!("now-{id}-0@d{}.far.example", chance.below(3))];
    Letter { id, octets, recipients }
}

fn until(what: &str, daemon: &Daemon, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what} does not come: {:#?}", daemon.said());
        sleep(Duration::from_millis(50));
    }
}

/// Whether a letter is taken now.
fn submits(home: &Home, book: &Book) -> bool {
    let letter = letter(book.number(), &mut Chance::new(0));
    let Ok(mut session) = Session::open(home.port.load(Relaxed)) else { return false };
    let taken = session.submit(&letter).is_ok_and(|reply| reply.starts_with("250"));
    if taken {
        book.acknowledge(letter);
    }
    taken
}

#[test]
fn a_full_disk_turns_away_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    small_disk(&disk);
    let book = Arc::new(Book::default());
    let receiver = Receiver::open(Arc::clone(&book));
    receiver.closed.store(true, Relaxed);
    let home = Home::make(folder.path(), receiver.address, Some(&disk.join("spool")));
    let daemon = home.start();
    daemon.ready();
    let clients = Clients::start(4, 5, &book, &home.port, letter);
    until("452", &daemon, || book.refusals().values().sum::<u64>() > 20);
    assert!(book.acknowledged() > 20);
    // To the last octet, while it runs; then killed, and opened on a disk without a free octet.
    fill(&disk);
    sleep(Duration::from_secs(1));
    clients.stop();
    let before = book.acknowledged();
    daemon.kill(&book);
    fill(&disk);
    let daemon = home.start();
    daemon.ready();
    assert!(!submits(&home, &book), "a promise on a full disk");
    receiver.closed.store(false, Relaxed);
    settle(&book);
    assert_eq!(book.open(), 0, "not drained on a full disk: {:#?}", daemon.said());
    // Nothing but the filler is in the way now.
    fs::remove_file(disk.join("filler")).unwrap();
    until("room", &daemon, || submits(&home, &book));
    let clients = Clients::start(4, 6, &book, &home.port, letter);
    sleep(Duration::from_secs(2));
    clients.stop();
    settle(&book);
    close(&home, daemon);
    let figures = book.figures();
    println!("full disk after {before} letters: {figures}");
    judge(&figures, 5);
    let refusals = book.refusals();
    assert!(refusals.keys().all(|code| code == "452 4.3.1"), "{refusals:?}");
}
