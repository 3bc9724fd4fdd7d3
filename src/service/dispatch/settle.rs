//! What a carrier brings back becomes outcomes: recorded, reported, told, and only then forgotten.

use super::{Dispatch, Reporter, Store, stamp};
use crate::base::fault::Fault;
use crate::base::limits::FAULT_WAIT;
use crate::event::{Attempt, Event};
use crate::mail::address::Domain;
use crate::mail::answer::Answer;
use crate::mail::queued::{Change, Queued, Settlement};
use crate::mail::stage::Parcel;
use crate::outcome::classify::{Concern, Judgement, Verdict, classify};
use crate::outcome::dsn::{self, Fate, Hop, Line, Omitted};
use crate::queue::{Health, Moment, Plan, Retry, Untried};
use crate::service::post::{Delivery, Job, Listed};
use crate::service::receivers::Receivers;

/// What became of a report.
pub(super) enum Written {
    /// Nobody wants one.
    Nothing,
    /// It was due and has nowhere to go.
    Omitted(Event),
    /// It is in custody.
    Report(Box<Queued>, Event),
}

/// The outcomes of one job, on their way to the store.
struct Batch<'a> {
    changes: Vec<Change>,
    lines: Vec<Line>,
    events: Vec<Event>,
    settled: Vec<u16>,
    /// Recipients whose end must be reported: if that fails, they stay.
    ended: Vec<u16>,
    retry: Retry,
    delivery: &'a Delivery,
    provider: Option<String>,
}

/// What a carrier brought back, and who said it.
struct Heard<'a> {
    receivers: &'a Receivers,
    delivery: &'a Delivery,
    /// The provider whose host answered.
    speaker: Option<&'a str>,
}

impl<'a> Heard<'a> {
    fn new(receivers: &'a Receivers, delivery: &'a Delivery) -> Self {
        let speaker = receivers.speaker(&delivery.relay);
        Self { receivers, delivery, speaker }
    }

    fn judge(&self, answer: &Answer) -> Judgement {
        classify(answer, self.receivers.book.look_up(self.speaker, &answer.reply))
    }

    fn known_provider(&self) -> Option<String> {
        self.speaker.filter(|name| self.receivers.knows(name)).map(str::to_owned)
    }
}

impl<S: Store, R: Reporter> Dispatch<S, R> {
    pub(super) async fn settle_job(&self, carrier: u64, job: &Job, delivery: &Delivery) {
        let receivers = self.receivers();
        let heard = Heard::new(&receivers, delivery);
        let judged: Vec<(&Answer, Judgement)> =
            delivery.answers.iter().map(|answer| (answer, heard.judge(answer))).collect();
        if judged.is_empty() {
            let fault = Fault::new("delivering", job.parcel.id, "the carrier brought no answer");
            self.fault_seen(&fault);
            self.with(|queue, at| queue.handle_fault(carrier, at.now));
            return;
        }
        let untried = |(_, judgement): &(&Answer, Judgement)| judgement.verdict == Verdict::Untried;
        if judged.iter().all(untried) {
            let reply = judged.first().map(|(answer, _)| answer.reply.to_string());
            let closed = Untried::Closed { reason: reply.as_deref().unwrap_or_default() };
            self.with(|queue, at| queue.handle_untried(carrier, closed, at.now));
            return;
        }
        for (answer, _) in judged.iter().filter(|(_, judgement)| judgement.own_defect) {
            // The journal of an administrator, not only the report to a sender.
            self.fault_seen(&Fault::new("delivering", job.parcel.id, &answer.reply));
        }
        let of_the_lane = self.of_the_lane(carrier, &heard, &judged);
        let kept = of_the_lane && self.keep_defective(carrier, job, &heard, &judged);
        if of_the_lane {
            self.tell_listed(&heard, &judged);
        }
        let (health, reason) = health_of(&judged, of_the_lane);
        let mut batch = self.sort(carrier, job, &heard, &judged, kept);
        let at = (self.clock)();
        let mut written = Written::Nothing;
        if batch.lines.is_empty() {
            self.note(std::mem::take(&mut batch.changes));
        } else {
            match self.report(&job.parcel, &batch.lines, &batch.changes, at).await {
                Ok(report) => written = report,
                Err(fault) => {
                    self.fault_seen(&fault);
                    batch.keep_the_ended(job.attempts);
                    self.note(std::mem::take(&mut batch.changes));
                }
            }
        }
        let Batch { events, settled, retry, .. } = batch;
        for event in events {
            (self.tell)(event);
        }
        self.post(written);
        let (complete, slowed) = self.with(|queue, at| {
            for (answer, judgement) in &judged {
                if judgement.verdict != Verdict::Delivered {
                    queue.note_reply(carrier, &answer.reply);
                }
            }
            queue.handle_outcomes(carrier, &settled, retry, health, at.now)
        });
        if complete {
            (self.tell)(Event::MessageCompleted { id: job.parcel.id });
        }
        if let Some(slowed) = slowed {
            let wait_millis = u64::try_from(slowed.wait.as_millis()).unwrap_or(u64::MAX);
            let (lane, connections) = (slowed.lane, slowed.connections);
            (self.tell)(Event::LaneSlowed { lane, connections, wait_millis, reason });
        }
    }

    /// Whether what was said is the word of the lane's provider. Nobody doubts it as long as nobody
    /// complains, or no host spoke.
    fn of_the_lane(
        &self,
        carrier: u64,
        heard: &Heard<'_>,
        judged: &[(&Answer, Judgement)],
    ) -> bool {
        let Some(speaker) = heard.speaker else { return true };
        let matters = |judgement: &Judgement| {
            judgement.defect().is_some()
                || matches!(judgement.concern, Concern::Throttled | Concern::Limited)
        };
        if !judged.iter().any(|(_, judgement)| matters(judgement)) {
            return true;
        }
        let inner = self.lock();
        inner.queue.lane_of(carrier).is_none_or(|(provider, _)| provider == speaker)
    }

    /// A receiver finds something of ours wrong: the alarm, and the hold. Returns whether the
    /// message is kept.
    fn keep_defective(
        &self,
        carrier: u64,
        job: &Job,
        heard: &Heard<'_>,
        judged: &[(&Answer, Judgement)],
    ) -> bool {
        let seen =
            judged.iter().find_map(|(answer, judgement)| Some((answer, judgement.defect()?)));
        let Some((answer, what)) = seen else { return false };
        let egress = &heard.delivery.egress;
        let (held, news) = self.with(|queue, at| {
            // The fault of an egress that stood in is not the home's: nothing is held for it.
            let home = queue.lane_of(carrier).is_none_or(|(_, home)| home == egress);
            if what.is_of_the_way() && !home {
                return (false, true);
            }
            queue.handle_defect(carrier, what, &answer.reply, at.now)
        });
        if news {
            let source = &job.parcel.label.source;
            (self.tell)(Event::OwnDefectSeen {
                provider: heard.speaker.unwrap_or("none").to_owned(),
                what,
                source: (!what.is_of_the_way()).then(|| source.clone()),
                egress: egress.clone(),
                reply: answer.reply.clone(),
                held,
            });
        }
        held
    }

    /// A receiver says that our address is listed: who looks after addresses hears it.
    fn tell_listed(&self, heard: &Heard<'_>, judged: &[(&Answer, Judgement)]) {
        let found = judged.iter().find(|(_, judgement)| judgement.is_listed());
        let (Some((answer, _)), Some(provider)) = (found, heard.speaker) else { return };
        let (egress, reply) = (heard.delivery.egress.as_str(), &answer.reply);
        (self.tell)(Event::AddressListed {
            provider: provider.to_owned(),
            egress: egress.to_owned(),
            reply: reply.clone(),
        });
        if let Some(ear) = self.listed.get() {
            ear(Listed { egress, provider, known: heard.receivers.knows(provider), reply });
        }
    }

    /// Sorts the answers into changes, lines of a report, and facts.
    fn sort<'a>(
        &self,
        carrier: u64,
        job: &Job,
        heard: &Heard<'a>,
        judged: &[(&Answer, Judgement)],
        kept: bool,
    ) -> Batch<'a> {
        let floor = judged.iter().filter_map(|(_, judgement)| match judgement.verdict {
            Verdict::Deferred(floor) => Some(floor),
            _ => None,
        });
        let unsettled = floor.clone().next().is_some() || judged.len() < job.recipients.len();
        let at = (self.clock)();
        let plan = unsettled.then(|| {
            let floor = floor.max().unwrap_or_default();
            self.lock().queue.plan_retry(carrier, floor, at.now)
        });
        let again = Retry { attempts: job.attempts.saturating_add(1), wait: FAULT_WAIT };
        let (retry, over) = match plan.flatten() {
            Some(Plan::Again(retry)) => (retry, false),
            Some(Plan::Over { .. }) => (again, true),
            None => (again, false),
        };
        let mut batch = Batch {
            changes: Vec::with_capacity(judged.len()),
            lines: Vec::new(),
            events: Vec::with_capacity(judged.len()),
            settled: Vec::with_capacity(judged.len()),
            ended: Vec::new(),
            retry,
            delivery: heard.delivery,
            provider: heard.known_provider(),
        };
        for (answer, judgement) in judged {
            // What is held for a fault of ours does not expire.
            let over = over && !(kept && judgement.defect().is_some());
            batch.take(&job.parcel, answer, judgement.verdict, over, at);
        }
        batch
    }

    /// Puts changes on their way; a ledger that is latched is told, and stops the house elsewhere.
    pub(super) fn note(&self, changes: Vec<Change>) {
        if !changes.is_empty()
            && let Err(fault) = self.store.record(changes)
        {
            self.fault_seen(&fault);
        }
    }

    /// Tells the sender what `lines` say, durably together with `changes`; without a report to
    /// write, `changes` go their ordinary way. What was written goes to [`Self::post`], once the
    /// facts that it is about are told.
    #[must_use = "a report that is not posted waits for the next start"]
    pub(super) async fn report(
        &self,
        parcel: &Parcel,
        lines: &[Line],
        changes: &[Change],
        at: Moment,
    ) -> Result<Written, Fault> {
        let hostname = self.reporter.hostname();
        let owner = self.reporter.owner(&parcel.label.source);
        let desk = dsn::Desk {
            hostname: &hostname,
            owner: owner.as_ref(),
            id: self.reporter.id(),
            now: at.wall,
        };
        let report = match dsn::compose(parcel, desk, lines) {
            Ok(report) => report,
            Err(omitted) => {
                self.note(changes.to_vec());
                if omitted == Omitted::NotWanted {
                    return Ok(Written::Nothing);
                }
                let reason = omitted.as_str().to_owned();
                return Ok(Written::Omitted(Event::ReportOmitted { about: parcel.id, reason }));
            }
        };
        let (to, kind) = (report.to.to_string(), report.kind.as_str().to_owned());
        let signed = self.reporter.seal(report, parcel).await?;
        let stored = std::sync::Arc::clone(signed.parcel());
        let custody = self.store.commit(signed, changes.to_vec()).await?;
        let (id, about) = (custody.id(), parcel.id);
        let queued = Box::new(Queued::fresh(&stored));
        Ok(Written::Report(queued, Event::ReportQueued { id, about, to, kind }))
    }

    /// Tells of a report and sends it on its way.
    pub(super) fn post(&self, written: Written) {
        match written {
            Written::Nothing => {}
            Written::Omitted(event) => (self.tell)(event),
            Written::Report(queued, event) => {
                (self.tell)(event);
                self.with(|queue, at| queue.handle_custody(&queued, at));
            }
        }
    }
}

impl Batch<'_> {
    fn take(&mut self, parcel: &Parcel, answer: &Answer, verdict: Verdict, over: bool, at: Moment) {
        let attempts = match verdict {
            Verdict::Untried => self.retry.attempts.saturating_sub(1),
            _ => self.retry.attempts,
        };
        let provider = self.provider.clone();
        let fact = Attempt { provider, ..attempt(parcel, answer, self.delivery, attempts, at) };
        if answer.in_doubt {
            self.events.push(Event::DeliveryInDoubt(fact.clone()));
        }
        let reply = answer.reply.clone();
        let settlement = match verdict {
            Verdict::Delivered => {
                self.events.push(Event::RecipientDelivered(fact));
                let hop = Hop {
                    dsn: self.delivery.dsn_offered,
                    deadlines: self.delivery.deadline_offered,
                };
                if let Some(fate) = dsn::passed_on(parcel, answer.recipient, hop, at.wall) {
                    self.line(answer, fate, at);
                }
                Settlement::Delivered
            }
            Verdict::Failed => {
                self.events.push(Event::RecipientFailed(fact));
                self.line(answer, Fate::Failed, at);
                Settlement::Failed { reply }
            }
            Verdict::Deferred(_) | Verdict::Untried if over => {
                self.events.push(Event::RecipientExpired(fact));
                self.line(answer, Fate::Expired, at);
                Settlement::Expired { reply }
            }
            Verdict::Deferred(_) | Verdict::Untried => {
                let (_, next) = stamp(at, self.retry.wait);
                self.events.push(Event::RecipientDeferred { attempt: fact, next });
                Settlement::Deferred { attempts, next, reply }
            }
        };
        if settlement.is_final() {
            self.settled.push(answer.recipient);
        }
        let (id, recipient) = (parcel.id, answer.recipient);
        self.changes.push(Change::Settled { id, recipient, settlement });
    }

    fn line(&mut self, answer: &Answer, fate: Fate, at: Moment) {
        if !matches!(fate, Fate::Relayed | Fate::Traced) {
            self.ended.push(answer.recipient);
        }
        self.lines.push(Line {
            recipient: answer.recipient,
            fate,
            reply: answer.reply.clone(),
            remote: host_of(&self.delivery.relay),
            attempted: Some(at.wall),
        });
    }

    /// Their report could not be stored: those that would have ended stay in the queue.
    fn keep_the_ended(&mut self, attempts: u32) {
        let ended = std::mem::take(&mut self.ended);
        self.settled.retain(|recipient| !ended.contains(recipient));
        self.changes.retain(|change| match change {
            Change::Settled { recipient, .. } => !ended.contains(recipient),
            _ => true,
        });
        self.events.retain(|event| {
            !matches!(event, Event::RecipientFailed(_) | Event::RecipientExpired(_))
        });
        if !ended.is_empty() {
            self.retry = Retry { attempts, wait: self.retry.wait.max(FAULT_WAIT) };
        }
    }
}

/// The host name in `host[address]:port`.
pub(super) fn host_of(relay: &str) -> Option<Domain> {
    Domain::parse(relay.split('[').next()?).ok().filter(|_| relay.contains('['))
}

pub(super) fn attempt(
    parcel: &Parcel,
    answer: &Answer,
    delivery: &Delivery,
    attempts: u32,
    at: Moment,
) -> Attempt {
    let recipient = parcel.envelope.recipients.get(usize::from(answer.recipient));
    let delay = at.wall.since(parcel.label.accepted);
    Attempt {
        id: parcel.id,
        source: parcel.label.source.clone(),
        class: parcel.label.class,
        recipient: recipient.map_or_else(String::new, |r| r.forward_path.to_string()),
        relay: delivery.relay.clone(),
        provider: None,
        egress: delivery.egress.clone(),
        tls: delivery.tls.clone(),
        assurance: delivery.assurance,
        attempts,
        delay_millis: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        reply: answer.reply.clone(),
    }
}

/// How the lane must take a job, and the answer that says so.
fn health_of(judged: &[(&Answer, Judgement)], of_the_lane: bool) -> (Health, String) {
    let worst = judged.iter().max_by_key(|(_, judgement)| judgement.concern);
    let reason = worst.map_or_else(String::new, |(answer, _)| answer.reply.to_string());
    let some_good = judged.iter().any(|(_, judgement)| judgement.concern == Concern::Good);
    let health = match worst.map(|(_, judgement)| judgement.concern) {
        Some(Concern::Unreachable) => Health::Down,
        Some(Concern::Distrusted) => Health::Distrusted,
        Some(Concern::Throttled | Concern::Limited) if !of_the_lane => Health::Apart,
        Some(Concern::Throttled) => Health::Throttled,
        Some(Concern::Limited) => {
            let pauses = judged.iter().filter_map(|(_, judgement)| judgement.lane_pause());
            Health::Limited(pauses.max().unwrap_or_default())
        }
        _ if some_good => Health::Good,
        _ => Health::Neutral,
    };
    (health, reason)
}
