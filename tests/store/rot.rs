//! Bit rot: a flipped bit anywhere in a closed spool is noticed or harmless; and salvage.

use postern::base::chance::Chance;
use postern::base::id::QueueId;
use postern::event::Event;
use postern::store::salvage::salvage;
use postern::store::spool::FetchError;

use crate::bench::{Bench, content, delivered, ids, put};

const OCTETS: usize = 1500;

/// Forty messages, of which every fourth is complete; closed, opened and grown, and closed again.
async fn spool() -> Bench {
    let bench = Bench::new();
    for from in [1, 21] {
        let (spool, _) = bench.open().await;
        put(&spool, from..from + 20, OCTETS).await;
        let done = (from..from + 20).filter(|id| id % 4 == 0).map(|id| delivered(id, 0));
        spool.record_durably(done.collect()).await.unwrap();
        spool.close().await;
    }
    bench
}

fn files(bench: &Bench) -> Vec<(std::path::PathBuf, u64)> {
    let state = bench.config().path.join("state");
    let mut files = bench.ledger();
    files.extend(["db", "conf"].map(|name| state.join(name)));
    files.retain(|path| path.exists());
    files.into_iter().map(|path| (path.clone(), std::fs::metadata(path).unwrap().len())).collect()
}

#[tokio::test]
async fn no_flipped_bit_is_silent() {
    let flips = std::env::var("POSTERN_BIT_FLIPS").map_or(150, |n| n.parse().unwrap());
    let original = spool().await;
    let expected: Vec<u128> = (1..41).filter(|id| id % 4 != 0).collect();
    let mut chance = Chance::new(11);
    for n in 0..flips {
        let bench = original.cut();
        let files = files(&bench);
        let pick = usize::try_from(chance.below(files.len() as u64)).unwrap();
        let (path, octets) = &files[pick];
        let at = chance.below((*octets).max(1));
        let mut damaged = std::fs::read(path).unwrap();
        damaged[usize::try_from(at).unwrap()] ^= 1 << chance.below(8);
        std::fs::write(path, damaged).unwrap();

        let (spool, all) = bench.open().await;
        let what = format!("flip {n}: {} at {at}", path.display());
        let mut unreadable = Vec::new();
        for id in ids(&all) {
            assert!(expected.contains(&id), "{what}: {id} came back");
            match spool.fetch(QueueId(id)).await {
                Ok(parcel) => assert_eq!(parcel.content, content(id, OCTETS), "{what}"),
                Err(FetchError::Damaged(_)) => unreadable.push(id),
                Err(error) => panic!("{what}: {error}"),
            }
        }
        let missing = expected.iter().filter(|id| !ids(&all).contains(id)).count();
        let told = bench.facts().iter().any(|f| matches!(f, Event::RecordQuarantined { .. }));
        assert!(missing + unreadable.len() <= 1, "{what}: {missing} missing, {unreadable:?}");
        assert!(missing + unreadable.len() == 0 || told, "{what}: silent");
        spool.close().await;
    }
}

#[tokio::test]
async fn salvage_reads_what_can_be_read() {
    let bench = spool().await;
    std::fs::remove_dir_all(bench.config().path.join("state")).unwrap();
    let ledger = bench.ledger();
    let mut octets = std::fs::read(&ledger[0]).unwrap();
    let five = memchr::memmem::find(&octets, &content(5, OCTETS)).unwrap();
    octets[five + 7] ^= 4;
    let seven = memchr::memmem::find(&octets, &content(7, OCTETS)).unwrap();
    octets[seven - 100] ^= 4;
    // The file has lost its name and its beginning.
    std::fs::remove_file(&ledger[0]).unwrap();
    std::fs::write(bench.config().path.join("ledger/lost"), &octets[3..]).unwrap();
    let out = bench.folder.path().join("out");
    let salvaged = salvage(&bench.config().path, &out).unwrap();
    assert_eq!((salvaged.messages, salvaged.damaged, salvaged.complete), (28, 1, 10));
    for id in [1, 3, 6, 30] {
        let path = out.join(format!("{}.eml", QueueId(id)));
        assert_eq!(std::fs::read(path).unwrap(), content(id, OCTETS));
        let about = std::fs::read_to_string(out.join(format!("{}.json", QueueId(id)))).unwrap();
        assert!(about.contains("example"), "{about}");
    }
    assert!(out.join("damaged").join(format!("{}.eml", QueueId(5))).exists());
}
