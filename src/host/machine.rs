//! What the host role has done by others: the service manager, the network step, the updater.
//!
//! **Invariant:** programs are called by absolute path with fixed arguments; nothing that somebody
//! typed becomes part of a command line, except a place to update from, which is checked first and
//! is one argument of our own program.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::durable::{Readers, remove, replace};
use super::facts;
use super::notify;
use super::paths::Paths;
use crate::base::fault::Fault;
use crate::base::limits::{UPDATE_GRACE, UPDATE_TIMEOUT};

/// A unit must be in its new state within this; its own limits are shorter, except a spool that is
/// compared for minutes after a crash.
const UNIT_TIMEOUT: Duration = Duration::from_secs(330);

/// The network step: a daemon-reload, one nftables transaction, `networkctl reload`.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(90);

/// The updater's unit ends before this, by its own limit.
const UPDATE_PATIENCE: Duration = UPDATE_TIMEOUT.saturating_add(UPDATE_GRACE);

/// What somebody hears who wants a second deed of the updater.
const UPDATER_BUSY: &str = "another update command is at work";

/// A diagnosis ends in 30 s; then its unit is waited for.
const DIAGNOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Something that is only looked at.
const LOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// Octets of what a program says that are kept.
const SAID_OCTETS_MAX: u64 = 8 * 1024 * 1024;

/// The unit that mounts the operator's stick.
pub(super) const STICK_UNIT: &str = "run-postern\\x2dhost-stick.mount";

/// Units that are ours or that we live by.
pub const UNITS: &[&str] = &[
    "postern.service",
    "postern-egress.service",
    "postern-egress.socket",
    "postern-host.service",
    "postern-health.service",
    "postern-network.service",
    "postern-guard.service",
    "postern-disks.service",
    "postern-setup.service",
    "systemd-networkd.service",
    "chrony.service",
];

/// A unit and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: String,
    /// `active`, `failed`, ...
    pub active: String,
    /// `running`, `dead`, ...
    pub sub: String,
}

/// What the updater is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateDeed {
    /// How it stands.
    Status,
    /// Ask for news.
    Check,
    /// Fetch, verify and write.
    Stage {
        /// From where; none: as the configuration says.
        from: Option<String>,
        /// An older release is taken too.
        downgrade: bool,
        /// Why it cannot wait.
        now: Option<String>,
    },
    /// Restart into it.
    Apply {
        /// Why it cannot wait.
        now: Option<String>,
    },
    /// Back to the other slot.
    Rollback {
        /// Why it cannot wait.
        now: Option<String>,
    },
}

/// What the gateway is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gateway {
    /// Run by the document that is there now, however it ran before.
    Restart,
    /// Not run: there is no document.
    Stop,
}

/// The real machine.
#[derive(Clone, Debug)]
pub struct System {
    paths: Paths,
}

impl System {
    /// The machine with these places.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self { paths }
    }

    fn run(
        &self,
        doing: &'static str,
        program: &str,
        words: &[&str],
        patience: Duration,
    ) -> Result<String, Fault> {
        let said = run(&self.paths.at(program), words, patience);
        said.map_err(|cause| Fault::new(doing, words.join(" "), cause))
    }

    fn systemctl(&self, words: &[&str], patience: Duration) -> Result<String, Fault> {
        self.run("asking the service manager to", "/usr/bin/systemctl", words, patience)
    }

    fn look(&self, program: &str, words: &[&str]) -> String {
        self.run("looking at", program, words, LOOK_TIMEOUT).unwrap_or_else(|f| f.to_string())
    }
}

impl System {
    /// Has the network step render and load what the document says; it is a unit of its own with
    /// the rights that it needs. On a machine that is no appliance nothing is done: its network is
    /// not ours.
    ///
    /// # Errors
    /// It failed; the network may be half changed.
    pub fn network(&self) -> Result<(), Fault> {
        if !self.paths.is_appliance() {
            return Ok(());
        }
        // A reload changes a running network, a start renders all of it.
        let words = ["reload-or-restart", "postern-network.service"];
        self.systemctl(&words, NETWORK_TIMEOUT)?;
        // The step may have asked for networkd to be started anew, once it was over.
        self.systemctl(&["start", "systemd-networkd.service"], NETWORK_TIMEOUT).map(|_| ())
    }

    /// Has the service manager start the gateway anew, or stop it.
    ///
    /// # Errors
    /// It does not run by the document now.
    pub fn gateway(&self, wanted: Gateway) -> Result<(), Fault> {
        let verb = match wanted {
            Gateway::Restart => "restart",
            Gateway::Stop => "stop",
        };
        self.systemctl(&[verb, "postern.service"], UNIT_TIMEOUT).map(|_| ())
    }

    /// Has the updater do something. It is a unit of its own that may write disks: what it is to
    /// do is written down for it, and what came of it lies beside that. A start of a unit that is
    /// at work joins that work: request and answer have a number, and one deed is asked for at a
    /// time.
    ///
    /// # Errors
    /// It failed, with what it said; or it is at work for somebody else.
    pub fn update(&self, deed: &UpdateDeed) -> Result<Value, Fault> {
        static TURN: Mutex<()> = Mutex::new(());
        let request = match deed {
            UpdateDeed::Status => {
                let words = ["update", "status", "--json"];
                let said = self.run("updating by", "/usr/bin/postern", &words, LOOK_TIMEOUT)?;
                return Ok(serde_json::from_str(&said).unwrap_or(Value::String(said)));
            }
            UpdateDeed::Check => json!({ "verb": "check" }),
            UpdateDeed::Stage { from, downgrade, now } => {
                json!({ "verb": "stage", "from": from, "downgrade": downgrade, "now": now })
            }
            UpdateDeed::Apply { now } => json!({ "verb": "apply", "now": now }),
            UpdateDeed::Rollback { now } => json!({ "verb": "rollback", "now": now }),
        };
        let fault = |why: &str| {
            Fault::new("updating by", request["verb"].as_str().unwrap_or_default(), why)
        };
        let _turn = match TURN.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(fault(UPDATER_BUSY)),
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Ok(turn) => turn,
        };
        let id = format!("{}-{}", std::process::id(), facts::boot_millis());
        let (asked, answered) = (self.paths.update_request(), self.paths.update_answer());
        remove(&answered)?;
        let errand = json!({ "id": id, "request": request });
        replace(&asked, format!("{errand}\n").as_bytes(), Readers::Owner)?;
        let started = self.systemctl(&["start", "postern-update.service"], UPDATE_PATIENCE);
        // What nobody has read by now must not be done at some later start.
        remove(&asked)?;
        let answer = std::fs::read(&answered).ok();
        let answer = answer.and_then(|octets| serde_json::from_slice::<Value>(&octets).ok());
        match (answer, started) {
            (Some(answer), _) if answer["id"] != id.as_str() => Err(fault(UPDATER_BUSY)),
            (Some(answer), _) if answer["good"] == true => Ok(answer["answer"].clone()),
            (Some(answer), _) => {
                Err(fault(answer["answer"]["error"].as_str().unwrap_or("no reason was given")))
            }
            (None, Err(fault)) => Err(fault),
            (None, Ok(_)) => {
                Err(Fault::new("reading", answered.display(), "the updater left no answer"))
            }
        }
    }

    /// Has somebody with a network try something by an interface: a unit of its own, as with the
    /// updater.
    ///
    /// # Errors
    /// The unit failed, or left no answer.
    pub fn diagnose(&self, errand: &Value) -> Result<Value, Fault> {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, answered) = (self.paths.diagnose_request(), self.paths.diagnose_answer());
        remove(&answered)?;
        replace(&asked, format!("{errand}\n").as_bytes(), Readers::Owner)?;
        let started = self.systemctl(&["start", "postern-diagnose.service"], DIAGNOSE_TIMEOUT);
        let fault = |cause: String| Fault::new("reading", answered.display(), cause);
        match (std::fs::read(&answered), started) {
            (Ok(octets), _) => {
                serde_json::from_slice(&octets).map_err(|error| fault(error.to_string()))
            }
            (Err(_), Err(fault)) => Err(fault),
            (Err(error), Ok(_)) => Err(fault(format!("no answer was left: {error}"))),
        }
    }

    /// Has the service manager mount or let go of the operator's stick.
    ///
    /// # Errors
    /// There is none, or it holds no file system.
    pub(super) fn stick(&self, wanted: bool) -> Result<(), Fault> {
        let verb = if wanted { "start" } else { "stop" };
        self.systemctl(&[verb, STICK_UNIT], LOOK_TIMEOUT).map(|_| ())
    }

    /// Restarts the machine.
    ///
    /// # Errors
    /// The service manager refuses.
    pub fn reboot(&self) -> Result<(), Fault> {
        self.systemctl(&end("reboot.target"), LOOK_TIMEOUT).map(|_| ())
    }

    /// Switches the machine off.
    ///
    /// # Errors
    /// The service manager refuses.
    pub fn power_off(&self) -> Result<(), Fault> {
        self.systemctl(&end("poweroff.target"), LOOK_TIMEOUT).map(|_| ())
    }

    /// Units of ours and their states.
    #[must_use]
    pub fn units(&self) -> Vec<Unit> {
        let mut words = vec!["show", "--property=Id,LoadState,ActiveState,SubState"];
        words.extend(UNITS);
        let said = self.systemctl(&words, LOOK_TIMEOUT).unwrap_or_default();
        said.split("\n\n").filter_map(unit).collect()
    }

    /// The last lines of a unit in the journal of this boot.
    #[must_use]
    pub fn last_lines(&self, unit: &str) -> String {
        let words = ["--no-pager", "--output=cat", "--boot", "--lines=4", "--unit", unit];
        self.look("/usr/bin/journalctl", &words)
    }

    /// What a look at the machine says, for the support bundle: a name and a text.
    #[must_use]
    pub fn looks(&self) -> Vec<(&'static str, String)> {
        let journal = [
            "--no-pager",
            "--output=short-iso",
            "--lines=5000",
            "--unit=postern*",
            "--unit=systemd-networkd.service",
            "--unit=chrony.service",
        ];
        let units = ["list-units", "--all", "--no-pager", "--plain", "postern*"];
        let failed = ["list-units", "--failed", "--no-pager", "--plain"];
        vec![
            ("units.txt", self.look("/usr/bin/systemctl", &units)),
            ("units-failed.txt", self.look("/usr/bin/systemctl", &failed)),
            ("journal.txt", self.look("/usr/bin/journalctl", &journal)),
            ("links.txt", self.look("/usr/bin/networkctl", &["--no-pager", "--all", "status"])),
            ("firewall.txt", self.look("/usr/sbin/nft", &["list", "ruleset"])),
            ("addresses.txt", self.look("/usr/sbin/ip", &["address"])),
            ("rules.txt", self.look("/usr/sbin/ip", &["rule"])),
            ("routes.txt", self.look("/usr/sbin/ip", &["route", "show", "table", "all"])),
            ("routes6.txt", self.look("/usr/sbin/ip", &["-6", "route", "show", "table", "all"])),
            ("time.txt", self.look("/usr/bin/chronyc", &["-n", "tracking"])),
            ("disks.txt", self.look("/usr/bin/lsblk", &["--output-all", "--json"])),
        ]
    }
}

/// Words for systemctl that end the machine in order, by `reboot.target` or `poweroff.target`, as
/// its own `reboot` does, but without asking logind first: the box has no message bus.
#[must_use]
pub fn end(target: &str) -> [&str; 4] {
    ["start", "--no-block", "--job-mode=replace-irreversibly", target]
}

/// Runs `ip`.
pub(super) fn command_of(system: &System, words: &[&str]) -> Result<(), Fault> {
    system.run("asking the kernel by ip to", "/usr/sbin/ip", words, LOOK_TIMEOUT).map(|_| ())
}

/// What `journalctl` says.
pub(super) fn journal_of(system: &System, words: &[&str]) -> Result<String, Fault> {
    system.run("reading the journal by", "/usr/bin/journalctl", words, LOOK_TIMEOUT)
}

/// What `chronyc` says.
pub(super) fn time_of(system: &System, words: &[&str]) -> Result<String, Fault> {
    system.run("asking chronyc for", "/usr/bin/chronyc", words, LOOK_TIMEOUT)
}

/// A block of `systemctl show`; none for a unit that this machine does not have.
fn unit(block: &str) -> Option<Unit> {
    let value = |key: &str| {
        block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
    };
    if value("LoadState")? != "loaded" {
        return None;
    }
    Some(Unit { name: value("Id")?, active: value("ActiveState")?, sub: value("SubState")? })
}

/// Runs a program without a shell, an input or an environment of ours, within `patience`.
fn run(program: &PathBuf, words: &[&str], patience: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    let mut child = command.spawn().map_err(|cause| format!("{}: {cause}", program.display()))?;
    let out = gather(child.stdout.take());
    let err = gather(child.stderr.take());
    let ended = wait(&mut child, patience);
    let text = |gathered: Option<thread::JoinHandle<String>>| {
        gathered.and_then(|thread| thread.join().ok()).unwrap_or_default()
    };
    let (out, err) = (text(out), text(err));
    match ended {
        Ok(true) => Ok(out),
        Ok(false) => Err(last_words(if err.trim().is_empty() { &out } else { &err })),
        Err(cause) => Err(cause),
    }
}

fn gather<R: Read + Send + 'static>(from: Option<R>) -> Option<thread::JoinHandle<String>> {
    let mut from = from?;
    thread::Builder::new()
        .spawn(move || {
            let mut octets = Vec::new();
            let _ = Read::by_ref(&mut from).take(SAID_OCTETS_MAX).read_to_end(&mut octets);
            // What is beyond the bound is read all the same, so that the program can end.
            let _ = std::io::copy(&mut from, &mut std::io::sink());
            String::from_utf8_lossy(&octets).into_owned()
        })
        .ok()
}

/// Whether the program ended well; kills it when its time is over.
fn wait(child: &mut Child, patience: Duration) -> Result<bool, String> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(2);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() >= end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("took longer than {} s", patience.as_secs()));
            }
            Ok(None) => thread::sleep(pause),
            Err(cause) => return Err(cause.to_string()),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
        notify::alive();
    }
}

/// The end of what a program said.
fn last_words(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(20);
    if lines.is_empty() { "failed without a word".to_owned() } else { lines[from..].join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_heard_bounded_and_waited_for() {
        let sh = PathBuf::from("/bin/sh");
        assert_eq!(run(&sh, &["-c", "echo hello"], LOOK_TIMEOUT).unwrap(), "hello\n");
        let failed = run(&sh, &["-c", "echo no >&2; exit 3"], LOOK_TIMEOUT).unwrap_err();
        assert_eq!(failed, "no");
        let slow = run(&sh, &["-c", "exec sleep 30"], Duration::from_millis(50)).unwrap_err();
        assert!(slow.contains("took longer"), "{slow}");
        assert!(run(&PathBuf::from("/no/such"), &[], LOOK_TIMEOUT).is_err());
        let gone = run(&sh, &["-c", "echo ${HOME:-none}"], LOOK_TIMEOUT).unwrap();
        assert_eq!(gone, "none\n");
    }

    #[test]
    fn units_that_are_not_there_are_not_shown() {
        let block = "Id=postern.service\nLoadState=loaded\nActiveState=active\nSubState=running";
        assert_eq!(unit(block).unwrap().sub, "running");
        assert_eq!(unit("Id=x.service\nLoadState=not-found\nActiveState=inactive"), None);
    }
}
