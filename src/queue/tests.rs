//! The schedule as a whole, with a hand-driven clock.

mod bench;
mod limits;
mod ways;

use super::*;
use crate::mail::stage::Label;

const CLOSED: Untried<'_> = Untried::Closed { reason: "no link" };

fn lane(name: &str) -> (Box<str>, Arc<str>) {
    (name.into(), "main".into())
}

fn policy(first: u64, longest: u64, lifetime: u64, notice: Option<u64>) -> RetryPolicy {
    RetryPolicy {
        first: Duration::from_secs(first),
        longest: Duration::from_secs(longest),
        lifetime: Duration::from_secs(lifetime),
        delay_notice: notice.map(Duration::from_secs),
    }
}

fn rules() -> Rules {
    Rules {
        retry: [
            policy(15, 120, 900, None),
            policy(300, 4000, 86_400, Some(14_400)),
            policy(600, 4000, 172_800, None),
        ],
        lanes: LaneLimits {
            connections_first: 5,
            connections_max: 20,
            connections_total_max: 100,
            messages_per_connection: 100,
            messages_per_minute: None,
        },
        providers: BTreeMap::new(),
        ways: Assignment::always(Way::new("main", "main")),
    }
}

const WALL: WallTime = WallTime(1_790_000_000_000);
const DONE: Retry = Retry { attempts: 0, wait: Duration::ZERO };

/// A queue, its clock and the carriers that it sent.
struct Desk {
    queue: Queue,
    at: Moment,
    serial: u128,
    carriers: BTreeMap<u64, Domain>,
    ways: BTreeMap<u64, Way>,
    other: Vec<Action>,
}

impl Desk {
    fn new(rules: Rules) -> Self {
        Self {
            queue: Queue::new(rules, 1),
            at: Moment { now: Instant(1_000_000_000), wall: WALL },
            serial: 0,
            carriers: BTreeMap::new(),
            ways: BTreeMap::new(),
            other: Vec::new(),
        }
    }

    fn message(&mut self, source: &str, class: MessageClass, domain: &str) -> Queued {
        self.serial += 1;
        let lifetime = self.queue.rules.retry[class as usize].lifetime;
        let accepted = self.at.wall;
        Queued {
            id: QueueId::new(accepted, self.serial),
            label: Label {
                source: SourceName::new(source).unwrap(),
                class,
                accepted,
                expires: accepted.after(lifetime),
                notification: false,
                priority: 0,
                notice: None,
            },
            held: false,
            octets: 4096,
            recipients: vec![QueuedRecipient {
                index: 0,
                domain: Domain::parse(domain).unwrap(),
                attempts: 0,
                next: accepted,
                delay_noticed: false,
            }],
        }
    }

    fn add(&mut self, source: &str, class: MessageClass, domain: &str) -> QueueId {
        let queued = self.message(source, class, domain);
        assert!(self.queue.handle_custody(&queued, self.at));
        queued.id
    }

    /// Drains the actions; new carriers' numbers come back.
    fn drain(&mut self) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(action) = self.queue.poll_action() {
            match action {
                Action::Dispatch { carrier, domain, way } => {
                    self.carriers.insert(carrier, domain);
                    self.ways.insert(carrier, way);
                    sent.push(carrier);
                }
                other => self.other.push(other),
            }
        }
        sent
    }

    fn next(&mut self, carrier: u64) -> Next {
        self.queue.next_job(carrier, true, self.at.now)
    }

    fn job(&mut self, carrier: u64) -> QueueId {
        match self.next(carrier) {
            Next::Job(ticket) => ticket.id,
            other => panic!("{other:?}"),
        }
    }

    fn delivered(&mut self, carrier: u64) -> bool {
        self.queue.handle_outcomes(carrier, &[0], DONE, Health::Good, self.at.now).0
    }

    fn deferred(&mut self, carrier: u64, health: Health) -> Option<Plan> {
        let plan = self.queue.plan_retry(carrier, Duration::ZERO, self.at.now);
        if let Some(Plan::Again(retry)) = plan {
            self.queue.handle_outcomes(carrier, &[], retry, health, self.at.now);
        }
        plan
    }

    fn leave(&mut self, carrier: u64) {
        self.carriers.remove(&carrier);
        self.queue.handle_leave(carrier, self.at.now);
    }

    fn pass(&mut self, wait: Duration) {
        let end = self.at.now.after(wait);
        while let Some(at) = self.queue.poll_timeout().filter(|at| *at <= end) {
            self.at.wall = self.at.wall.after(at.since(self.at.now));
            self.at.now = self.at.now.max(at);
            self.queue.handle_timeout(self.at.now);
            let carriers = self.drain();
            assert!(carriers.len() < 200);
        }
        self.at.wall = self.at.wall.after(end.since(self.at.now));
        self.at.now = end;
    }
}

use MessageClass::{Otp, Subscribed, Transactional};

#[test]
fn a_message_goes_through_and_nothing_is_left() {
    let mut desk = Desk::new(rules());
    let id = desk.add("shop", Transactional, "example.net");
    let sent = desk.drain();
    assert_eq!(sent.len(), 1);
    assert_eq!(desk.job(sent[0]), id);
    assert!(desk.delivered(sent[0]));
    assert_eq!(desk.next(sent[0]), Next::Wait);
    assert!(desk.drain().is_empty());
    let second = desk.add("shop", Transactional, "example.net");
    assert!(desk.drain().is_empty());
    assert_eq!(desk.other, [Action::Wake { carrier: sent[0] }]);
    assert_eq!(desk.job(sent[0]), second);
    assert!(desk.delivered(sent[0]));
    desk.leave(sent[0]);
    assert_eq!(desk.queue.counts().messages, 0);
    assert!(desk.queue.patience.is_empty() && desk.queue.due.is_empty());
    desk.pass(Duration::from_secs(700));
    assert_eq!((desk.queue.counts().destinations, desk.queue.counts().lanes), (0, 0));
    assert_eq!(desk.queue.poll_timeout(), None);
}

#[test]
fn a_stranger_gets_one_connection_and_a_good_provider_ever_more() {
    let mut desk = Desk::new(rules());
    for _ in 0..500 {
        desk.add("shop", Transactional, "example.net");
    }
    let first = desk.drain();
    assert_eq!(first.len(), 1, "one until the provider is known");
    let domain = Domain::parse("example.net").unwrap();
    desk.job(first[0]);
    desk.queue.handle_provider(&domain, "provider.example", desk.at.now);
    // Five, of which one is kept for one-time passwords.
    let mut sent = desk.drain();
    assert_eq!(sent.len(), 3);
    for _ in 0..30 {
        desk.delivered(first[0]);
        desk.job(first[0]);
    }
    sent.extend(desk.drain());
    for carrier in sent {
        desk.job(carrier);
    }
    assert_eq!(desk.carriers.len(), 19);
    desk.add("shop", Otp, "example.net");
    assert_eq!(desk.drain().len(), 1);
    assert_eq!(desk.carriers.len(), 20);
}

#[test]
fn an_otp_never_waits_behind_a_batch() {
    let mut desk = Desk::new(rules());
    for _ in 0..500 {
        desk.add("shop", Subscribed, "example.net");
    }
    let first = desk.drain()[0];
    desk.job(first);
    desk.delivered(first);
    for carrier in desk.drain() {
        desk.job(carrier);
    }
    desk.job(first);
    // Another domain of the same provider.
    let otp = desk.add("bank", Otp, "example.org");
    let sent = desk.drain();
    assert_eq!(desk.job(sent[0]), otp);
    // The same domain: the next one who asks carries it.
    let otp = desk.add("bank", Otp, "example.net");
    let sent = desk.drain();
    assert_eq!(desk.job(sent[0]), otp);
    desk.delivered(sent[0]);
    // The reserved carrier does not take the batch while the others are at it.
    let lane = &desk.queue.lanes[desk.queue.lane_of[&lane("example.net")]];
    let full = lane.busy_ordinary >= lane.allowed_for(Subscribed, desk.at.now);
    assert_eq!(matches!(desk.next(sent[0]), Next::Wait), full);
}

#[test]
fn urgent_mail_of_another_domain_gets_the_connection_of_a_batch() {
    let mut rules = rules();
    (rules.lanes.connections_first, rules.lanes.connections_max) = (1, 1);
    let mut desk = Desk::new(rules);
    for _ in 0..50 {
        desk.add("shop", Subscribed, "a.example");
    }
    let batch = desk.drain()[0];
    let provider = |desk: &mut Desk, domain: &str| {
        let domain = Domain::parse(domain).unwrap();
        desk.queue.handle_provider(&domain, "provider.example", desk.at.now);
    };
    provider(&mut desk, "a.example");
    desk.job(batch);
    desk.delivered(batch);
    desk.job(batch);
    let otp = desk.add("bank", Otp, "b.example");
    provider(&mut desk, "b.example");
    assert!(desk.drain().is_empty(), "one connection is all that the provider gets");
    desk.delivered(batch);
    assert_eq!(desk.next(batch), Next::Leave);
    desk.leave(batch);
    let sent = desk.drain();
    assert_eq!(desk.job(sent[0]), otp);
}

#[test]
fn sources_take_turns_and_a_bomb_does_not_delay_others() {
    let mut desk = Desk::new(rules());
    for _ in 0..10_000 {
        desk.add("bomb", Transactional, "example.net");
    }
    let small: Vec<QueueId> =
        (0..5).map(|_| desk.add("small", Transactional, "example.net")).collect();
    let carrier = desk.drain()[0];
    let mut order = Vec::new();
    for _ in 0..10 {
        order.push(desk.job(carrier));
        desk.delivered(carrier);
    }
    assert!(small.iter().all(|id| order.contains(id)), "every second turn is theirs");
}

#[test]
fn no_class_starves() {
    let mut desk = Desk::new(rules());
    for _ in 0..210 {
        for class in MessageClass::ALL {
            desk.add("shop", class, "example.net");
        }
    }
    let carrier = desk.drain()[0];
    let mut counts = [0; 3];
    for _ in 0..84 {
        let id = desk.job(carrier);
        counts[desk.queue.show(id, desk.at).unwrap().class as usize] += 1;
        desk.delivered(carrier);
    }
    assert_eq!(counts, [64, 16, 4]);
}

#[test]
fn a_dead_destination_is_probed_by_one_connection() {
    let mut desk = Desk::new(rules());
    for _ in 0..1000 {
        desk.add("shop", Transactional, "dead.example");
    }
    let (mut probes, mut most) = (0, 0);
    let end = desk.at.now.after(Duration::from_secs(3600));
    let mut sent = desk.drain();
    while desk.at.now < end {
        most = most.max(sent.len());
        for carrier in std::mem::take(&mut sent) {
            desk.job(carrier);
            probes += 1;
            desk.deferred(carrier, Health::Down);
            assert_eq!(desk.next(carrier), Next::Leave);
            desk.leave(carrier);
        }
        assert!(desk.drain().is_empty());
        let Some(at) = desk.queue.poll_timeout() else { break };
        desk.at.now = desk.at.now.max(at);
        desk.queue.handle_timeout(desk.at.now);
        sent = desk.drain();
    }
    assert_eq!(most, 1);
    assert!((8..=14).contains(&probes), "{probes} probes in an hour");
    // It is well again: everything flows after one good answer.
    desk.at.now = desk.queue.destinations[0].shut_until;
    desk.queue.handle_timeout(desk.at.now);
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.delivered(carrier);
    assert!(!desk.drain().is_empty() || matches!(desk.next(carrier), Next::Job(_)));
}

#[test]
fn retries_double_with_jitter_and_end_in_expiry() {
    let mut desk = Desk::new(rules());
    let id = desk.add("bank", Otp, "example.net");
    let (mut waits, start) = (Vec::new(), desk.at.now);
    let mut sent = desk.drain();
    let expired = loop {
        for carrier in std::mem::take(&mut sent) {
            assert_eq!(desk.job(carrier), id);
            match desk.deferred(carrier, Health::Neutral) {
                Some(Plan::Again(retry)) => waits.push(retry.wait.as_secs()),
                other => panic!("{other:?}"),
            }
            desk.leave(carrier);
        }
        sent = desk.drain();
        if let Some(Action::Expire(overdue)) = desk.other.pop() {
            break overdue;
        }
        desk.at.now = desk.queue.poll_timeout().unwrap();
        desk.queue.handle_timeout(desk.at.now);
        sent.extend(desk.drain());
        if let Some(Action::Expire(overdue)) = desk.other.pop() {
            break overdue;
        }
    };
    assert!(waits[0] >= 12 && waits[0] <= 18 && waits[1] >= 24 && waits[1] <= 36, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 144));
    assert_eq!((expired.id, expired.recipients.clone()), (id, vec![0]));
    let lived = desk.at.now.since(start).as_secs();
    assert!((900..=901).contains(&lived), "{lived}");
    desk.queue.handle_postponed(&expired, desk.at.now);
    assert!(desk.queue.contains(id), "not forgotten before it is recorded");
    desk.pass(Duration::from_secs(61));
    let again = desk.other.iter().any(|a| matches!(a, Action::Expire(o) if o.id == id));
    assert!(again || !desk.carriers.is_empty());
    assert!(desk.queue.handle_expired(&expired, desk.at.now) || again);
}

#[test]
fn the_sender_is_told_of_a_delay_once() {
    let mut desk = Desk::new(rules());
    desk.queue.set_pool("main", true, desk.at.now);
    let id = desk.add("shop", Transactional, "example.net");
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.queue.handle_untried(carrier, CLOSED, desk.at.now);
    desk.leave(carrier);
    desk.pass(Duration::from_secs(14_399));
    assert!(desk.other.is_empty());
    desk.pass(Duration::from_secs(20_000));
    let notices: Vec<_> = desk.other.drain(..).collect();
    assert!(matches!(&notices[..], [Action::NoticeDelay(o)] if o.id == id && o.attempts == 0));
}

#[test]
fn mail_that_waits_for_our_own_way_out_burns_no_attempt_and_never_expires() {
    let mut desk = Desk::new(rules());
    let id = desk.add("bank", Otp, "example.net");
    desk.queue.set_pool("main", true, desk.at.now);
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.queue.handle_untried(carrier, CLOSED, desk.at.now);
    assert_eq!(desk.next(carrier), Next::Leave);
    desk.leave(carrier);
    desk.pass(Duration::from_secs(90_000));
    assert!(desk.carriers.is_empty() && desk.other.is_empty());
    desk.queue.set_pool("main", false, desk.at.now);
    let carrier = desk.drain()[0];
    assert_eq!(desk.next(carrier), Next::Job(Ticket { id, recipients: vec![0], attempts: 0 }));
    assert!(matches!(desk.deferred(carrier, Health::Neutral), Some(Plan::Over { attempts: 1 })));
}

/// The broker comes up a moment after the first message: nothing is known of the egress, or the
/// news that it is whole has crossed the carrier's news that it is not.
#[test]
fn mail_that_came_before_the_way_out_waits_for_a_moment_only() {
    let mut desk = Desk::new(rules());
    let id = desk.add("bank", Otp, "example.net");
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.queue.set_pool("main", false, desk.at.now);
    desk.queue.handle_untried(carrier, CLOSED, desk.at.now);
    desk.leave(carrier);
    desk.pass(Duration::from_secs(2));
    let carrier = *desk.carriers.keys().next().unwrap();
    assert_eq!(desk.next(carrier), Next::Job(Ticket { id, recipients: vec![0], attempts: 0 }));
}

#[test]
fn held_mail_never_leaves_and_never_expires() {
    let mut desk = Desk::new(rules());
    let shop = SourceName::new("shop").unwrap();
    let by_id = desk.add("bank", Otp, "example.net");
    let by_source = desk.add("shop", Otp, "example.net");
    let one = Selection { ids: Some(vec![by_id]), ..Selection::default() };
    assert_eq!(desk.queue.hold(&one, desk.at.now), [by_id]);
    assert_eq!(desk.queue.set_source_state(&shop, SourceState::Disabled, desk.at.now), 1);
    let late = desk.add("shop", Transactional, "example.net");
    for carrier in desk.drain() {
        assert!(!matches!(desk.next(carrier), Next::Job(_)));
        desk.leave(carrier);
    }
    desk.pass(Duration::from_secs(90_000));
    assert!(desk.other.iter().all(|a| !matches!(a, Action::Expire(_))));
    assert!(desk.carriers.is_empty());
    assert_eq!(desk.queue.release(&one, desk.at.now), [by_id]);
    desk.queue.set_source_state(&shop, SourceState::Active, desk.at.now);
    let carrier = desk.drain()[0];
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(desk.job(carrier));
        desk.delivered(carrier);
    }
    seen.sort();
    let mut all = vec![by_id, by_source, late];
    all.sort();
    assert_eq!(seen, all);
}

#[test]
fn stop_all_stops_and_resumes() {
    let mut desk = Desk::new(rules());
    desk.queue.set_stopped(true, desk.at.now);
    desk.add("shop", Otp, "example.net");
    assert!(desk.drain().is_empty());
    desk.pass(Duration::from_secs(5000));
    assert!(desk.other.is_empty());
    desk.queue.set_stopped(false, desk.at.now);
    assert_eq!(desk.drain().len(), 1);
}

#[test]
fn a_clock_that_jumps_expires_nothing_and_delays_nothing_for_long() {
    let mut desk = Desk::new(rules());
    let mut found = desk.message("shop", Transactional, "example.net");
    found.recipients[0].next = WallTime(u64::MAX);
    let year = Duration::from_secs(365 * 86_400);
    let future = Moment { wall: desk.at.wall.after(year), ..desk.at };
    assert_eq!(desk.queue.handle_recovered(std::slice::from_ref(&found), future), 1);
    let view = desk.queue.show(found.id, future).unwrap();
    assert!(view.expires.since(future.wall) >= Duration::from_secs(890));
    assert!(view.legs[0].next.unwrap().since(future.wall) <= Duration::from_secs(8000));
    let mut past = desk.message("shop", Transactional, "example.net");
    past.label.accepted = future.wall;
    past.label.expires = future.wall.after(Duration::from_secs(86_400));
    desk.queue.handle_recovered(std::slice::from_ref(&past), desk.at);
    let left = desk.queue.show(past.id, desk.at).unwrap().expires.since(desk.at.wall);
    assert!(left <= Duration::from_secs(86_401), "{left:?}");
}

#[test]
fn a_provider_that_asks_for_less_again_and_again_gets_a_pause() {
    let mut desk = Desk::new(rules());
    for _ in 0..100 {
        desk.add("shop", Transactional, "example.net");
    }
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.delivered(carrier);
    for _ in 0..3 {
        desk.job(carrier);
        desk.deferred(carrier, Health::Throttled);
    }
    assert_eq!(desk.next(carrier), Next::Leave, "three attempts are burnt, not a hundred");
    desk.leave(carrier);
    assert!(desk.queue.page_lanes(0, 1, desk.at)[0].allowed <= 3);
}

#[test]
fn mail_of_a_clock_that_was_not_set_lives_its_whole_life() {
    let mut desk = Desk::new(rules());
    let now = desk.at;
    desk.at.wall = WallTime(1000);
    let old = desk.message("shop", Transactional, "example.net");
    desk.queue.handle_recovered(std::slice::from_ref(&old), now);
    let left = desk.queue.show(old.id, now).unwrap().expires.since(now.wall);
    assert!(left >= Duration::from_secs(86_400), "{left:?}");
}

#[test]
fn the_rate_is_kept() {
    let mut rules = rules();
    rules.lanes.messages_per_minute = Some(30);
    let mut desk = Desk::new(rules);
    for _ in 0..100 {
        desk.add("shop", Transactional, "example.net");
    }
    let (mut sent, mut carriers) = (0, desk.drain());
    for _ in 0..600 {
        for carrier in std::mem::take(&mut carriers) {
            while let Next::Job(_) = desk.next(carrier) {
                sent += 1;
                desk.delivered(carrier);
            }
        }
        desk.at.now = desk.at.now.after(Duration::from_millis(100));
        desk.queue.handle_timeout(desk.at.now);
        carriers = desk.drain();
        for action in desk.other.drain(..) {
            if let Action::Wake { carrier } = action {
                carriers.push(carrier);
            }
        }
    }
    assert!((29..=31).contains(&sent), "{sent} in a minute");
}

#[test]
fn selections_match_what_they_say() {
    let mut desk = Desk::new(rules());
    let a = desk.add("shop", Transactional, "example.net");
    let b = desk.add("bank", Otp, "example.net");
    let c = desk.add("shop", Transactional, "example.org");
    let by = |selection: &Selection| desk.queue.count(selection).messages;
    let shop = SourceName::new("shop");
    assert_eq!(by(&Selection { source: shop.clone(), ..Selection::default() }), [a, c]);
    assert_eq!(by(&Selection { class: Some(Otp), ..Selection::default() }), [b]);
    let domain = Domain::parse("example.org").ok();
    assert_eq!(by(&Selection { domain: domain.clone(), ..Selection::default() }), [c]);
    let lane = Some("example.net".to_owned());
    assert_eq!(by(&Selection { lane, ..Selection::default() }), [a, b]);
    assert_eq!(by(&Selection::default()).len(), 3);
    let nobody = SourceName::new("nobody");
    assert!(by(&Selection { source: nobody, ..Selection::default() }).is_empty());
    let (purged, busy) =
        desk.queue.purge(&Selection { source: shop, ..Selection::default() }, desk.at.now);
    assert_eq!((purged.len(), busy), (2, 0));
    for overdue in &purged {
        assert!(desk.queue.handle_expired(overdue, desk.at.now));
    }
    assert_eq!(desk.queue.counts().messages, 1);
    let rows = desk.queue.page_lanes(0, 10, desk.at);
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].lane.as_str(), rows[0].ready), ("example.net", 1));
    assert_eq!(desk.queue.page_lanes(1, 10, desk.at).len(), 1);
}

#[test]
fn a_damaged_message_is_out_and_the_rest_goes_on() {
    let mut desk = Desk::new(rules());
    let bad = desk.add("shop", Transactional, "example.net");
    let good = desk.add("shop", Transactional, "example.net");
    let carrier = desk.drain()[0];
    assert_eq!(desk.job(carrier), bad);
    desk.queue.handle_damaged(carrier, desk.at.now);
    assert!(!desk.queue.contains(bad));
    assert_eq!(desk.job(carrier), good);
}

#[test]
fn a_carrier_that_dies_gives_its_job_back_without_a_loop() {
    let mut desk = Desk::new(rules());
    let id = desk.add("shop", Transactional, "example.net");
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.leave(carrier);
    assert!(desk.drain().is_empty());
    desk.at.now = desk.at.now.after(Duration::from_secs(61));
    desk.queue.handle_timeout(desk.at.now);
    let carrier = desk.drain()[0];
    assert_eq!(desk.job(carrier), id);
}
