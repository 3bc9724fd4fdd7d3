//! Carriers and reports: what is tried, what the hosts take, what is recorded of it.

use std::sync::Arc;
use std::time::Duration;

use postern::base::id::QueueId;
use postern::mail::address::{Domain, ReversePath};
use postern::mail::answer::{Answer, Phase};
use postern::mail::envelope::{Envelope, Recipient};
use postern::mail::queued::{Change, Settlement};
use postern::mail::reply::PeerReply;
use postern::mail::way::Way;
use postern::outcome::classify::{Concern, Verdict, classify};
use postern::outcome::dsn::{self, Fate, Line};
use postern::queue::{Action, Health, Next, Overdue, Plan, Retry, Untried};

use super::super::spool::Entry;
use super::{Broken, Check, Mood, World};

const CLOSED: Untried<'_> = Untried::Closed { reason: "no link" };

impl World {
    pub(super) fn carry(&mut self) -> Check {
        if !self.trips.is_empty() {
            let which = self.pick(self.trips.len());
            let carrier = self.trips.keys().nth(which).copied().unwrap();
            self.visit(carrier)?;
        }
        Ok(())
    }

    /// One carrier takes its next step. False if it waits.
    pub(super) fn visit(&mut self, carrier: u64) -> Result<bool, String> {
        let Some(trip) = self.trips.get_mut(&carrier) else { return Ok(false) };
        if trip.waits {
            return Ok(false);
        }
        let (domain, way) = (trip.domain.clone(), trip.way.clone());
        if let Some((id, recipients, answers)) = trip.job.take() {
            self.settle(carrier, id, &recipients, &answers)?;
            return Ok(true);
        }
        let connected = trip.connected;
        match self.queue.next_job(carrier, connected, self.at.now) {
            Next::Leave => self.leave(carrier),
            Next::Wait => {
                if let Some(trip) = self.trips.get_mut(&carrier) {
                    trip.waits = true;
                }
            }
            Next::Job(ticket) => {
                self.check_may_leave(ticket.id, &domain, &way)?;
                if !connected && self.mood(&domain) != Mood::Names {
                    let provider = self.provider(&domain);
                    self.queue.handle_provider(&domain, &provider, self.at.now);
                    if !self.queue.may_connect(carrier) {
                        self.queue.handle_untried(carrier, Untried::NoSlot, self.at.now);
                        self.leave(carrier);
                        return Ok(true);
                    }
                }
                let answers = self.attempt(&domain, &way, ticket.id, &ticket.recipients);
                if let Some(trip) = self.trips.get_mut(&carrier) {
                    trip.connected = answers.iter().all(|answer| answer.phase >= Phase::Mail);
                    trip.job = Some((ticket.id, ticket.recipients, answers));
                }
            }
        }
        Ok(true)
    }

    pub(super) fn leave(&mut self, carrier: u64) {
        self.trips.remove(&carrier);
        self.queue.handle_leave(carrier, self.at.now);
    }

    pub(super) fn send_idle_home(&mut self) {
        let idle: Vec<u64> =
            self.trips.iter().filter(|(_, t)| t.waits).map(|(carrier, _)| *carrier).collect();
        for carrier in idle {
            self.leave(carrier);
        }
    }

    pub(super) fn provider(&self, domain: &Domain) -> String {
        if self.shared_provider { "provider.example".into() } else { domain.to_string() }
    }

    pub(super) fn mood(&self, domain: &Domain) -> Mood {
        let digit = domain.as_str().strip_prefix('d').and_then(|rest| rest.get(..1));
        digit.and_then(|d| d.parse::<usize>().ok()).map_or(Mood::Up, |d| self.moods[d])
    }

    /// What the host says; what it takes, the witness sees.
    pub(super) fn attempt(
        &mut self,
        domain: &Domain,
        way: &Way,
        id: QueueId,
        recipients: &[u16],
    ) -> Vec<Answer> {
        let mood = self.mood(domain);
        let mut answers = Vec::new();
        for recipient in recipients {
            let one_of_five = self.chance.below(5) == 0;
            let mut text = "said so";
            let (phase, code, status) = match mood {
                _ if self.closed.contains(&*way.pool) => (Phase::Egress, 0, "4.4.1"),
                Mood::Throttles => {
                    text = "rate limit exceeded";
                    (Phase::Mail, 421, "4.7.0")
                }
                Mood::Spf => (Phase::Dot, 550, "5.7.23"),
                Mood::Ptr => (Phase::Rcpt, 550, "5.7.25"),
                Mood::Names => (Phase::Routing, 0, "4.4.3"),
                Mood::Dead => (Phase::Connect, 0, "4.4.1"),
                Mood::Busy => (Phase::Greeting, 421, "4.3.2"),
                Mood::Grey => (Phase::Rcpt, 450, "4.2.0"),
                Mood::Refuses if !one_of_five => (Phase::Rcpt, 550, "5.1.1"),
                Mood::Drops if one_of_five => (Phase::Content, 0, "4.4.2"),
                Mood::Drops => (Phase::Dot, 0, "4.4.2"),
                Mood::Up | Mood::Refuses => (Phase::Dot, 250, "2.0.0"),
            };
            let in_doubt = phase == Phase::Dot && code == 0;
            let known = self.known.entry((id, *recipient)).or_default();
            if code == 250 || (in_doubt && one_of_five) {
                known.taken += 1;
                self.delivered += 1;
            }
            known.doubts += u32::from(in_doubt);
            let reply = PeerReply::new(code, status.parse().ok(), text);
            answers.push(Answer { recipient: *recipient, phase, reply, in_doubt });
        }
        answers
    }

    pub(super) fn settle(
        &mut self,
        carrier: u64,
        id: QueueId,
        all: &[u16],
        answers: &[Answer],
    ) -> Check {
        let judge = |answer| classify(answer, self.book.look_up(None, &answer.reply));
        let judged: Vec<_> =
            answers.iter().map(|answer: &Answer| (answer, judge(answer))).collect();
        if judged.iter().all(|(_, judgement)| judgement.verdict == Verdict::Untried) {
            self.queue.handle_untried(carrier, CLOSED, self.at.now);
            return Ok(());
        }
        let defect = judged.iter().find_map(|(answer, j)| Some((&answer.reply, j.defect()?)));
        let kept = defect.is_some_and(|(reply, defect)| {
            let (held, news) = self.queue.handle_defect(carrier, defect, reply, self.at.now);
            self.holds += u64::from(news);
            held
        });
        let floor = judged.iter().filter_map(|(_, judgement)| match judgement.verdict {
            Verdict::Deferred(floor) => Some(floor),
            _ => None,
        });
        let plan = self.queue.plan_retry(carrier, floor.max().unwrap_or_default(), self.at.now);
        let (retry, over) = match plan {
            Some(Plan::Again(retry)) => (retry, false),
            Some(Plan::Over { attempts }) => (Retry { attempts, wait: Duration::ZERO }, true),
            None => return Err(format!("{carrier} had no job")),
        };
        let (mut changes, mut lines, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for (answer, judgement) in &judged {
            let reply = answer.reply.clone();
            let over = over && !(kept && judgement.defect().is_some());
            let settlement = match judgement.verdict {
                Verdict::Delivered => Settlement::Delivered,
                Verdict::Failed => {
                    lines.push(line(answer, Fate::Failed));
                    Settlement::Failed { reply }
                }
                Verdict::Deferred(_) | Verdict::Untried if over => {
                    lines.push(line(answer, Fate::Expired));
                    Settlement::Expired { reply }
                }
                Verdict::Deferred(_) | Verdict::Untried => Settlement::Deferred {
                    attempts: retry.attempts,
                    next: self.at.wall.after(retry.wait),
                    reply,
                },
            };
            if settlement.is_final() {
                settled.push(answer.recipient);
            }
            changes.push(Change::Settled { id, recipient: answer.recipient, settlement });
        }
        self.report(id, &lines, changes)?;
        let health = judged.iter().map(|(_, judgement)| judgement.concern).max();
        let health = match health {
            Some(Concern::Unreachable) => Health::Down,
            Some(Concern::Distrusted) => Health::Distrusted,
            Some(Concern::Throttled) => Health::Throttled,
            Some(Concern::Limited) => {
                self.pauses += 1;
                Health::Limited(Duration::ZERO)
            }
            Some(Concern::Recipient) | None => Health::Neutral,
            Some(Concern::Good) => Health::Good,
        };
        self.queue.handle_outcomes(carrier, &settled, retry, health, self.at.now);
        let left = all.iter().any(|recipient| !settled.contains(recipient));
        if left && !self.queue.contains(id) {
            return Err(format!("{id} was forgotten with open recipients"));
        }
        Ok(())
    }

    /// Records changes; ends are told, and durable together with their report.
    pub(super) fn report(&mut self, id: QueueId, lines: &[Line], changes: Vec<Change>) -> Check {
        let Some(parcel) = self.spool.fetch(id) else {
            return Err(format!("{id} is queued and not in the spool"));
        };
        let forgets = self.broken == Broken::OutcomesForgotten;
        let kept = changes.into_iter().filter(|change| {
            let delivered =
                matches!(change, Change::Settled { settlement: Settlement::Delivered, .. });
            !(forgets && delivered)
        });
        self.spool.log.extend(kept.map(Entry::Change));
        let ended = lines.iter().filter(|l| matches!(l.fate, Fate::Failed | Fate::Expired));
        let ended: Vec<u16> = ended.map(|line| line.recipient).collect();
        if lines.is_empty() || self.broken == Broken::ReportsForgotten {
            return Ok(());
        }
        let hostname = Domain::parse("gate.example.org").unwrap();
        let desk = dsn::Desk { hostname: &hostname, owner: None, id, now: self.at.wall };
        match dsn::compose(&parcel, desk, lines) {
            Ok(report) => {
                self.reports += 1;
                let mut envelope = Envelope::from(ReversePath::Null);
                envelope.recipients.push(Recipient::plain(report.to));
                let (source, class) = (parcel.label.source.clone(), parcel.label.class);
                let stored = self.parcel(source, class, envelope, true);
                self.spool.append(Entry::Message(Arc::clone(&stored)));
                self.pending.push(stored);
                // The report is acknowledged, and the end true, once it is durable.
                self.sync();
            }
            Err(dsn::Omitted::AboutNotification) => {}
            Err(omitted) => return Err(format!("{id}: omitted, {}", omitted.as_str())),
        }
        for recipient in ended {
            self.known.entry((id, recipient)).or_default().ended = true;
        }
        Ok(())
    }

    pub(super) fn work_off_late(&mut self) -> Check {
        for action in std::mem::take(&mut self.late) {
            match action {
                Action::Expire(overdue) if self.chance.below(10) == 0 => {
                    self.queue.handle_postponed(&overdue, self.at.now);
                }
                Action::Expire(overdue) => self.expire(&overdue)?,
                Action::NoticeDelay(overdue) => {
                    let id = overdue.id;
                    let until = self.at.wall;
                    let lines = lines_of(&overdue, Fate::Delayed { until });
                    let change =
                        |recipient: &u16| Change::DelayNoticed { id, recipient: *recipient };
                    self.report(id, &lines, overdue.recipients.iter().map(change).collect())?;
                }
                Action::Dispatch { .. } | Action::Wake { .. } | Action::HoldEnded(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn expire(&mut self, overdue: &Overdue) -> Check {
        let id = overdue.id;
        let reply = PeerReply::ours("4.4.7".parse().unwrap(), "too late");
        let change = |recipient: &u16| Change::Settled {
            id,
            recipient: *recipient,
            settlement: Settlement::Expired { reply: reply.clone() },
        };
        let changes = overdue.recipients.iter().map(change).collect();
        self.report(id, &lines_of(overdue, Fate::Expired), changes)?;
        self.queue.handle_expired(overdue, self.at.now);
        Ok(())
    }
}

fn line(answer: &Answer, fate: Fate) -> Line {
    Line {
        recipient: answer.recipient,
        fate,
        reply: answer.reply.clone(),
        remote: None,
        attempted: None,
    }
}

fn lines_of(overdue: &Overdue, fate: Fate) -> Vec<Line> {
    let reply = PeerReply::ours("4.4.7".parse().unwrap(), "too late");
    let line = |recipient: &u16| Line {
        recipient: *recipient,
        fate,
        reply: reply.clone(),
        remote: None,
        attempted: None,
    };
    overdue.recipients.iter().map(line).collect()
}
