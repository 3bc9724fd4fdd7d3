//! The one thread that writes the ledger: it takes what has come, writes it in one piece, syncs
//! once, and answers.
//!
//! There is no timer while nothing waits. Outcomes wait up to `OUTCOME_SYNC_WAIT` for a group that
//! they can join.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::active::{Active, WriteError};
use super::shared::{Shared, lock};
use super::spool::CommitError;
use crate::base::id::QueueId;
use crate::base::limits::{
    GROUP_MESSAGES_MAX, GROUP_OCTETS_MAX, OUTCOME_SYNC_WAIT, OUTCOMES_WAITING_MAX,
};
use crate::mail::queued::{Change, Queued};
use crate::mail::stage::{Custody, Parcel};
use crate::spool::custody::{Synced, attest};
use crate::spool::record::{Draft, End, Kind, Position};
use crate::spool::state::Live;

/// How long outcomes that found no room wait for the next try.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// Something to make durable.
#[derive(Debug)]
pub(super) enum Request {
    /// A message, and changes that become true with it.
    Commit {
        draft: Draft,
        queued: Queued,
        settles: Vec<Change>,
        parcel: Arc<Parcel>,
        answer: oneshot::Sender<Result<Custody, CommitError>>,
    },
    /// Changes.
    Record { changes: Vec<Change>, answer: Option<oneshot::Sender<Result<(), CommitError>>> },
    /// A message that is copied on, if nothing has happened to it since.
    Copy { draft: Draft, queued: Queued, from: Position, answer: Sender<bool> },
    /// A record about the ledger itself.
    Note { draft: Draft, answer: Sender<bool> },
    /// A new segment, so that the old one can be given back.
    Rotate { answer: Sender<bool> },
    /// The last one.
    Close { answer: oneshot::Sender<()> },
}

/// What becomes true when a record is durable.
#[derive(Debug)]
enum Effect {
    Commit {
        queued: Queued,
        settles: Vec<Change>,
        parcel: Arc<Parcel>,
        answer: oneshot::Sender<Result<Custody, CommitError>>,
    },
    Changes(Vec<Change>, Vec<oneshot::Sender<Result<(), CommitError>>>),
    Copy {
        queued: Queued,
        answer: Sender<bool>,
    },
    Note(Sender<bool>),
}

impl Effect {
    /// Room must be found for it even on a full disk: without it nothing can be drained.
    fn is_essential(&self) -> bool {
        match self {
            Self::Commit { queued, .. } => queued.label.notification,
            Self::Changes(..) | Self::Note(_) => true,
            Self::Copy { .. } => false,
        }
    }

    fn fail(self, error: CommitError) {
        match self {
            Self::Commit { answer, .. } => {
                let _ = answer.send(Err(error));
            }
            Self::Changes(_, answers) => {
                for answer in answers {
                    let _ = answer.send(Err(error));
                }
            }
            Self::Copy { answer, .. } | Self::Note(answer) => {
                let _ = answer.send(false);
            }
        }
    }
}

type Entry = (Draft, Effect);

/// What ended the wait.
#[expect(clippy::large_enum_variant, reason = "it lives for a moment on one stack")]
enum Wake {
    Request(Request),
    Due,
    Gone,
}

/// The committing thread's own.
pub(super) struct Committer {
    shared: Arc<Shared>,
    requests: Receiver<Request>,
    active: Option<Active>,
    previous: Option<End>,
    next: u32,
    /// Changes that wait for a group, since when, and who waits for them.
    waiting: Vec<Change>,
    waiters: Vec<oneshot::Sender<Result<(), CommitError>>>,
    since: Option<Instant>,
    closing: Option<oneshot::Sender<()>>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, requests: Receiver<Request>, next: u32) -> Self {
        Self {
            shared,
            requests,
            active: None,
            previous: None,
            next,
            waiting: Vec::new(),
            waiters: Vec::new(),
            since: None,
            closing: None,
        }
    }

    /// Serves until the spool is closed or all its handles are gone.
    pub(super) fn run(mut self) {
        // A segment is prepared before the first message wants it; no room is no reason to fail.
        if let Err(WriteError::Broken(reason)) = self.ensure_active(0) {
            self.shared.latch(&reason);
        }
        while self.closing.is_none() {
            let first = match self.wait() {
                Wake::Request(request) => Some(request),
                Wake::Due => None,
                Wake::Gone => break,
            };
            let group = self.gather(first);
            self.commit(group);
        }
        self.end();
    }

    /// Waits for a request, or for the moment at which waiting outcomes are due.
    fn wait(&mut self) -> Wake {
        let Some(since) = self.since else {
            return self.requests.recv().map_or(Wake::Gone, Wake::Request);
        };
        let due = since + OUTCOME_SYNC_WAIT;
        match self.requests.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(request) => Wake::Request(request),
            Err(RecvTimeoutError::Timeout) => Wake::Due,
            Err(RecvTimeoutError::Disconnected) => Wake::Gone,
        }
    }

    /// Takes what has come by now, up to the bounds of a group.
    fn gather(&mut self, first: Option<Request>) -> Vec<Request> {
        let mut group = Vec::new();
        let mut octets = 0;
        let mut next = first.or_else(|| self.requests.try_recv().ok());
        while let Some(request) = next {
            octets += match &request {
                Request::Commit { draft, .. } | Request::Copy { draft, .. } => draft.octets(),
                _ => 0,
            };
            group.push(request);
            let closing = matches!(group.last(), Some(Request::Close { .. }));
            let full = group.len() >= GROUP_MESSAGES_MAX || octets >= GROUP_OCTETS_MAX as u64;
            next = if full || closing { None } else { self.requests.try_recv().ok() };
        }
        group
    }

    fn commit(&mut self, group: Vec<Request>) {
        let mut entries = Vec::with_capacity(group.len() + 1);
        let mut copies = Vec::new();
        let mut rotations = Vec::new();
        let mut urgent = group.is_empty();
        for request in group {
            match request {
                Request::Commit { draft, queued, settles, parcel, answer } => {
                    urgent = true;
                    entries.push((draft, Effect::Commit { queued, settles, parcel, answer }));
                }
                Request::Record { changes, answer } => {
                    urgent |= answer.is_some();
                    self.waiters.extend(answer);
                    self.waiting.extend(changes);
                    self.since.get_or_insert_with(Instant::now);
                }
                Request::Copy { draft, queued, from, answer } => {
                    urgent = true;
                    copies.push((draft, queued, from, answer));
                }
                Request::Note { draft, answer } => {
                    urgent = true;
                    entries.push((draft, Effect::Note(answer)));
                }
                Request::Rotate { answer } => rotations.push(answer),
                Request::Close { answer } => {
                    urgent = true;
                    self.closing = Some(answer);
                }
            }
        }
        let overdue = self.since.is_some_and(|since| since.elapsed() >= OUTCOME_SYNC_WAIT);
        if urgent || overdue || self.waiting.len() >= OUTCOMES_WAITING_MAX {
            self.admit_copies(&mut entries, copies);
            self.settle(&mut entries);
            self.write(entries);
        }
        for answer in rotations {
            let _ = answer.send(self.rotate(0).is_ok());
        }
    }

    /// Copies of messages that have not changed since their state was read.
    fn admit_copies(
        &self,
        entries: &mut Vec<Entry>,
        copies: Vec<(Draft, Queued, Position, Sender<bool>)>,
    ) {
        if copies.is_empty() {
            return;
        }
        let settles = entries.iter().flat_map(|(_, effect)| match effect {
            Effect::Commit { settles, .. } => settles.as_slice(),
            _ => &[],
        });
        let changing: HashSet<QueueId> =
            self.waiting.iter().chain(settles).map(Change::id).collect();
        let applied = lock(&self.shared.applied);
        let mut admitted = Vec::new();
        for (draft, queued, from, answer) in copies {
            let id = queued.id;
            let here = applied.index.slot(id).is_some_and(|slot| slot.at == from);
            if here && applied.index.is_clean(id) && !changing.contains(&id) {
                admitted.push((draft, Effect::Copy { queued, answer }));
            } else {
                let _ = answer.send(false);
            }
        }
        entries.extend(admitted);
    }

    /// Waiting changes become one record in front of the group.
    fn settle(&mut self, entries: &mut Vec<Entry>) {
        self.since = None;
        if self.waiting.is_empty() {
            for answer in self.waiters.drain(..) {
                let _ = answer.send(Ok(()));
            }
            return;
        }
        let changes = std::mem::take(&mut self.waiting);
        let waiters = std::mem::take(&mut self.waiters);
        let id = if changes.len() == 1 { changes[0].id() } else { QueueId(0) };
        match Draft::new(Kind::Changes, id, &changes, bytes::Bytes::new()) {
            Ok(draft) => entries.insert(0, (draft, Effect::Changes(changes, waiters))),
            Err(error) => {
                self.shared.latch(&error.to_string());
                Effect::Changes(changes, waiters).fail(CommitError::Latched);
            }
        }
    }

    /// Writes entries in as many pieces as segments ask for.
    fn write(&mut self, entries: Vec<Entry>) {
        let mut piece: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut planned = 0;
        for entry in entries {
            let octets = entry.0.octets();
            let fits = self.active.as_ref().is_none_or(|active| active.fits(planned, octets));
            if !fits {
                self.write_piece(std::mem::take(&mut piece));
                planned = 0;
                let active = self.active.as_ref();
                if active.is_some_and(|active| !active.fits(0, octets))
                    && let Err(error) = self.rotate(octets)
                {
                    self.give_way(vec![entry], &error);
                    continue;
                }
            }
            planned += octets;
            piece.push(entry);
        }
        self.write_piece(piece);
    }

    fn write_piece(&mut self, piece: Vec<Entry>) {
        if piece.is_empty() {
            return;
        }
        let written = self.try_write(&piece);
        match written {
            Ok((synced, places)) => self.answer(piece, &synced, &places),
            Err(error) => self.give_way(piece, &error),
        }
    }

    fn try_write(&mut self, piece: &[Entry]) -> Result<(Synced, Vec<Position>), WriteError> {
        if self.shared.gauge.is_latched() {
            return Err(WriteError::Broken("latched".into()));
        }
        let drafts: Vec<&Draft> = piece.iter().map(|(draft, _)| draft).collect();
        self.ensure_active(drafts.iter().map(|draft| draft.octets()).sum())?;
        let Some(active) = &mut self.active else { return Err(WriteError::Full { torn: false }) };
        active.write(&self.shared, &drafts)
    }

    /// No room: new mail is turned away, what is essential gets the reserve. Anything worse
    /// latches.
    fn give_way(&mut self, piece: Vec<Entry>, error: &WriteError) {
        match error {
            WriteError::Broken(reason) => {
                self.shared.latch(reason);
                for (_, effect) in piece {
                    effect.fail(CommitError::Latched);
                }
                return;
            }
            WriteError::Full { torn } => self.make_way(*torn),
        }
        let (essential, other): (Vec<_>, Vec<_>) =
            piece.into_iter().partition(|(_, effect)| effect.is_essential());
        for (_, effect) in other {
            effect.fail(CommitError::Full);
        }
        if essential.is_empty() {
            return;
        }
        self.shared.give_up_ballast();
        match self.try_write(&essential) {
            Ok((synced, places)) => self.answer(essential, &synced, &places),
            Err(WriteError::Full { torn }) => {
                self.make_way(torn);
                self.park(essential);
            }
            Err(error @ WriteError::Broken(_)) => self.give_way(essential, &error),
        }
    }

    fn make_way(&mut self, torn: bool) {
        self.shared.gauge.set_full(true);
        self.shared.measure();
        self.shared.bell.ring();
        if torn {
            // Whatever of the group reached the file must never be read: its segment ends here.
            self.retire();
        }
    }

    /// Not even the reserve sufficed: changes stay in memory until there is room.
    fn park(&mut self, essential: Vec<Entry>) {
        for (_, effect) in essential {
            if let Effect::Changes(changes, answers) = effect {
                for answer in answers {
                    let _ = answer.send(Err(CommitError::Full));
                }
                self.waiting.extend(changes);
                self.since = Some(Instant::now() + FULL_RETRY);
            } else {
                effect.fail(CommitError::Full);
            }
        }
    }

    fn answer(&self, piece: Vec<Entry>, synced: &Synced, places: &[Position]) {
        let mut done = Vec::new();
        let mut fresh = Vec::new();
        let mut answers = Vec::with_capacity(piece.len());
        let mut applied = lock(&self.shared.applied);
        for ((draft, effect), at) in piece.into_iter().zip(places) {
            let octets = u32::try_from(draft.octets()).unwrap_or(u32::MAX);
            let end = Position { offset: at.offset.saturating_add(octets), ..*at };
            match effect {
                Effect::Commit { queued, settles, parcel, answer } => {
                    done.extend(settles.iter().filter_map(|change| applied.index.change(change)));
                    let id = queued.id;
                    applied.index.store(Live { at: *at, octets, queued });
                    fresh.push(parcel);
                    let custody = attest(id, end, synced).ok_or(CommitError::Latched);
                    answers.push(Answer::Custody(answer, custody));
                }
                Effect::Changes(changes, waiters) => {
                    done.extend(changes.iter().filter_map(|change| applied.index.change(change)));
                    answers.extend(waiters.into_iter().map(Answer::Recorded));
                }
                Effect::Copy { queued, answer } => {
                    applied.index.store(Live { at: *at, octets, queued });
                    answers.push(Answer::Done(answer));
                }
                Effect::Note(answer) => answers.push(Answer::Done(answer)),
            }
        }
        if let Some(active) = &self.active {
            applied.through = synced.through();
            applied.records = active.end().records;
        }
        drop(applied);
        {
            let mut cache = lock(&self.shared.fresh);
            for parcel in fresh {
                cache.insert(parcel);
            }
            for id in &done {
                cache.remove(*id);
            }
        }
        answers.into_iter().for_each(Answer::send);
        self.shared.bell.ring();
    }

    fn ensure_active(&mut self, octets: u64) -> Result<(), WriteError> {
        if self.active.is_none() {
            let number = self.next;
            let active = Active::create(&self.shared, number, octets, self.previous)?;
            self.next = number.wrapping_add(1);
            self.previous = None;
            self.active = Some(active);
        }
        Ok(())
    }

    /// Ends the active segment; the next group opens another.
    fn retire(&mut self) {
        if let Some(active) = self.active.take() {
            self.previous = Some(active.end());
            active.trim(&self.shared);
        }
    }

    fn rotate(&mut self, octets: u64) -> Result<(), WriteError> {
        self.retire();
        self.shared.measure();
        self.ensure_active(octets)
    }

    /// Writes the record that says that the end was in order.
    fn end(mut self) {
        self.commit(Vec::new());
        if let Ok(draft) = Draft::new(Kind::Closed, QueueId(0), &(), bytes::Bytes::new()) {
            let (answer, _unheard) = std::sync::mpsc::channel();
            self.write(vec![(draft, Effect::Note(answer))]);
        }
        self.retire();
        self.shared.take_some_ballast();
        if let Some(closing) = self.closing.take() {
            let _ = closing.send(());
        }
    }
}

enum Answer {
    Custody(oneshot::Sender<Result<Custody, CommitError>>, Result<Custody, CommitError>),
    Recorded(oneshot::Sender<Result<(), CommitError>>),
    Done(Sender<bool>),
}

impl Answer {
    fn send(self) {
        match self {
            Self::Custody(answer, custody) => {
                let _ = answer.send(custody);
            }
            Self::Recorded(answer) => {
                let _ = answer.send(Ok(()));
            }
            Self::Done(answer) => {
                let _ = answer.send(true);
            }
        }
    }
}
