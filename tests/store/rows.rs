//! One test for each row of the table in `manual::custody`.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use postern::base::id::QueueId;
use postern::base::time::WallTime;
use postern::event::Event;
use postern::mail::queued::{Change, Settlement};
use postern::mail::reply::PeerReply;
use postern::store::spool::FetchError;

use crate::bench::{Bench, content, delivered, ids, put, signed};

#[tokio::test]
async fn row_1_nothing_is_nothing() {
    let bench = Bench::new();
    let (spool, all) = bench.open().await;
    assert!(all.is_empty());
    let (_, all) = bench.cut().open().await;
    assert!(all.is_empty());
    spool.close().await;
    let (spool, all) = bench.open().await;
    assert!(all.is_empty());
    spool.close().await;
}

#[tokio::test]
async fn row_2_a_torn_message_is_dropped() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    put(&spool, 1..4, 5000).await;
    for lost in [1, 100, 4000, 5020, 5100] {
        let cut = bench.cut();
        let file = OpenOptions::new().write(true).open(cut.ledger().last().unwrap()).unwrap();
        let octets = std::fs::read(&cut.ledger()[0]).unwrap();
        let start = memchr::memmem::find(&octets, &content(3, 5000)).unwrap() as u64;
        let end = start + 5000;
        file.write_all_at(&[0; 6000], end - lost).unwrap();
        let (_, all) = cut.open().await;
        assert_eq!(ids(&all), [1, 2], "{lost} octets lost");
    }
}

#[tokio::test]
async fn row_3_custody_survives() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    for (id, octets) in [(1, 0), (2, 1), (3, 1024), (4, 20_000), (5, 700_000), (6, 25_000_000)] {
        spool.commit(signed(id, 3, octets), Vec::new()).await.unwrap();
        let cut = bench.cut();
        let (spool, all) = cut.open().await;
        assert_eq!(all.len(), usize::try_from(id).unwrap());
        assert_eq!(all.last().unwrap().recipients.len(), 3);
        let parcel = spool.fetch(QueueId(id)).await.unwrap();
        assert_eq!(parcel.content, content(id, octets));
    }
}

#[tokio::test]
async fn row_4_an_open_attempt_is_forgotten() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    put(&spool, 1..2, 1000).await;
    let parcel = spool.fetch(QueueId(1)).await.unwrap();
    let cut = bench.cut();
    let (again, all) = cut.open().await;
    assert_eq!(all[0].recipients[0].attempts, 0);
    assert_eq!(again.fetch(QueueId(1)).await.unwrap(), parcel);
}

#[tokio::test]
async fn row_5_an_unsynced_outcome_is_either() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    put(&spool, 1..2, 1000).await;
    spool.record(vec![delivered(1, 0)]);
    let (_, all) = bench.cut().open().await;
    assert!(all.len() <= 1);
    spool.record_durably(Vec::new()).await.unwrap();
    let (_, all) = bench.cut().open().await;
    assert!(all.is_empty());
}

#[tokio::test]
async fn row_6_a_recorded_outcome_stays() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    for recipients in [2, 40, 1000] {
        let id = u128::from(recipients);
        spool.commit(signed(id, recipients, 100), Vec::new()).await.unwrap();
        spool.record_durably(vec![delivered(id, 1)]).await.unwrap();
        let (_, all) = bench.cut().open().await;
        let last = all.last().unwrap();
        assert_eq!(last.recipients.len(), usize::from(recipients) - 1);
        assert!(last.recipients.iter().all(|r| r.index != 1));
    }
}

#[tokio::test]
async fn row_7_dates_and_holds_stay() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    spool.commit(signed(1, 2, 100), Vec::new()).await.unwrap();
    let id = QueueId(1);
    let reply = PeerReply::new(451, None, "later");
    let next = WallTime(1_790_000_300_000);
    let settlement = Settlement::Deferred { attempts: 4, next, reply };
    let changes = vec![
        Change::Settled { id, recipient: 1, settlement },
        Change::DelayNoticed { id, recipient: 0 },
        Change::Held { id },
    ];
    spool.record_durably(changes).await.unwrap();
    let check = |all: Vec<postern::mail::queued::Queued>| {
        let (first, second) = (&all[0].recipients[0], &all[0].recipients[1]);
        assert!(all[0].held && first.delay_noticed && !second.delay_noticed);
        assert_eq!((second.attempts, second.next, first.attempts), (4, next, 0));
    };
    check(bench.cut().open().await.1);
    spool.close().await;
    check(bench.cut().open().await.1);
    let cut = bench.cut();
    std::fs::remove_dir_all(cut.config().path.join("state")).unwrap();
    check(cut.open().await.1);
}

#[tokio::test]
async fn row_8_a_report_and_its_outcome_are_one() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    put(&spool, 1..2, 1000).await;
    spool.commit(signed(2, 1, 9000), vec![delivered(1, 0)]).await.unwrap();
    assert!(!spool.contains(QueueId(1)));
    assert_eq!(ids(&bench.cut().open().await.1), [2]);
    let cut = bench.cut();
    let file = OpenOptions::new().write(true).open(cut.ledger().last().unwrap()).unwrap();
    file.write_all_at(&[0; 4096], 8192).unwrap();
    assert_eq!(ids(&cut.open().await.1), [1], "the report is torn, so the outcome is not there");
}

#[tokio::test]
async fn row_9_what_is_complete_stays_away() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    put(&spool, 1..10, 1000).await;
    spool.record_durably((1..9).map(|id| delivered(id, 0)).collect()).await.unwrap();
    assert_eq!(spool.fetch(QueueId(1)).await, Err(FetchError::Unknown));
    assert_eq!(ids(&bench.cut().open().await.1), [9]);
    spool.close().await;
    let (spool, all) = bench.open().await;
    assert_eq!(ids(&all), [9]);
    spool.record_durably(vec![delivered(9, 0)]).await.unwrap();
    spool.close().await;
    assert!(bench.open().await.1.is_empty());
}

/// A spool with two full segments of which a few messages live.
async fn survivors(bench: &Bench) -> postern::store::spool::Spool {
    let (spool, _) = bench.open().await;
    put(&spool, 1..20, 7_000_000).await;
    let done = (1..20).filter(|id| id % 8 != 0).map(|id| delivered(id, 0)).collect();
    spool.record_durably(done).await.unwrap();
    spool
}

async fn until(mut met: impl FnMut() -> bool) {
    for _ in 0..200 {
        if met() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("not within ten seconds");
}

#[tokio::test]
async fn row_10_a_copied_message_is_one_message() {
    let bench = Bench::new();
    let spool = survivors(&bench).await;
    until(|| spool.usage().segments <= 1).await;
    for state in [true, false] {
        let cut = bench.cut();
        if !state {
            std::fs::remove_dir_all(cut.config().path.join("state")).unwrap();
        }
        let (again, all) = cut.open().await;
        assert_eq!(ids(&all), [8, 16]);
        assert_eq!(again.fetch(QueueId(8)).await.unwrap().content, content(8, 7_000_000));
    }
    spool.record_durably(vec![delivered(8, 0), delivered(16, 0)]).await.unwrap();
    until(|| spool.usage().octets <= 8 * 1024 * 1024).await;
    assert!(bench.cut().open().await.1.is_empty());
}

#[tokio::test]
async fn row_11_a_freed_segment_stays_freed() {
    let bench = Bench::new();
    let spool = survivors(&bench).await;
    let before = bench.cut();
    until(|| spool.usage().segments <= 1).await;
    let back = before.ledger().remove(0);
    for state in [true, false] {
        let cut = bench.cut();
        let name = back.file_name().unwrap();
        std::fs::copy(&back, cut.config().path.join("ledger").join(name)).unwrap();
        if !state {
            std::fs::remove_dir_all(cut.config().path.join("state")).unwrap();
        }
        assert_eq!(ids(&cut.open().await.1), [8, 16], "state kept: {state}");
    }
}

#[tokio::test]
async fn row_12_no_state_is_needed() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    put(&spool, 1..50, 2000).await;
    spool.close().await;
    let (spool, _) = bench.open().await;
    put(&spool, 50..60, 2000).await;
    let done = (1..60).filter(|id| id % 3 == 0).map(|id| delivered(id, 0)).collect();
    spool.record_durably(done).await.unwrap();
    let expected: Vec<u128> = (1..60).filter(|id| id % 3 != 0).collect();
    let ways: [fn(&std::path::Path); 4] = [
        |state| std::fs::remove_dir_all(state).unwrap(),
        |state| {
            let file = OpenOptions::new().write(true).open(state.join("db")).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        },
        |state| {
            std::fs::remove_dir_all(state).unwrap();
            std::fs::write(state, "a file in its place").unwrap();
        },
        |state| std::fs::write(state.join("db"), "not a database").unwrap(),
    ];
    for (n, damage) in ways.iter().enumerate() {
        let cut = bench.cut();
        damage(&cut.config().path.join("state"));
        let (spool, all) = cut.open().await;
        assert_eq!(ids(&all), expected, "way {n}");
        spool.close().await;
        let told = cut.facts().iter().any(|fact| matches!(fact, Event::StateRebuilt { .. }));
        assert!(told || n == 1, "way {n}: {:?}", cut.facts());
        assert_eq!(ids(&cut.open().await.1), expected, "way {n}, opened again");
    }
}

#[tokio::test]
async fn row_13_damage_is_named_and_costs_only_itself() {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    put(&spool, 1..10, 3000).await;
    spool.close().await;
    let octets = std::fs::read(&bench.ledger()[0]).unwrap();
    let start = memchr::memmem::find(&octets, &content(5, 3000)).unwrap() as u64;
    for (state, offset) in [(true, 10), (false, 10), (false, -20), (false, -100)] {
        let cut = bench.cut();
        if !state {
            std::fs::remove_dir_all(cut.config().path.join("state")).unwrap();
        }
        let file = OpenOptions::new().write(true).open(&cut.ledger()[0]).unwrap();
        file.write_all_at(b"damage!!", start.checked_add_signed(offset).unwrap()).unwrap();
        let (spool, mut all) = cut.open().await;
        all.retain(|queued| queued.id.0 != 5);
        assert_eq!(ids(&all), [1, 2, 3, 4, 6, 7, 8, 9]);
        let fetched = spool.fetch(QueueId(5)).await;
        assert!(fetched.is_err());
        if offset > 0 {
            assert!(matches!(fetched, Err(FetchError::Damaged(Some(_)))), "who is to be told");
        }
        let named = cut.facts().iter().any(|fact| match fact {
            Event::RecordQuarantined { id, .. } => offset < -90 || *id == Some(QueueId(5)),
            _ => false,
        });
        assert!(named, "{:?}", cut.facts());
        for id in [4, 6] {
            assert_eq!(spool.fetch(QueueId(id)).await.unwrap().content, content(id, 3000));
        }
    }
}
