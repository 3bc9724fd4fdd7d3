//! The keeper at the door: who may do what, and that it is written down.
//!
//! **Invariant:** the role is looked up and compared before the office hears of a request, and a
//! refusal is recorded like a deed.

use std::fmt;
use std::sync::Arc;

use super::answer::{Answer, Trouble, TroubleKind};
use super::office::{Office, perform};
use super::request::{Request, Role, Weight};
use crate::base::fault::Fault;
use crate::event::Event;
use crate::event::deed::Deed;
use crate::event::herald::Herald;

/// Somebody at the other end of the socket, as the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id.
    pub uid: u32,
    /// User name, or the id again.
    pub name: String,
    /// Process id, if the kernel tells it.
    pub pid: Option<i32>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (uid {})", self.name, self.uid)
    }
}

/// Appends a deed to the audit log; durable when it returns. May block.
pub type Recorder = Arc<dyn Fn(Deed) -> Result<(), Fault> + Send + Sync>;

/// Says what a user id may do; asked anew for every request, so that a reload counts at once.
pub type RoleBook = Arc<dyn Fn(u32) -> Option<Role> + Send + Sync>;

/// Checks, records and has the office act.
pub struct Keeper<O> {
    office: Arc<O>,
    roles: RoleBook,
    recorder: Recorder,
    herald: Arc<Herald>,
}

impl<O: Office> Keeper<O> {
    /// A keeper before `office`.
    pub fn new(office: Arc<O>, roles: RoleBook, recorder: Recorder, herald: Arc<Herald>) -> Self {
        Self { office, roles, recorder, herald }
    }

    /// Does what `caller` asks, if the role reaches.
    pub async fn handle(&self, caller: &Caller, request: Request) -> Answer {
        let needed = request.role();
        let deed = Deed {
            actor: caller.to_string(),
            origin: caller.pid.map_or_else(
                || "control socket".to_owned(),
                |pid| format!("control socket, process {pid}"),
            ),
            action: request.action().to_owned(),
            subject: request.subject(),
            outcome: String::new(),
        };
        match (self.roles)(caller.uid) {
            Some(role) if role >= needed => self.act(deed, request).await,
            role => self.refuse(deed, role, needed).await,
        }
    }

    async fn refuse(&self, deed: Deed, role: Option<Role>, needed: Role) -> Answer {
        let has = role.map_or_else(|| "no role".to_owned(), |role| format!("role {role}"));
        let text = format!(
            "{}: {} has {has}, role {needed} is needed; roles stand under [control] in the \
             configuration",
            deed.action, deed.actor
        );
        self.told(&deed, "refused", 0);
        // A refusal that cannot be recorded is still a refusal, and a fault is told.
        let _ = self.record(&deed, format!("refused: {has}, role {needed} is needed")).await;
        Answer::Trouble(Trouble::new(TroubleKind::Forbidden, text))
    }

    async fn act(&self, deed: Deed, request: Request) -> Answer {
        let weight = request.weight();
        if weight == Weight::Changes
            && let Err(fault) = self.record(&deed, "begun".to_owned()).await
        {
            let text = format!("not done, because it cannot be recorded in the audit log: {fault}");
            return Answer::Trouble(Trouble::new(TroubleKind::Fault, text));
        }
        let answer = perform(&*self.office, request, deed.actor.clone()).await;
        if weight == Weight::Looks {
            return answer;
        }
        let (outcome, messages) = outcome(&answer);
        self.told(&deed, &outcome, messages);
        match self.record(&deed, outcome).await {
            Ok(()) => answer,
            Err(fault) => unrecorded(answer, &fault),
        }
    }

    async fn record(&self, deed: &Deed, outcome: String) -> Result<(), Fault> {
        let (recorder, deed) = (self.recorder.clone(), Deed { outcome, ..deed.clone() });
        let done = tokio::task::spawn_blocking(move || recorder(deed)).await;
        let done = done.unwrap_or_else(|e| Err(Fault::new("recording", "the audit log", e)));
        if let Err(fault) = &done {
            let fault = fault.to_string();
            self.herald.tell(Event::FaultSeen { room: "audit".to_owned(), fault });
        }
        done
    }

    fn told(&self, deed: &Deed, outcome: &str, messages: u64) {
        self.herald.tell(Event::ControlActed {
            by: deed.actor.clone(),
            action: format!("{} ({outcome})", deed.action),
            subject: deed.subject.clone(),
            messages,
        });
    }
}

impl<O> fmt::Debug for Keeper<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// How a deed ended, in words that hold no secret, and how many messages it touched.
fn outcome(answer: &Answer) -> (String, u64) {
    match answer {
        Answer::Trouble(trouble) => (format!("failed: {}", trouble.text), 0),
        Answer::Acted(acted) if acted.dry_run => {
            (format!("done: would touch {} messages", acted.messages), 0)
        }
        Answer::Acted(acted) => (format!("done: {} messages", acted.messages), acted.messages),
        Answer::Checked(checked) if !checked.good => {
            (format!("failed: {} complaints", checked.complaints.len()), 0)
        }
        _ => ("done".to_owned(), 0),
    }
}

/// The deed is done but not on record: the caller must know.
fn unrecorded(answer: Answer, fault: &Fault) -> Answer {
    let warning = format!("done, but NOT recorded in the audit log: {fault}");
    match answer {
        Answer::Acted(acted) => {
            let note = format!("{} {warning}", acted.note).trim().to_owned();
            Answer::Acted(super::answer::Acted { note, ..acted })
        }
        other => other,
    }
}
