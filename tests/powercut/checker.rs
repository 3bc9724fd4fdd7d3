//! The checker: opens what a cut left and compares it with what had been printed by then.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex};

use postern::base::id::QueueId;
use postern::event::Event;
use postern::mail::stage::Signed;
use postern::store::spool::Spool;

use crate::letters;

pub(crate) fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check());
}

#[derive(Default)]
struct Printed {
    tried: BTreeSet<u64>,
    stored: BTreeSet<u64>,
    settling: BTreeSet<(u64, u16)>,
    settled: BTreeSet<(u64, u16)>,
}

fn printed() -> Printed {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let mut printed = Printed::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let what = words.next().unwrap();
        let id = words.next().unwrap().parse().unwrap();
        let recipient = words.next().unwrap().parse().unwrap_or(u16::MAX);
        match what {
            "I" => drop(printed.tried.insert(id)),
            "A" => drop(printed.stored.insert(id)),
            "S" => drop(printed.settling.insert((id, recipient))),
            "D" => drop(printed.settled.insert((id, recipient))),
            other => panic!("what is {other}?"),
        }
    }
    printed
}

async fn check() {
    let printed = printed();
    let facts: Arc<Mutex<Vec<Event>>> = Arc::default();
    let heard = Arc::clone(&facts);
    let tell: postern::store::Tell = Arc::new(move |fact| heard.lock().unwrap().push(fact));
    let (spool, mut recovery) =
        Spool::open_on(&letters::config(), tell, letters::disk()).expect("the spool opens");
    let mut live: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
    while let Some(batch) = recovery.next().await {
        for queued in batch {
            let id = u64::try_from(queued.id.0).unwrap();
            let open = queued.recipients.iter().map(|r| r.index).collect();
            assert!(live.insert(id, open).is_none(), "message {id} came twice");
        }
    }
    let (mut lost, mut zombies, mut wrong) = (0, 0, 0);
    for id in &printed.stored {
        for recipient in 0..letters::shape(*id).0 {
            let here = live.get(id).is_some_and(|open| open.contains(&recipient));
            let (settling, settled) = (
                printed.settling.contains(&(*id, recipient)),
                printed.settled.contains(&(*id, recipient)),
            );
            if !here && !settling {
                println!("# lost {id} {recipient}");
                lost += 1;
            }
            if here && settled {
                println!("# zombie {id} {recipient}");
                zombies += 1;
            }
        }
    }
    for id in live.keys() {
        let (recipients, octets) = letters::shape(*id);
        let known = printed.stored.contains(id) || printed.tried.contains(id);
        let fetched = spool.fetch(QueueId(u128::from(*id))).await;
        let expected = letters::parcel(*id, recipients, octets);
        if !known || fetched.as_deref() != Ok(&expected) {
            println!("# wrong {id}");
            wrong += 1;
        }
    }
    // It is a spool that works, not a museum.
    let another = Signed::mint(letters::parcel(u64::MAX, 1, 100));
    let works = spool.commit(another, Vec::new()).await.is_ok();
    spool.close().await;
    let facts = facts.lock().unwrap();
    let rebuilt = facts.iter().any(|fact| matches!(fact, Event::StateRebuilt { .. }));
    let damaged = facts.iter().filter(|fact| matches!(fact, Event::RecordQuarantined { .. }));
    println!(
        "@ RESULT lost={lost} zombies={zombies} wrong={wrong} works={} live={} acknowledged={} \
         rebuilt={} damaged={}",
        i32::from(works),
        live.len(),
        printed.stored.len(),
        i32::from(rebuilt),
        damaged.count()
    );
}
