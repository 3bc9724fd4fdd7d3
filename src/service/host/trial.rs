//! Putting a document in force so that nobody cuts himself off: applied on trial, confirmed, or
//! taken back.
//!
//! ```text
//!            check     pending.json      put: files, document, network, gateway
//! document ────────► N ────────────► ─┬───────────────────────────────────────┐
//!                                     │ final: current = N, no pending        │ a step failed,
//!                                     │ trial: waits ── confirm ─► current = N│ nobody confirmed,
//!                                     │                                       │ role or box began
//!                                     ▼                                       ▼ anew
//!                                 in force                    put back ── current as before
//! ```
//!
//! | `pending.json` says | and | the next start does |
//! |---|---|---|
//! | nothing | | nothing: N, if it exists, was never in force |
//! | trial, final or back | `current` is N | it was confirmed: forgets the pending |
//! | final | | goes on: puts N in force; if that fails, back |
//! | trial | | back |
//! | back | | back |
//!
//! Every step may be done twice.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::generations::{Author, Generations, load, store};
use super::hands::Machine;
use crate::base::fault::Fault;
use crate::base::limits::CONFIRM_SECS_MAX;
use crate::base::time::WallTime;
use crate::config::setup::GivenFile;
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::host::answer::{Applied, PendingRow};
use crate::event::Event;
use crate::event::herald::Herald;
use crate::host::durable::remove;
use crate::host::paths::Paths;

/// Between two attempts to take a generation back that could not be taken back at once: doubled
/// after each, up to five minutes.
const RETRY_FIRST_MILLIS: u64 = 5_000;
const RETRY_MAX_MILLIS: u64 = 300_000;

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Is put in force for good.
    Final,
    /// Is in force, or is put in force, until its deadline.
    Trial,
    /// Is taken back.
    Back,
}

/// `pending.json`: a change that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The generation that is put in force.
    pub generation: u64,
    /// The one before; 0: none.
    pub previous: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Who did it.
    pub by: String,
    /// Why it is taken back.
    #[serde(default)]
    pub reason: String,
    /// The start of the machine that the next two belong to.
    pub boot_id: String,
    /// The end of the trial, in milliseconds since that start.
    pub deadline_boot_millis: u64,
    /// The same by the wall clock, for people.
    pub deadline: WallTime,
}

/// A document on its way.
#[derive(Clone, Debug)]
pub struct Change<'c> {
    /// The document, checked.
    pub document: &'c str,
    /// Files that come with it.
    pub files: &'c [GivenFile],
    /// Who, when, why.
    pub author: Author,
    /// To be confirmed within so many seconds; none: final.
    pub confirm_secs: Option<u64>,
}

/// What is under way, for people. Needs no turn: the file is whole whenever it is read.
pub(super) fn pending_row(paths: &Paths, machine: &dyn Machine) -> Option<PendingRow> {
    let pending: Pending = load(&paths.pending())?;
    let left = pending.deadline_boot_millis.saturating_sub(machine.boot_millis());
    let left_secs = if pending.phase == Phase::Trial { left.div_ceil(1000) } else { 0 };
    let Pending { generation, previous, by, .. } = pending;
    Some(PendingRow { generation, previous, left_secs, by })
}

/// What is left to be tried again.
#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    attempts: u32,
    at_millis: u64,
}

/// The changes of one machine, one at a time.
pub struct Trials {
    paths: Paths,
    generations: Generations,
    machine: Arc<dyn Machine>,
    herald: Arc<Herald>,
    retry: Retry,
}

impl std::fmt::Debug for Trials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trials").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl Trials {
    /// The changes of the machine with these places.
    pub fn new(paths: Paths, machine: Arc<dyn Machine>, herald: Arc<Herald>) -> Self {
        let generations = Generations::new(paths.clone());
        Self { paths, generations, machine, herald, retry: Retry::default() }
    }

    /// What is under way.
    #[must_use]
    pub fn pending(&self) -> Option<Pending> {
        load(&self.paths.pending())
    }

    /// A document that somebody edited by hand becomes a generation of its own, so that it can
    /// come back. Does nothing while a change is under way.
    ///
    /// # Errors
    /// The disk.
    pub fn adopt(&self, now: WallTime) -> Result<(), Fault> {
        let Ok(text) = std::fs::read_to_string(self.paths.document()) else { return Ok(()) };
        let current = self.generations.current();
        let known = self.generations.document(current).is_ok_and(|known| known == text);
        if known || self.pending().is_some() {
            return Ok(());
        }
        let author =
            Author { by: "by hand".to_owned(), comment: "found on the disk".to_owned(), at: now };
        let generation = self.generations.add(&text, &[], &author)?;
        self.generations.set_current(generation)
    }

    /// Puts a document in force that was checked before.
    ///
    /// # Errors
    /// Another change waits, or a step failed; then what was before is in force again.
    pub fn apply(&mut self, change: &Change<'_>) -> Result<Applied, Trouble> {
        self.make_way()?;
        let confirm_secs = change.confirm_secs.filter(|secs| *secs > 0);
        if confirm_secs.is_some_and(|secs| secs > CONFIRM_SECS_MAX) {
            let text = format!("a trial lasts at most {CONFIRM_SECS_MAX} s");
            return Err(Trouble::new(TroubleKind::Invalid, text));
        }
        self.adopt(change.author.at)?;
        let previous = self.generations.current();
        let generation = self.generations.add(change.document, change.files, &change.author)?;
        self.machine.step("a generation is kept");
        let wait = confirm_secs.unwrap_or(0) * 1000;
        let pending = Pending {
            generation,
            previous,
            phase: if confirm_secs.is_some() { Phase::Trial } else { Phase::Final },
            by: change.author.by.clone(),
            reason: String::new(),
            boot_id: self.machine.boot_id(),
            deadline_boot_millis: self.machine.boot_millis().saturating_add(wait),
            deadline: change.author.at.after(std::time::Duration::from_millis(wait)),
        };
        store(&self.paths.pending(), &pending)?;
        self.machine.step("a change begins");
        if let Err(fault) = self.put(generation) {
            return Err(self.fail(&pending, &fault));
        }
        if pending.phase == Phase::Final {
            self.keep(&pending)?;
        }
        self.herald.tell(Event::GenerationApplied {
            generation,
            by: pending.by.clone(),
            confirm_secs,
        });
        self.generations.prune(&[generation, previous]);
        Ok(Applied { generation, previous, confirm_secs, notes: Vec::new() })
    }

    /// Nothing else may be under way. What could not be taken back cleanly (a gateway that does not
    /// run by the old document either) must not stand in the way of a better document.
    fn make_way(&mut self) -> Result<(), Trouble> {
        let Some(pending) = self.pending() else { return Ok(()) };
        let number = pending.generation;
        let text = match pending.phase {
            Phase::Trial => format!(
                "generation {number} waits for its confirmation: `postern config confirm` keeps \
                 it, `postern config rollback` takes it back"
            ),
            Phase::Final => format!("generation {number} is still being put in force"),
            Phase::Back => {
                self.generations.put_back(number, pending.previous, &|_| ())?;
                self.generations.mark_taken_back(number, &pending.reason)?;
                remove(&self.paths.pending())?;
                self.retry = Retry::default();
                return Ok(());
            }
        };
        Err(Trouble::new(TroubleKind::Conflict, text))
    }

    /// Keeps the generation that is on trial.
    ///
    /// # Errors
    /// None is, or the disk.
    pub fn confirm(&self, by: &str) -> Result<u64, Trouble> {
        let Some(pending) = self.pending().filter(|pending| pending.phase == Phase::Trial) else {
            let text = "no generation waits for a confirmation";
            return Err(Trouble::new(TroubleKind::Conflict, text));
        };
        self.keep(&pending)?;
        let generation = pending.generation;
        self.herald.tell(Event::GenerationConfirmed { generation, by: by.to_owned() });
        Ok(generation)
    }

    /// Takes the generation back that is on trial, at once.
    ///
    /// # Errors
    /// None is, or a step failed; it is tried again then.
    pub fn give_up(&mut self, by: &str) -> Result<Applied, Trouble> {
        let Some(pending) = self.pending().filter(|pending| pending.phase == Phase::Trial) else {
            let text = "no generation waits for a confirmation";
            return Err(Trouble::new(TroubleKind::Conflict, text));
        };
        self.take_back(&pending, &format!("{by} took it back"))?;
        let Pending { generation, previous, .. } = pending;
        let notes = vec![format!("generation {generation} was taken back")];
        Ok(Applied { generation: previous, previous: generation, confirm_secs: None, notes })
    }

    /// Goes on where an earlier life of the role was ended.
    ///
    /// # Errors
    /// A step failed; [`Trials::tick`] tries again.
    pub fn recover(&mut self) -> Result<(), Fault> {
        let Some(pending) = self.pending() else { return Ok(()) };
        if self.generations.current() == pending.generation {
            return remove(&self.paths.pending());
        }
        match pending.phase {
            Phase::Final => match self.put(pending.generation) {
                Ok(()) => self.keep(&pending),
                Err(fault) => {
                    let _ = self.fail(&pending, &fault);
                    Ok(())
                }
            },
            Phase::Trial => {
                let same = pending.boot_id == self.machine.boot_id();
                let who = if same { "the host role" } else { "the machine" };
                self.take_back(&pending, &format!("{who} began anew before it was confirmed"))
            }
            Phase::Back => self.take_back(&pending, &pending.reason.clone()),
        }
    }

    /// Time has passed: takes back what nobody confirmed.
    pub fn tick(&mut self) {
        let now = self.machine.boot_millis();
        let Some(pending) = self.pending() else { return };
        let due = match pending.phase {
            Phase::Trial => now >= pending.deadline_boot_millis,
            Phase::Final | Phase::Back => now >= self.retry.at_millis,
        };
        if !due {
            return;
        }
        let done = match pending.phase {
            Phase::Trial => self.take_back(&pending, "nobody confirmed it in time"),
            Phase::Final | Phase::Back => self.recover(),
        };
        if let Err(fault) = done {
            self.postpone(&fault);
        }
    }

    /// The generation stays: first `current` says so, then the pending goes.
    fn keep(&self, pending: &Pending) -> Result<(), Fault> {
        self.generations.set_current(pending.generation)?;
        self.machine.step("a generation is in force");
        remove(&self.paths.pending())?;
        self.machine.step("a change is done");
        Ok(())
    }

    fn put(&self, generation: u64) -> Result<(), Fault> {
        self.generations.put(generation, &|what| self.machine.step(what))?;
        self.machine.step("document");
        self.machine.network()?;
        self.machine.step("network");
        self.machine.gateway()?;
        self.machine.step("gateway");
        Ok(())
    }

    /// A step failed: back, and a word to whoever asked.
    fn fail(&mut self, pending: &Pending, fault: &Fault) -> Trouble {
        let reason = format!("a step failed: {fault}");
        let text = match self.take_back(pending, &reason) {
            Ok(()) => format!("{reason}; what was in force before is in force again"),
            Err(second) => {
                self.postpone(&second);
                format!("{reason}; taking it back failed too and is tried again: {second}")
            }
        };
        Trouble::new(TroubleKind::Fault, text)
    }

    fn take_back(&mut self, pending: &Pending, reason: &str) -> Result<(), Fault> {
        let Pending { generation, previous, .. } = *pending;
        let back = Pending { phase: Phase::Back, reason: reason.to_owned(), ..pending.clone() };
        store(&self.paths.pending(), &back)?;
        self.machine.step("a generation is taken back");
        self.generations.put_back(generation, previous, &|what| self.machine.step(what))?;
        self.machine.network()?;
        self.machine.step("network back");
        self.machine.gateway()?;
        self.machine.step("gateway back");
        self.generations.mark_taken_back(generation, reason)?;
        self.machine.step("a generation is marked");
        remove(&self.paths.pending())?;
        self.machine.step("a change is undone");
        self.retry = Retry::default();
        let reason = reason.to_owned();
        self.herald.tell(Event::GenerationTakenBack { generation, back_to: previous, reason });
        Ok(())
    }

    fn postpone(&mut self, fault: &Fault) {
        let wait = (RETRY_FIRST_MILLIS << self.retry.attempts.min(10)).min(RETRY_MAX_MILLIS);
        let at_millis = self.machine.boot_millis().saturating_add(wait);
        self.retry = Retry { attempts: self.retry.attempts + 1, at_millis };
        let fault = fault.to_string();
        self.herald.tell(Event::FaultSeen { room: "host".to_owned(), fault });
    }
}

#[cfg(test)]
mod tests;
