//! Limits of providers, pauses, holds, priorities.

use super::*;
use crate::base::limits::{HOLD_PROBE, LANE_PAUSES, OVERDUE_RECHECK};
use crate::mail::meaning::Defect;

fn with_provider(name: &str, connections_max: u32, per_minute: Option<u32>) -> Rules {
    let mut rules = rules();
    let limits = LaneLimits {
        connections_first: connections_max.min(5),
        connections_max,
        messages_per_minute: per_minute,
        ..rules.lanes
    };
    rules.providers.insert(name.to_owned(), limits);
    rules
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn reply(text: &str) -> PeerReply {
    PeerReply::new(550, "5.7.27".parse().ok(), text)
}

impl Desk {
    fn joins(&mut self, name: &str, provider: &str) {
        self.queue.handle_provider(&domain(name), provider, self.at.now);
    }

    /// A job that meets a defect of ours, as the sorting desk settles it.
    fn defective(&mut self, carrier: u64, defect: Defect) -> (bool, bool) {
        let told = self.queue.handle_defect(carrier, defect, &reply("no"), self.at.now);
        self.deferred(carrier, Health::Neutral);
        told
    }

    fn row(&self, lane: &str) -> LaneRow {
        let rows = self.queue.page_lanes(0, 100, self.at);
        rows.into_iter().find(|row| row.lane == lane).unwrap()
    }

    /// Lets time pass; every carrier that is sent delivers all that it gets.
    fn flow(&mut self, wait: Duration) -> Vec<QueueId> {
        let (end, mut done) = (self.at.now.after(wait), Vec::new());
        loop {
            let mut carriers = self.drain();
            carriers.extend(self.other.extract_if(.., |a| matches!(a, Action::Wake { .. })).map(
                |action| match action {
                    Action::Wake { carrier } => carrier,
                    other => panic!("{other:?}"),
                },
            ));
            for carrier in &carriers {
                while let Next::Job(ticket) = self.queue.next_job(*carrier, false, self.at.now) {
                    done.push(ticket.id);
                    assert!(self.queue.may_connect(*carrier) || ticket.attempts == 0);
                    self.delivered(*carrier);
                }
                self.leave(*carrier);
            }
            if !carriers.is_empty() {
                continue;
            }
            let Some(at) = self.queue.poll_timeout().filter(|at| *at <= end) else { break };
            self.at.wall = self.at.wall.after(at.since(self.at.now));
            self.at.now = self.at.now.max(at);
            self.queue.handle_timeout(self.at.now);
        }
        self.at.wall = self.at.wall.after(end.since(self.at.now));
        self.at.now = end;
        done
    }
}

#[test]
fn a_provider_has_limits_of_its_own_and_a_reload_changes_them() {
    let mut desk = Desk::new(with_provider("narrow", 2, None));
    for _ in 0..100 {
        desk.add("shop", Transactional, "a.example");
        desk.add("shop", Transactional, "b.example");
    }
    let first = desk.drain();
    for carrier in &first {
        desk.job(*carrier);
    }
    desk.joins("a.example", "narrow");
    desk.joins("b.example", "wide");
    assert_eq!((desk.row("narrow").connections_max, desk.row("wide").connections_max), (2, 20));
    let sent = desk.drain();
    assert_eq!(sent.len(), 3, "one is kept for one-time passwords in either lane");
    desk.queue.set_rules(with_provider("narrow", 9, None), desk.at.now);
    for carrier in &first {
        for _ in 0..30 {
            desk.delivered(*carrier);
            desk.job(*carrier);
        }
    }
    desk.drain();
    assert_eq!(desk.row("narrow").allowed, 9);
    desk.queue.set_rules(with_provider("narrow", 1, None), desk.at.now);
    assert_eq!(desk.row("narrow").allowed, 1);
}

#[test]
fn the_next_token_belongs_to_a_one_time_password() {
    let mut desk = Desk::new(with_provider("slow", 4, Some(6)));
    for _ in 0..50 {
        desk.add("shop", Subscribed, "a.example");
    }
    let batch = desk.drain()[0];
    desk.joins("a.example", "slow");
    desk.job(batch);
    desk.delivered(batch);
    assert_eq!(desk.next(batch), Next::Wait, "one message in ten seconds");
    let otp = desk.add("bank", Otp, "b.example");
    let sent = desk.drain()[0];
    desk.joins("b.example", "slow");
    assert_eq!(desk.next(sent), Next::Wait, "no token for anybody");
    desk.pass(Duration::from_secs(11));
    // Both are there when the token comes; only one is called, and the other would not get it.
    let woken: Vec<Action> = std::mem::take(&mut desk.other);
    assert_eq!(woken, [Action::Wake { carrier: sent }]);
    desk.queue.handle_leave(batch, desk.at.now);
    assert!(desk.drain().is_empty());
    assert_eq!(desk.job(sent), otp);
    desk.delivered(sent);
    let rest = desk.flow(Duration::from_secs(60));
    assert!((5..=7).contains(&rest.len()), "{rest:?}");
}

#[test]
fn a_pause_holds_the_batch_and_lets_one_time_passwords_try() {
    let mut desk = Desk::new(rules());
    for _ in 0..20 {
        desk.add("shop", Transactional, "example.net");
    }
    let carrier = desk.drain()[0];
    desk.joins("example.net", "provider");
    desk.job(carrier);
    let plan = desk.deferred(carrier, Health::Limited(Duration::ZERO));
    assert!(matches!(plan, Some(Plan::Again(_))));
    assert_eq!(desk.next(carrier), Next::Leave);
    desk.leave(carrier);
    let row = desk.row("provider");
    assert_eq!((row.state, row.allowed), (LaneState::Paused, 1));
    assert!(row.until.unwrap() > desk.at.wall);
    let otp = desk.add("bank", Otp, "example.net");
    assert_eq!(desk.flow(Duration::from_secs(40)), [otp], "it does not wait for the pause");
    let rest = desk.flow(Duration::from_secs(40));
    assert_eq!(rest.len(), 19);
    assert_eq!(desk.row("provider").state, LaneState::Slowed);
}

#[test]
fn pauses_grow_and_outlive_the_lane() {
    let mut desk = Desk::new(rules());
    let mut waits = Vec::new();
    for _ in 0..3 {
        desk.add("shop", Transactional, "example.net");
        let carrier = desk.drain()[0];
        desk.joins("example.net", "provider");
        desk.job(carrier);
        let health = Health::Limited(Duration::ZERO);
        let (_, slowed) = desk.queue.handle_outcomes(carrier, &[0], DONE, health, desk.at.now);
        let wait = slowed.unwrap().wait;
        waits.push(wait.as_secs());
        desk.leave(carrier);
        desk.flow(wait.max(Duration::from_secs(700)));
        assert_eq!(desk.queue.counts().lanes, 0);
    }
    for (wait, step) in waits.iter().zip(LANE_PAUSES) {
        assert!(wait.abs_diff(step.as_secs()) <= step.as_secs() / 5, "{waits:?}");
    }
    // A stranger among domains joins the lane that is told to wait.
    desk.add("shop", Transactional, "example.net");
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.joins("example.net", "provider");
    desk.queue.handle_outcomes(carrier, &[0], DONE, Health::Limited(HOLD_PROBE), desk.at.now);
    desk.leave(carrier);
    desk.flow(Duration::from_secs(700));
    desk.add("shop", Transactional, "example.org");
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.joins("example.org", "provider");
    assert!(!desk.queue.may_connect(carrier));
}

#[test]
fn a_host_that_is_not_the_providers_does_not_slow_the_provider() {
    let mut desk = Desk::new(rules());
    for name in ["evil.example", "good.example"] {
        desk.add("shop", Transactional, name);
    }
    let sent = desk.drain();
    for name in ["evil.example", "good.example"] {
        desk.joins(name, "provider");
    }
    let before = desk.row("provider").allowed;
    for _ in 0..5 {
        desk.add("shop", Transactional, "evil.example");
    }
    for _ in 0..3 {
        desk.job(sent[0]);
        desk.deferred(sent[0], Health::Apart);
    }
    assert_eq!(desk.next(sent[0]), Next::Leave, "its own domain pauses");
    assert_eq!(
        (desk.row("provider").allowed, desk.row("provider").state),
        (before, LaneState::Open)
    );
}

#[test]
fn mail_of_a_source_is_held_for_its_defect_until_a_probe_is_taken() {
    let mut desk = Desk::new(rules());
    for _ in 0..5 {
        desk.add("shop", Otp, "example.net");
    }
    let carrier = desk.drain()[0];
    desk.joins("example.net", "provider");
    desk.job(carrier);
    assert_eq!(desk.defective(carrier, Defect::Spf), (true, true));
    desk.leave(carrier);
    let other = desk.add("bank", Otp, "example.net");
    // Held for a day: nothing goes but one probe in four hours, and nothing expires.
    assert_eq!(desk.flow(Duration::from_secs(60)), [other]);
    let row = desk.row("provider");
    assert_eq!((row.state, row.held), (LaneState::Held, 5));
    assert!(row.reason.unwrap().contains("mail of shop: spf is wrong"));
    let mut probes = 0;
    for _ in 0..24 * 12 {
        desk.pass(Duration::from_secs(300));
        for carrier in std::mem::take(&mut desk.carriers).into_keys() {
            desk.job(carrier);
            assert!(desk.queue.may_connect(carrier), "a probe goes in spite of the hold");
            probes += 1;
            assert_eq!(desk.defective(carrier, Defect::Spf), (true, true), "the alarm again");
            assert_eq!(desk.next(carrier), Next::Leave);
            desk.leave(carrier);
        }
    }
    assert!((5..=7).contains(&probes), "{probes} probes in a day");
    assert!(!desk.other.iter().any(|action| matches!(action, Action::Expire(_))));
    assert_eq!(desk.queue.counts().messages, 5);
    // Mended: the probe is taken, and everything follows.
    desk.other.clear();
    assert_eq!(desk.flow(HOLD_PROBE * 2).len(), 5);
    assert!(matches!(&desk.other[..], [Action::HoldEnded(held)] if held.defect == Defect::Spf));
    assert!(desk.queue.held_mail(desk.at).is_empty());
}

#[test]
fn a_defect_of_the_way_holds_the_lane_and_an_operator_releases_it() {
    let mut desk = Desk::new(rules());
    for source in ["shop", "bank"] {
        desk.add(source, Otp, "example.net");
    }
    let carrier = desk.drain()[0];
    desk.joins("example.net", "provider");
    desk.job(carrier);
    assert_eq!(desk.defective(carrier, Defect::Ptr), (true, true));
    desk.leave(carrier);
    // Another domain turns out to be of the same provider.
    desk.add("mint", Otp, "example.org");
    let carrier = desk.drain()[0];
    desk.job(carrier);
    desk.joins("example.org", "provider");
    assert!(!desk.queue.may_connect(carrier));
    desk.queue.handle_untried(carrier, Untried::NoSlot, desk.at.now);
    assert_eq!(desk.next(carrier), Next::Wait);
    desk.leave(carrier);
    assert!(desk.flow(OVERDUE_RECHECK).is_empty());
    assert_eq!(desk.queue.held_mail(desk.at).len(), 1);
    let id = desk.queue.count(&Selection::default()).messages[0];
    assert_eq!(desk.queue.show(id, desk.at).unwrap().legs[0].state, "defect");
    let shop = SourceName::new("shop").unwrap();
    assert_eq!(desk.queue.release_lane("provider", Some(&shop), desk.at.now), 0);
    assert_eq!(desk.queue.release_lane("provider", None, desk.at.now), 1);
    assert_eq!(desk.flow(Duration::from_secs(300)).len(), 3);
}

#[test]
fn a_probe_that_nobody_fetched_goes_back() {
    let mut desk = Desk::new(rules());
    let id = desk.add("shop", Transactional, "example.net");
    let carrier = desk.drain()[0];
    desk.joins("example.net", "provider");
    desk.job(carrier);
    desk.defective(carrier, Defect::Dkim);
    desk.leave(carrier);
    desk.pass(HOLD_PROBE * 2);
    let probe = *desk.carriers.keys().next().unwrap();
    let one = Selection { ids: Some(vec![id]), ..Selection::default() };
    desk.queue.hold(&one, desk.at.now);
    assert_eq!(desk.next(probe), Next::Wait, "an operator's hold counts more");
    desk.leave(probe);
    desk.queue.release(&one, desk.at.now);
    desk.pass(HOLD_PROBE);
    let probe = *desk.carriers.keys().next().unwrap();
    desk.leave(probe);
    desk.pass(HOLD_PROBE);
    let probe = *desk.carriers.keys().next().unwrap();
    assert_eq!(desk.job(probe), id);
    desk.delivered(probe);
    desk.leave(probe);
    assert_eq!(desk.queue.counts().messages, 0);
}

#[test]
fn priority_orders_mail_of_one_source_and_lets_nobody_overtake() {
    let mut desk = Desk::new(rules());
    let add = |desk: &mut Desk, source: &str, priority: i8| {
        let mut queued = desk.message(source, Transactional, "example.net");
        queued.label.priority = priority;
        assert!(desk.queue.handle_custody(&queued, desk.at));
        queued.id
    };
    let low = add(&mut desk, "shop", -4);
    let first = add(&mut desk, "shop", 0);
    let second = add(&mut desk, "shop", 0);
    let high = add(&mut desk, "shop", 9);
    let other = add(&mut desk, "bank", -9);
    let carrier = desk.drain()[0];
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(desk.job(carrier));
        desk.delivered(carrier);
    }
    assert_eq!(order, [high, other, first, second, low]);
}

/// The bound: while 50,000 messages of a batch go to a provider, at any rate and with any number of
/// connections, an OTP waits for one message of the batch and for the rate, not for the batch.
#[test]
fn an_otp_waits_for_no_batch() {
    for (seed, connections, per_minute) in
        [(1, 20, None), (2, 2, None), (3, 1, None), (4, 5, Some(600)), (5, 1, Some(60))]
    {
        let mut rules = with_provider("provider", connections, per_minute);
        rules.lanes.messages_per_connection = 1000;
        let mut bench = super::bench::Bench::new(rules, seed);
        let waits = bench.run(50_000, Duration::from_secs(600));
        let gap = per_minute.map_or(Duration::ZERO, |rate| Duration::from_secs(60) / rate);
        let bound = super::bench::SERVICE * 2 + gap * 2 + Duration::from_millis(200);
        let mut waits = waits;
        waits.sort_unstable();
        let (worst, p99) = (*waits.last().unwrap(), waits[waits.len() * 99 / 100]);
        println!(
            "{connections} connections, {per_minute:?} a minute: p99 {p99:?}, worst {worst:?} of {}",
            waits.len()
        );
        assert!(waits.len() >= 50, "{}", waits.len());
        assert!(worst <= bound, "seed {seed}: {worst:?} of {bound:?}");
        assert!(bench.batch_delivered() > 500, "{}", bench.batch_delivered());
    }
}
