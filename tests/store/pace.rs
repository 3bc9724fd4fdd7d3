//! Figures, printed by request: `cargo test --release --test store pace -- --ignored --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use postern::base::id::QueueId;
use postern::mail::queued::{Change, Settlement};
use postern::mail::stage::Signed;
use postern::store::spool::Spool;

use crate::bench::{Bench, parcel, signed};

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn pace(writers: u64, octets: usize, settle: bool) {
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    let next = Arc::new(AtomicU64::new(1));
    let start = Instant::now();
    let end = start + Duration::from_secs(4);
    let model = parcel(1, 1, octets);
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let (spool, next, mut model) = (spool.clone(), next.clone(), model.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while Instant::now() < end {
                    model.id = QueueId(u128::from(next.fetch_add(1, Relaxed)));
                    let (id, begun) = (model.id, Instant::now());
                    spool.commit(Signed::mint(model.clone()), Vec::new()).await.unwrap();
                    waits.push(begun.elapsed());
                    if settle {
                        let settlement = Settlement::Delivered;
                        spool.record(vec![Change::Settled { id, recipient: 0, settlement }]);
                    }
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    waits.sort();
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap();
    let rate = waits.len() as u64 * 1000 / millis;
    println!(
        "{writers} writers, {octets} octets, settled {settle}: {rate}/s, p50 {:?}, p99 {:?}, \
         sync {} us, {} MB/s, {} MiB resident, {:?}",
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100],
        spool.usage().sync_micros,
        rate * octets as u64 / 1_000_000,
        rss_kib() / 1024,
        spool.usage(),
    );
    spool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures by request"]
async fn commits() {
    for settle in [false, true] {
        for (writers, octets) in [(1, 4096), (20, 4096), (100, 4096), (20, 102_400), (100, 102_400)]
        {
            pace(writers, octets, settle).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures by request"]
async fn a_million() {
    let count: u128 =
        std::env::var("POSTERN_MILLION").map_or(1_000_000, |count| count.parse().unwrap());
    let bench = Bench::new();
    let (spool, _) = bench.open().await;
    let before = rss_kib();
    let start = Instant::now();
    let tasks: Vec<_> = (0..100u128)
        .map(|task| {
            let spool: Spool = spool.clone();
            tokio::spawn(async move {
                for id in (1..=count).skip(usize::try_from(task).unwrap()).step_by(100) {
                    spool.commit(signed(id, 1, 300), Vec::new()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!("stored {count} in {:?}; {:?}", start.elapsed(), spool.usage());
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("resident {} KiB more than before", rss_kib().saturating_sub(before));
    spool.close().await;
    drop(spool);
    for state in ["kept", "removed"] {
        if state == "removed" {
            std::fs::remove_dir_all(bench.config().path.join("state")).unwrap();
        }
        let before = rss_kib();
        let start = Instant::now();
        let (spool, mut recovery) = Spool::open(&bench.config(), bench.tell()).unwrap();
        let opened = start.elapsed();
        spool.commit(signed(count + 7, 1, 300), Vec::new()).await.unwrap();
        let first = start.elapsed();
        let mut live = 0;
        while let Some(batch) = recovery.next().await {
            live += batch.len() as u128;
        }
        println!(
            "state {state}: open {opened:?}, first commit {first:?}, {live} indexed {:?}, \
             resident +{} KiB, {:?}",
            start.elapsed(),
            rss_kib().saturating_sub(before),
            spool.usage(),
        );
        let settlement = Settlement::Delivered;
        let id = QueueId(count + 7);
        let change = Change::Settled { id, recipient: 0, settlement };
        spool.record_durably(vec![change]).await.unwrap();
        spool.close().await;
    }
}
