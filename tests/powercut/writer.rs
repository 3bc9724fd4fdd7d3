//! The writer: several tasks store and settle messages; every intent and every acknowledgement is
//! printed with the length of the block log at that moment.
//!
//! ```text
//! I id          a message is about to be stored        A id          it is in custody
//! S id r        a recipient is about to be settled     D id r        that is durable
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use postern::base::chance::Chance;
use postern::base::id::QueueId;
use postern::base::time::WallTime;
use postern::mail::queued::{Change, Settlement};
use postern::mail::reply::PeerReply;
use postern::mail::stage::Signed;
use postern::store::spool::Spool;

use crate::letters;

const TASKS: u64 = 4;

/// Open recipients by message.
type Open = Arc<Mutex<BTreeMap<u64, Vec<u16>>>>;

pub(crate) fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(write());
}

fn say(what: &str, id: u64, recipient: Option<u16>) {
    let log = std::env::var("POWERCUT_LOG").unwrap();
    let octets = std::fs::metadata(log).unwrap().len();
    println!("@ {what} {id} {} {octets}", recipient.map_or(-1, i32::from));
}

fn say_all(what: &str, recipients: &[(u64, u16)]) {
    for (id, recipient) in recipients {
        say(what, *id, Some(*recipient));
    }
}

async fn write() {
    let tell: postern::store::Tell = Arc::new(|_| {});
    let (spool, mut recovery) = Spool::open_on(&letters::config(), tell, letters::disk()).unwrap();
    let open: Open = Arc::default();
    while let Some(batch) = recovery.next().await {
        for queued in batch {
            let id = u64::try_from(queued.id.0).unwrap();
            let recipients = queued.recipients.iter().map(|r| r.index).collect();
            open.lock().unwrap().insert(id, recipients);
        }
    }
    let seed: u64 = std::env::var("POWERCUT_SEED").unwrap().parse().unwrap();
    let count: u64 = std::env::var("POWERCUT_COUNT").unwrap().parse().unwrap();
    let next = Arc::new(AtomicU64::new(seed));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (spool, open, next) = (spool.clone(), open.clone(), next.clone());
            tokio::spawn(work(spool, open, next, seed + count, Chance::new(seed ^ task)))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    if std::env::var("POWERCUT_CLOSE").is_ok() {
        spool.close().await;
    }
    println!("@ END 0 -1 0");
    // The driver ends this process; what was not closed is as after a crash.
    std::thread::sleep(std::time::Duration::from_secs(60));
}

async fn work(spool: Spool, open: Open, next: Arc<AtomicU64>, end: u64, mut chance: Chance) {
    loop {
        let id = next.fetch_add(1, Relaxed);
        if id >= end {
            return;
        }
        let (recipients, octets) = letters::shape(id);
        let settles = if chance.below(8) == 0 { pick(&open, &mut chance, 1) } else { Vec::new() };
        say_all("S", &settles);
        say("I", id, None);
        let changes = settles.iter().map(|(id, r)| delivered(*id, *r)).collect();
        let signed = Signed::mint(letters::parcel(id, recipients, octets));
        let custody = spool.commit(signed, changes).await.unwrap();
        assert_eq!(custody.id(), QueueId(u128::from(id)));
        say("A", id, None);
        say_all("D", &settles);
        open.lock().unwrap().insert(id, (0..recipients).collect());
        settle(&spool, &open, &mut chance).await;
        if chance.below(12) == 0 {
            // The state's beat falls into quiet moments as well as into busy ones.
            tokio::time::sleep(std::time::Duration::from_millis(chance.below(400))).await;
        }
    }
}

/// Settles some of what is open, with and without waiting; most messages live but a moment.
async fn settle(spool: &Spool, open: &Open, chance: &mut Chance) {
    let some = chance.below(4);
    let picked = pick(open, chance, some);
    if picked.is_empty() {
        return;
    }
    say_all("S", &picked);
    let mut changes: Vec<_> = picked.iter().map(|(id, r)| delivered(*id, *r)).collect();
    if let Some((id, _)) = picked.first() {
        changes.insert(0, deferred(*id));
    }
    if chance.below(3) == 0 {
        spool.record(changes);
    } else {
        spool.record_durably(changes).await.unwrap();
        say_all("D", &picked);
    }
}

fn pick(open: &Open, chance: &mut Chance, count: u64) -> Vec<(u64, u16)> {
    let mut open = open.lock().unwrap();
    let mut picked = Vec::new();
    for _ in 0..count {
        // Seven of eight picks are among the youngest: the others stay, and are copied on.
        let len = open.len() as u64;
        let span = if chance.below(8) == 0 { len } else { len.min(6) };
        let Some(back) = (span > 0).then(|| usize::try_from(chance.below(span)).unwrap()) else {
            break;
        };
        let id = *open.keys().rev().nth(back).unwrap();
        let recipients = open.get_mut(&id).unwrap();
        picked.extend(recipients.pop().map(|r| (id, r)));
        if recipients.is_empty() {
            open.remove(&id);
        }
    }
    picked
}

fn delivered(id: u64, recipient: u16) -> Change {
    let id = QueueId(u128::from(id));
    Change::Settled { id, recipient, settlement: Settlement::Delivered }
}

fn deferred(id: u64) -> Change {
    let reply = PeerReply::new(451, None, "come again");
    let next = WallTime(1_790_000_300_000);
    let settlement = Settlement::Deferred { attempts: 1, next, reply };
    Change::Settled { id: QueueId(u128::from(id)), recipient: 0, settlement }
}
