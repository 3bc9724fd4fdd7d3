//! One domain by several ways; rules that change; ways that are closed for a time.

use super::*;

/// Each source has the pool that its name begins with; notifications go by "default".
fn by_source() -> Assignment {
    Assignment::new(|source, _| match source {
        Some(source) => {
            let pool = source.as_str().split('-').next().unwrap();
            Way::new(pool, &format!("{pool}-1"))
        }
        None => Way::new("default", "default"),
    })
}

fn way_of(desk: &Desk, id: QueueId) -> String {
    desk.queue.show(id, desk.at).unwrap().legs[0].way.clone()
}

#[test]
fn one_domain_by_two_ways_is_two_destinations_in_two_lanes() {
    let mut desk = Desk::new(Rules { ways: by_source(), ..rules() });
    let (red, blue) =
        (desk.add("red-shop", Otp, "example.net"), desk.add("blue-shop", Otp, "example.net"));
    assert_eq!(way_of(&desk, red), "red/red-1");
    assert_eq!(desk.queue.counts().destinations, 2);
    let sent = desk.drain();
    assert_eq!(sent.len(), 2);
    let first = desk.job(sent[0]);
    assert_eq!(desk.job(sent[1]), if first == red { blue } else { red });
    // What is learned of the provider is learned once; each home keeps lanes of its own.
    let domain = Domain::parse("example.net").unwrap();
    desk.queue.handle_provider(&domain, "provider.example", desk.at.now);
    let rows = desk.queue.page_lanes(0, 9, desk.at);
    let names: Vec<_> = rows.iter().map(|row| (&*row.lane, &*row.home)).collect();
    assert_eq!(names, [("provider.example", "blue-1"), ("provider.example", "red-1")]);
    // A third way inherits what is known.
    desk.add("green-shop", Otp, "example.net");
    assert_eq!(desk.queue.page_lanes(0, 9, desk.at).len(), 3);
    // Slowing down on one way leaves the other alone.
    desk.queue.handle_outcomes(sent[0], &[0], DONE, Health::Throttled, desk.at.now);
    let allowed: Vec<u32> =
        desk.queue.page_lanes(0, 9, desk.at).iter().map(|row| row.allowed).collect();
    assert!(allowed.contains(&2) && allowed.contains(&5), "{allowed:?}");
    // A selection by domain or lane sees all ways.
    let selection = Selection { domain: Some(domain), ..Selection::default() };
    assert_eq!(desk.queue.count(&selection).messages.len(), 2);
    let lane = Some("provider.example".to_owned());
    let selection = Selection { lane, ..Selection::default() };
    assert_eq!(desk.queue.count(&selection).messages.len(), 2);
    for carrier in sent {
        desk.delivered(carrier);
        desk.leave(carrier);
    }
    for carrier in desk.drain() {
        desk.job(carrier);
        desk.delivered(carrier);
        desk.leave(carrier);
    }
    desk.pass(Duration::from_secs(100_000));
    let counts = desk.queue.counts();
    assert_eq!((counts.messages, counts.destinations, counts.lanes), (0, 0, 0));
    assert!(desk.queue.destination_of.is_empty() && desk.queue.alarms.is_empty());
}

#[test]
fn notifications_take_a_way_of_their_own() {
    let mut desk = Desk::new(Rules { ways: by_source(), ..rules() });
    let mut queued = desk.message("red-shop", Transactional, "example.net");
    queued.label.notification = true;
    assert!(desk.queue.handle_custody(&queued, desk.at));
    assert_eq!(way_of(&desk, queued.id), "default");
}

/// The pool is gone from the configuration: what is queued, held, waiting, or in flight moves.
#[test]
fn mail_of_a_pool_that_is_gone_takes_the_new_way() {
    let mut desk = Desk::new(Rules { ways: by_source(), ..rules() });
    let ids: Vec<QueueId> =
        (0..6).map(|_| desk.add("red-shop", Transactional, "example.net")).collect();
    let other = desk.add("blue-shop", Transactional, "example.net");
    let one = |id: QueueId| Selection { ids: Some(vec![id]), ..Selection::default() };
    desk.queue.hold(&one(ids[5]), desk.at.now);
    let sent = desk.drain();
    let red = sent.iter().copied().find(|carrier| desk.ways[carrier].pool == "red".into()).unwrap();
    let busy = desk.job(red);
    desk.deferred(red, Health::Neutral);
    let in_flight = desk.job(red);
    assert_ne!(busy, in_flight);
    let ways = Assignment::always(Way::new("new", "new-1"));
    desk.queue.set_rules(Rules { ways, ..rules() }, desk.at.now);
    for id in ids.iter().chain([&other]) {
        assert_eq!(way_of(&desk, *id), "new/new-1");
    }
    // The carrier of the old way finds nothing more, and what it had counts.
    assert!(matches!(desk.deferred(red, Health::Good), Some(Plan::Again(_))));
    assert_eq!(desk.next(red), Next::Wait);
    desk.leave(red);
    for carrier in sent.into_iter().filter(|carrier| *carrier != red) {
        assert_ne!(desk.next(carrier), Next::Leave);
        desk.leave(carrier);
    }
    desk.queue.release(&one(ids[5]), desk.at.now);
    let mut seen = 0;
    for _ in 0..100 {
        desk.drain();
        for carrier in desk.carriers.keys().copied().collect::<Vec<_>>() {
            assert_eq!(desk.ways[&carrier], Way::new("new", "new-1"));
            while let Next::Job(_) = desk.next(carrier) {
                desk.delivered(carrier);
                seen += 1;
            }
            desk.leave(carrier);
        }
        desk.pass(Duration::from_secs(600));
    }
    assert_eq!(desk.queue.counts().messages, 0);
    assert_eq!(seen, 7);
    desk.pass(Duration::from_secs(100_000));
    assert_eq!(desk.queue.counts().destinations, 0);
}

#[test]
fn a_destination_that_waits_until_tomorrow_says_so_and_goes_then() {
    let mut desk = Desk::new(rules());
    let id = desk.add("bank", Transactional, "example.net");
    let carrier = desk.drain()[0];
    desk.job(carrier);
    let wait = Duration::from_secs(40_000);
    let until = Untried::Until { wait, reason: "its allowance of the day is used up" };
    desk.queue.handle_untried(carrier, until, desk.at.now);
    desk.leave(carrier);
    let leg = desk.queue.show(id, desk.at).unwrap().legs.remove(0);
    assert_eq!((leg.state, leg.attempts), ("parked", 0));
    assert_eq!(leg.next, Some(desk.at.wall.after(wait)));
    assert!(leg.parked.unwrap().contains("used up"));
    desk.pass(Duration::from_secs(39_990));
    assert!(desk.carriers.is_empty());
    desk.pass(Duration::from_secs(11));
    let carrier = *desk.carriers.keys().next().unwrap();
    assert_eq!(desk.job(carrier), id);
    // The pool opens before its time: another member may carry.
    desk.queue.handle_untried(carrier, until, desk.at.now);
    desk.leave(carrier);
    desk.queue.set_pool("other", false, desk.at.now);
    assert!(desk.drain().is_empty());
    desk.queue.set_pool("main", false, desk.at.now);
    let carrier = desk.drain()[0];
    assert_eq!(desk.job(carrier), id);
    // A pool that closes while it waits keeps it waiting.
    desk.queue.handle_untried(carrier, until, desk.at.now);
    desk.leave(carrier);
    desk.queue.set_pool("main", true, desk.at.now);
    desk.pass(Duration::from_secs(100_000));
    assert!(desk.carriers.is_empty());
    desk.queue.set_pool("main", false, desk.at.now);
    assert_eq!(desk.drain().len(), 1);
    assert_eq!(desk.queue.alarms.len(), 0);
}
