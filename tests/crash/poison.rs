//! A message in hand when the process dies of itself, twice, is set aside; one in hand when it is
//! killed is not.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::clients::Session;
use crate::daemon::Home;
use crate::letters::{Book, Letter};
use crate::receiver::Receiver;
use crate::{close, judge, settle};

const PATIENCE: Duration = Duration::from_secs(20);

fn submit(home: &Home, book: &Book, kind: &str, count: u64) -> Vec<Letter> {
    let mut session = Session::open(home.port.load(Relaxed)).unwrap();
    let submit = |_| {
        let id = book.number();
        let recipients = vec![format!("{kind}-{id}-0@{kind}{id}.far.example")];
        let letter = Letter { id, octets: 2000, recipients };
        assert!(session.submit(&letter).unwrap().starts_with("250"));
        letter
    };
    (0..count).map(submit).collect()
}

#[test]
fn two_deaths_in_hand_are_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let book = Arc::new(Book::default());
    let receiver = Receiver::open(Arc::clone(&book));
    let home = Home::make(folder.path(), receiver.address, None);
    // `stuck-..` keeps a carrier waiting. Two kills with all of them in hand are nobody's fault.
    let daemon = home.start();
    daemon.ready();
    let poison = submit(&home, &book, "stuck", 1).remove(0);
    let innocent = submit(&home, &book, "stuck", 3);
    let waiting = |count| receiver.wait_stuck(count, PATIENCE);
    waiting(4);
    daemon.kill(&book);
    let daemon = home.start();
    waiting(8);
    daemon.kill(&book);
    // A death of its own: four suspects, of which one at a time is in hand. The second death has
    // one in hand, and that is the one.
    let mut daemon = home.start();
    waiting(12);
    daemon.signal(Signal::SIGABRT);
    assert!(!daemon.wait(PATIENCE).success());
    book.killed();
    let daemon = home.start();
    waiting(13);
    sleep(Duration::from_millis(500));
    let stuck = receiver.stuck();
    assert_eq!(stuck.len(), 13, "not one at a time: {stuck:?}\n{:#?}", daemon.said());
    let mut daemon = daemon;
    daemon.signal(Signal::SIGABRT);
    assert!(!daemon.wait(PATIENCE).success());
    book.killed();
    let guilty = receiver.last_stuck();
    for letter in innocent.into_iter().chain([poison]) {
        if letter.recipients[0] != guilty {
            book.acknowledge(letter);
        }
    }
    receiver.free();
    let daemon = home.start();
    daemon.ready();
    let line = daemon.hear("it was in hand at two crashes", PATIENCE);
    settle(&book);
    assert!(!book.has_arrived(&guilty), "{line}");
    let kept = fs::read_dir(home.spool.join("quarantine")).unwrap().flatten();
    assert_eq!(
        kept.filter(|entry| entry.path().extension().is_some_and(|e| e == "eml")).count(),
        1
    );
    close(&home, daemon);
    judge(&book.figures(), 0);
    assert!(!home.spool.join("suspects").exists());
}
