//! A provider on a bench: carriers that take their time, a batch, and one-time passwords.

use super::*;

/// One message takes so long on a connection.
pub(super) const SERVICE: Duration = Duration::from_millis(100);

/// A queue with carriers that are at work until a date.
pub(super) struct Bench {
    desk: Desk,
    chance: Chance,
    /// Carriers by the end of their message.
    busy: BTreeSet<(Instant, u64)>,
    /// One-time passwords in hand or in line, with the date of their coming.
    otps: BTreeMap<QueueId, Instant>,
    in_hand: BTreeMap<u64, QueueId>,
    batch: usize,
}

impl Bench {
    pub(super) fn new(rules: Rules, seed: u64) -> Self {
        Self {
            desk: Desk::new(rules),
            chance: Chance::new(seed),
            busy: BTreeSet::new(),
            otps: BTreeMap::new(),
            in_hand: BTreeMap::new(),
            batch: 0,
        }
    }

    pub(super) fn batch_delivered(&self) -> usize {
        self.batch
    }

    /// Queues a batch of `messages` to three domains of the provider, then lets one-time passwords
    /// come for `time`. Returns how long each waited until a carrier took it.
    pub(super) fn run(&mut self, messages: usize, time: Duration) -> Vec<Duration> {
        let domains = ["a.example", "b.example", "c.example"];
        for number in 0..messages {
            self.desk.add("shop", MessageClass::Subscribed, domains[number % 2]);
        }
        let start = self.desk.at.now;
        let (end, mut next, mut waits) = (start.after(time), start, Vec::new());
        while self.desk.at.now < end {
            self.turn(&mut waits);
            let now = self.desk.at.now;
            if next <= now {
                let to = domains[usize::try_from(self.chance.below(3)).unwrap()];
                let id = self.desk.add("bank", MessageClass::Otp, to);
                self.otps.insert(id, now);
                next = now.after(Duration::from_millis(3000 + self.chance.below(7000)));
                continue;
            }
            let done = self.busy.first().map(|(at, _)| *at);
            let timer = self.desk.queue.poll_timeout();
            let wake = [done, timer, Some(next)].into_iter().flatten().min().unwrap();
            self.desk.at.wall = self.desk.at.wall.after(wake.since(now));
            self.desk.at.now = now.max(wake);
            self.desk.queue.handle_timeout(self.desk.at.now);
            while let Some((at, carrier)) = self.busy.first().copied() {
                if at > self.desk.at.now {
                    break;
                }
                self.busy.pop_first();
                if let Some(id) = self.in_hand.remove(&carrier) {
                    self.otps.remove(&id);
                } else {
                    self.batch += 1;
                }
                self.desk.delivered(carrier);
                self.ask(carrier, &mut waits);
            }
        }
        assert!(self.otps.len() <= 2, "{} were never taken", self.otps.len());
        waits
    }

    /// Carriers that were sent or woken ask.
    fn turn(&mut self, waits: &mut Vec<Duration>) {
        loop {
            let mut carriers = self.desk.drain();
            for carrier in &carriers {
                let domain = self.desk.carriers[carrier].clone();
                self.desk.queue.handle_provider(&domain, "provider", self.desk.at.now);
            }
            let woken = std::mem::take(&mut self.desk.other);
            carriers.extend(woken.iter().filter_map(|action| match action {
                Action::Wake { carrier } => Some(*carrier),
                _ => None,
            }));
            if carriers.is_empty() {
                return;
            }
            for carrier in carriers {
                self.ask(carrier, waits);
            }
        }
    }

    fn ask(&mut self, carrier: u64, waits: &mut Vec<Duration>) {
        let now = self.desk.at.now;
        match self.desk.queue.next_job(carrier, true, now) {
            Next::Job(ticket) => {
                self.busy.insert((now.after(SERVICE), carrier));
                if let Some(came) = self.otps.get(&ticket.id) {
                    waits.push(now.since(*came));
                    self.in_hand.insert(carrier, ticket.id);
                }
            }
            Next::Wait => {}
            Next::Leave => self.desk.leave(carrier),
        }
    }
}
