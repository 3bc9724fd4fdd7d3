//! The desk of the host role: who may ask what, that it is written down, and who does it.

mod deeds;
mod looks;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::door::{Door, Try};
use super::hands::Machine;
use super::trial::Trials;
use super::{status, trial};
use crate::base::fault::Fault;
use crate::base::limits::{HOST_REFUSALS_PER_MINUTE, PAGE_ROWS_MAX};
use crate::config::setup::weak;
use crate::control::answer::{Page, Trouble, TroubleKind};
use crate::control::host::HostAnswer;
use crate::control::host::answer::{Names, Welcome};
use crate::control::host::request::{HostRequest, Passphrase, Standing};
use crate::control::request::{Request, Weight};
use crate::event::Event;
use crate::event::deed::Deed;
use crate::event::harmless;
use crate::event::herald::Herald;
use crate::host::paths::Paths;
use crate::host::{clock, facts};
use crate::store::audit::{self, Audit};

/// An answer, or why there is none.
type Done<T> = Result<T, Trouble>;

/// Somebody at the other end of the socket, as the kernel tells, and what was said since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// User id.
    pub uid: u32,
    /// User name, or the id again.
    pub name: String,
    /// Process id, if the kernel tells it.
    pub pid: Option<i32>,
    /// Where the caller says that it sits.
    pub tty: Option<String>,
    /// Has said the passphrase.
    pub logged_in: bool,
}

impl Visitor {
    /// Somebody who has just come.
    #[must_use]
    pub fn new(uid: u32, name: String, pid: Option<i32>) -> Self {
        Self { uid, name, pid, tty: None, logged_in: false }
    }

    fn sits_at(&mut self, tty: Option<String>) {
        let plain = |tty: &String| {
            (1..=16).contains(&tty.len()) && tty.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        if let Some(tty) = tty.filter(plain) {
            self.tty = Some(tty);
        }
    }

    fn origin(&self) -> String {
        let process = self.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
        let tty = self.tty.as_ref().map_or_else(String::new, |tty| format!(", {tty}"));
        format!("host socket{process}{tty}")
    }
}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.logged_in {
            write!(f, "the administrator as {} (uid {})", self.name, self.uid)
        } else {
            write!(f, "{} (uid {})", self.name, self.uid)
        }
    }
}

/// Who may connect besides root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guests {
    /// Users that become administrators by the passphrase: the console's.
    pub guests: Vec<u32>,
    /// The user of the role itself, root except in a test; a guest's id is a guest all the same.
    pub own: u32,
}

/// The desk.
pub struct HostDesk {
    paths: Paths,
    machine: Arc<dyn Machine>,
    herald: Arc<Herald>,
    guests: Guests,
    trials: Mutex<Trials>,
    door: Mutex<Door>,
    audit: Mutex<Audit>,
    refusals: Mutex<Refusals>,
}

/// Refusals in the audit trail since a minute began.
#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    began_millis: u64,
    count: u32,
}

impl Refusals {
    /// Whether one more may be recorded.
    fn one_more(&mut self, now_millis: u64) -> bool {
        if now_millis.saturating_sub(self.began_millis) >= 60_000 {
            *self = Self { began_millis: now_millis, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= HOST_REFUSALS_PER_MINUTE
    }
}

impl fmt::Debug for HostDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostDesk").field("paths", &self.paths).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostDesk {
    /// Opens the desk of a machine; what an earlier life left under way is finished or undone.
    ///
    /// # Errors
    /// The state cannot be read or written.
    pub fn open(
        paths: Paths,
        machine: Arc<dyn Machine>,
        guests: Guests,
        herald: Arc<Herald>,
    ) -> Result<Self, Fault> {
        crate::host::durable::make_folder(&paths.state(), crate::host::durable::Readers::Owner)?;
        let (audit, opening) = Audit::open(&paths.audit())?;
        for fault in opening.findings {
            herald.tell(Event::FaultSeen { room: "host audit".to_owned(), fault });
        }
        let trials = Trials::new(paths.clone(), machine.clone(), herald.clone());
        let door = Door::new(paths.clone(), &*machine);
        Ok(Self {
            paths,
            machine,
            herald,
            guests,
            trials: Mutex::new(trials),
            door: Mutex::new(door),
            audit: Mutex::new(audit),
            refusals: Mutex::default(),
        })
    }

    /// Finishes or undoes what an earlier life left under way.
    pub fn recover(&self) {
        let mut trials = lock(&self.trials);
        let done = trials.recover().and_then(|()| trials.adopt(clock::wall()));
        if let Err(fault) = done {
            let fault = fault.to_string();
            self.herald.tell(Event::FaultSeen { room: "host".to_owned(), fault });
        }
    }

    /// Time has passed.
    pub fn tick(&self) {
        // A change that is being made looks after itself.
        if let Ok(mut trials) = self.trials.try_lock() {
            trials.tick();
        }
    }

    /// Whether nobody is at work at the desk: changes, log-ins, the audit trail. A deed that lasts
    /// (staging, a backup) is not at the desk meanwhile.
    #[must_use]
    pub fn is_free(&self) -> bool {
        fn free<T>(mutex: &Mutex<T>) -> bool {
            !matches!(mutex.try_lock(), Err(TryLockError::WouldBlock))
        }
        free(&self.trials) && free(&self.door) && free(&self.audit)
    }

    /// Whether the box belongs to nobody yet.
    fn unclaimed(&self) -> bool {
        !self.paths.admin().exists() && !self.paths.document().exists()
    }

    /// Whether the passphrase is what makes this visitor somebody.
    #[must_use]
    pub fn is_guest(&self, visitor: &Visitor) -> bool {
        self.guests.guests.contains(&visitor.uid)
    }

    fn standing(&self, visitor: &Visitor) -> Option<Standing> {
        let guest = self.is_guest(visitor);
        if visitor.logged_in {
            Some(Standing::Administrator)
        } else if guest && self.unclaimed() {
            Some(Standing::Claimant)
        } else if guest {
            Some(Standing::Guest)
        } else if visitor.uid == 0 || visitor.uid == self.guests.own {
            Some(Standing::Administrator)
        } else {
            None
        }
    }

    /// Whether somebody may connect at all.
    #[must_use]
    pub fn receives(&self, visitor: &Visitor) -> bool {
        self.standing(visitor).is_some()
    }

    /// Does what `visitor` asks, if the standing reaches.
    pub fn handle(&self, visitor: &mut Visitor, request: HostRequest) -> HostAnswer {
        let deed = Deed {
            actor: visitor.to_string(),
            origin: visitor.origin(),
            action: request.action().to_owned(),
            subject: request.subject(),
            outcome: String::new(),
        };
        let needed = request.standing();
        if self.standing(visitor).is_none_or(|has| has < needed) {
            return self.refuse(&deed);
        }
        let changes = request.changes() || relayed_change(&request);
        if changes && let Err(fault) = self.record(&deed, "begun") {
            let text = format!("not done, because it cannot be recorded in the audit log: {fault}");
            return HostAnswer::Trouble(Trouble::new(TroubleKind::Fault, text));
        }
        let tried = matches!(request, HostRequest::Login { .. });
        let answer = self.perform(visitor, request).unwrap_or_else(HostAnswer::Trouble);
        if changes || tried {
            let outcome = outcome(&answer);
            self.tell(&deed, &outcome);
            let failed = matches!(answer, HostAnswer::Trouble(_));
            if tried && failed && !self.one_more_refusal() {
                return answer;
            }
            if let Err(fault) = self.record(&deed, &outcome) {
                let fault = format!("done, but NOT recorded in the audit log: {fault}");
                self.herald.tell(Event::FaultSeen { room: "host audit".to_owned(), fault });
            }
        }
        answer
    }

    /// Somebody has pressed the power button `name`: the box switches itself off in order, as by
    /// `power-off`. A deed that cannot be recorded is done all the same: whoever stands there would
    /// pull the plug.
    pub fn power_button(&self, name: &str) {
        let deed = Deed {
            actor: "power button".to_owned(),
            origin: harmless(name),
            action: HostRequest::PowerOff {}.action().to_owned(),
            subject: String::new(),
            outcome: String::new(),
        };
        let record = |outcome: &str| {
            if let Err(fault) = self.record(&deed, outcome) {
                let fault = fault.to_string();
                self.herald.tell(Event::FaultSeen { room: "host audit".to_owned(), fault });
            }
        };
        record("begun");
        let outcome = match self.machine.power_off() {
            Ok(()) => "done".to_owned(),
            Err(fault) => format!("failed: {fault}"),
        };
        self.tell(&deed, &outcome);
        record(&outcome);
    }

    fn refuse(&self, deed: &Deed) -> HostAnswer {
        self.tell(deed, "refused");
        if self.one_more_refusal() {
            let _ = self.record(deed, "refused: the administrator's passphrase is needed");
        }
        let text = format!(
            "{}: {} may not do that; log in with the administrator's passphrase, or ask root",
            deed.action, deed.actor
        );
        HostAnswer::Trouble(Trouble::new(TroubleKind::Forbidden, text))
    }

    fn one_more_refusal(&self) -> bool {
        lock(&self.refusals).one_more(self.machine.boot_millis())
    }

    fn tell(&self, deed: &Deed, outcome: &str) {
        let outcome: String = outcome.chars().take(200).collect();
        self.herald.tell(Event::ControlActed {
            by: deed.actor.clone(),
            action: format!("{} ({outcome})", deed.action),
            subject: deed.subject.clone(),
            messages: 0,
        });
    }

    fn record(&self, deed: &Deed, outcome: &str) -> Result<u64, Fault> {
        let outcome = outcome.chars().take(4000).collect();
        let deed = Deed { outcome, ..deed.clone() };
        lock(&self.audit).record(clock::wall(), deed)
    }

    fn perform(&self, visitor: &mut Visitor, request: HostRequest) -> Done<HostAnswer> {
        match request {
            HostRequest::Hello { tty } => {
                visitor.sits_at(tty);
                Ok(HostAnswer::Welcome(self.welcome(visitor)))
            }
            HostRequest::Status {} => Ok(self.status()),
            HostRequest::Login { passphrase, tty } => {
                visitor.sits_at(tty);
                self.login(visitor, &passphrase)
            }
            HostRequest::Logout {} => {
                visitor.logged_in = false;
                Ok(HostAnswer::Welcome(self.welcome(visitor)))
            }
            HostRequest::SetPassphrase { old, new } => {
                self.set_passphrase(visitor, old.as_ref(), &new)
            }
            HostRequest::Setup { text, check, confirm_secs } => {
                let answer = self.setup(visitor, text.secret().expose(), check, confirm_secs)?;
                // Who has just said what the passphrase is need not say it again.
                visitor.logged_in |= !check && matches!(&answer, HostAnswer::SetUp(s) if s.good);
                Ok(answer)
            }
            HostRequest::Hostname {} => Ok(HostAnswer::Names(Names {
                kernel: facts::hostname(),
                document: status::document_hostname(&self.paths),
            })),
            HostRequest::AuditShow { page } => {
                let limit = usize::try_from(page.limit).unwrap_or(PAGE_ROWS_MAX).min(PAGE_ROWS_MAX);
                let offset = usize::try_from(page.offset).unwrap_or(usize::MAX);
                let (rows, total) = lock(&self.audit).newest(offset, limit)?;
                Ok(HostAnswer::Audit(Page { rows, total, offset: page.offset }))
            }
            HostRequest::AuditVerify {} => {
                let _turn = lock(&self.audit);
                Ok(HostAnswer::Verified(audit::verify(&self.paths.audit())?))
            }
            other => self.perform_deed(visitor, other),
        }
    }

    fn welcome(&self, visitor: &Visitor) -> Welcome {
        Welcome {
            administrator: self.standing(visitor) == Some(Standing::Administrator),
            unclaimed: self.unclaimed(),
            passphrase_set: self.paths.admin().exists(),
            login_wait_secs: lock(&self.door).wait_secs(&*self.machine),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: status::hostname(&self.paths),
        }
    }

    fn status(&self) -> HostAnswer {
        let pending = trial::pending_row(&self.paths, &*self.machine);
        let status = status::of(&self.paths, &self.machine, pending, clock::wall());
        HostAnswer::Status(Box::new(status))
    }

    fn login(&self, visitor: &mut Visitor, passphrase: &Passphrase) -> Done<HostAnswer> {
        self.knock(passphrase)?;
        visitor.logged_in = true;
        Ok(HostAnswer::Welcome(self.welcome(visitor)))
    }

    fn knock(&self, passphrase: &Passphrase) -> Done<()> {
        let forbidden = |text: String| Err(Trouble::new(TroubleKind::Forbidden, text));
        match lock(&self.door).knock(passphrase.secret(), &*self.machine)? {
            Try::Right => Ok(()),
            Try::Wrong => forbidden("that is not the passphrase".to_owned()),
            Try::Wait(secs) => {
                forbidden(format!("after several wrong passphrases: wait {secs} s, then try again"))
            }
            Try::Unset => forbidden(
                "no passphrase is set: set the box up, or have root set one with `postern \
                 passphrase`"
                    .to_owned(),
            ),
        }
    }

    fn set_passphrase(
        &self,
        visitor: &Visitor,
        old: Option<&Passphrase>,
        new: &Passphrase,
    ) -> Done<HostAnswer> {
        // Somebody who finds an open console must not be able to take the box over.
        if visitor.logged_in && lock(&self.door).is_set() {
            let Some(old) = old else {
                let text = "the passphrase so far is needed, too";
                return Err(Trouble::new(TroubleKind::Invalid, text));
            };
            self.knock(old)?;
        }
        if let Some(problem) = weak(new.secret().expose()) {
            let text = format!("the new passphrase {problem}");
            return Err(Trouble::new(TroubleKind::Invalid, text));
        }
        lock(&self.door).set(new.secret())?;
        Ok(HostAnswer::Done("the passphrase is set".to_owned()))
    }
}

/// Whether the gateway is asked to change something.
fn relayed_change(request: &HostRequest) -> bool {
    let HostRequest::Relay { request } = request else { return false };
    let parsed = serde_json::from_value::<Request>(request.clone());
    parsed.is_ok_and(|request| request.weight() != Weight::Looks)
}

/// How a deed ended, in words that hold no secret.
fn outcome(answer: &HostAnswer) -> String {
    match answer {
        HostAnswer::Trouble(trouble) => format!("failed: {}", trouble.text),
        HostAnswer::Checked(checked) if !checked.good => {
            format!("failed: {} complaints", checked.complaints.len())
        }
        HostAnswer::SetUp(setup) if !setup.good => {
            format!("failed: {} complaints", setup.complaints.len())
        }
        HostAnswer::Applied(applied) => format!("done: generation {}", applied.generation),
        HostAnswer::Relayed(answer) if answer["answer"] == "trouble" => {
            let text = answer["data"]["text"].as_str().unwrap_or_default();
            format!("failed: {text}")
        }
        _ => "done".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Simulated;
    use super::*;

    fn desk(machine: &Arc<Simulated>) -> HostDesk {
        let guests = Guests { guests: Vec::new(), own: 0 };
        let herald = Arc::new(Herald::new(clock::wall));
        HostDesk::open(machine.paths.clone(), machine.clone(), guests, herald).unwrap()
    }

    #[test]
    fn whoever_works_at_the_desk_is_seen_and_does_not_stop_a_look() {
        let desk = desk(&Arc::new(Simulated::new()));
        assert!(desk.is_free());
        let change = lock(&desk.trials);
        assert!(!desk.is_free());
        desk.tick();
        drop(change);
        let record = lock(&desk.audit);
        assert!(!desk.is_free());
        drop(record);
        let knock = lock(&desk.door);
        assert!(!desk.is_free());
        drop(knock);
        assert!(desk.is_free());
    }

    #[test]
    fn a_press_on_the_button_stands_in_the_audit_trail() {
        let machine = Arc::new(Simulated::new());
        let desk = desk(&machine);
        desk.power_button("Power\u{1b}[2J Button");
        assert!(machine.off.load(std::sync::atomic::Ordering::SeqCst));
        let (rows, total) = lock(&desk.audit).newest(0, 10).unwrap();
        let shown: Vec<_> = rows
            .iter()
            .map(|row| [&row.deed.actor, &row.deed.action, &row.deed.outcome].map(String::as_str))
            .collect();
        let row = |outcome| ["power button", "power-off", outcome];
        assert_eq!((total, shown), (2, vec![row("done"), row("begun")]));
        assert!(!rows[0].deed.origin.contains('\u{1b}'), "{}", rows[0].deed.origin);
    }
}
