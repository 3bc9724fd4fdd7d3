//! `postern host` as a process, from its socket to its exit code; and `postern setup --boot`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::boot::{self, Outcome};
use super::desk::{Guests, HostDesk, Visitor};
use super::hands::{Machine, Real};
use super::server;
use crate::base::fault::Fault;
use crate::base::limits::{HOST_DEED_MAX, TRIAL_BEAT};
use crate::config::Surroundings as _;
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::host::{HostAnswer, HostRequest};
use crate::event::herald::Herald;
use crate::event::journal::install;
use crate::host::button::Buttons;
use crate::host::disk::Disk;
use crate::host::durable::{Lock, Readers, make_folder};
use crate::host::journal::{Journal, under_journal};
use crate::host::paths::Paths;
use crate::host::signals::Signals;
use crate::host::{clock, notify, passed, peer};

/// How long the journal may take to write what was told last.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(2);

/// For the answers to what was asked before the end; the service manager has more patience.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks for buttons that were plugged in.
const BUTTON_BEAT: Duration = Duration::from_secs(5);

/// The user of the console.
pub const CONSOLE_USER: &str = "postern-console";

/// How the role is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The root of the machine; `/` but for tests.
    pub root: PathBuf,
    /// The socket; none: the one that the service manager passed, or the usual place.
    pub socket: Option<PathBuf>,
    /// Users that become administrators by the passphrase.
    pub guests: Vec<String>,
}

/// Serves the socket until SIGTERM or SIGINT.
pub async fn run(options: Options) -> ExitCode {
    install(under_journal());
    let herald = Arc::new(Herald::new(clock::wall));
    let journal = match Journal::start(&herald) {
        Ok(journal) => journal,
        Err(fault) => return failed(&fault),
    };
    let code = match serve(&options, &herald).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => failed(&fault),
    };
    let _ = journal.flush(JOURNAL_PATIENCE);
    code
}

async fn serve(options: &Options, herald: &Arc<Herald>) -> Result<(), Fault> {
    let mut signals =
        Signals::take().map_err(|cause| Fault::new("taking", "the signals", cause))?;
    let paths = Paths::below(&options.root);
    let Some(_lock) = Lock::take(&paths.state().join("lock"))? else {
        let cause = "another host role or a setup works on it";
        return Err(Fault::new("taking", paths.state().display(), cause));
    };
    let guests = Guests {
        guests: options.guests.iter().filter_map(|name| uid(name)).collect(),
        own: peer::own_uid(),
    };
    let machine: Arc<dyn Machine> = Arc::new(Real::new(paths.clone()));
    let desk = Arc::new(HostDesk::open(paths.clone(), machine, guests, herald.clone())?);
    let listener = listener(options, &paths)?;
    let begun = desk.clone();
    // Before anybody is heard: what an earlier life left under way.
    let _ = tokio::task::spawn_blocking(move || begun.recover()).await;
    let in_hand = server::InHand::default();
    let door = tokio::spawn(server::serve(listener, desk.clone(), in_hand.clone()));
    if paths.is_appliance() && paths.is_real() {
        listen_to_buttons(desk.clone())?;
    }
    let clockwork = tokio::spawn(beat(desk));
    notify::ready("hears requests");
    let name = signals.end().await;
    notify::stopping();
    door.abort();
    clockwork.abort();
    // A restart that somebody ordered ends this role as well: the word about it goes out first.
    let _ = timeout(LAST_ANSWERS_TIMEOUT, in_hand.write()).await;
    say_farewell(name);
    Ok(())
}

/// On a thread that ends with the process; on other machines the log-in daemon listens.
fn listen_to_buttons(desk: Arc<HostDesk>) -> Result<(), Fault> {
    let listen = move || {
        let mut buttons = Buttons::default();
        loop {
            if let Some(name) = buttons.wait(BUTTON_BEAT) {
                desk.power_button(&name);
            }
        }
    };
    let thread = std::thread::Builder::new().name("button".to_owned()).spawn(listen);
    thread.map(|_| ()).map_err(|cause| Fault::new("listening to", "the power button", cause))
}

/// The reason goes to whoever started it by hand; the service manager knows it.
fn say_farewell(signal: &str) {
    if !under_journal() {
        eprintln!("postern: the host role ends: {signal}");
    }
}

fn uid(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| Disk.uid(name))
}

fn listener(options: &Options, paths: &Paths) -> Result<UnixListener, Fault> {
    let passed = if options.socket.is_none() { passed::unix_socket()? } else { None };
    if let Some(socket) = passed {
        let fault = |cause| Fault::new("taking the passed socket", "LISTEN_FDS", cause);
        socket.set_nonblocking(true).map_err(fault)?;
        return UnixListener::from_std(socket).map_err(fault);
    }
    let usual = || paths.at(crate::control::host::call::HOST_SOCKET);
    let path = options.socket.clone().unwrap_or_else(usual);
    if let Some(folder) = path.parent() {
        make_folder(folder, Readers::Owner)?;
    }
    server::open(&path)
}

/// Does one deed by hand, where no role runs: `postern setup --file` on a new machine.
#[must_use]
pub fn by_hand(root: &Path, request: HostRequest) -> HostAnswer {
    let paths = Paths::below(root);
    let done = || -> Result<HostAnswer, Trouble> {
        let Some(_lock) = Lock::take(&paths.state().join("lock"))? else {
            let text = "the host role runs and does not answer";
            return Err(Trouble::new(TroubleKind::Conflict, text));
        };
        let own = peer::own_uid();
        let machine: Arc<dyn Machine> = Arc::new(Real::new(paths.clone()));
        let herald = Arc::new(Herald::new(clock::wall));
        let guests = Guests { guests: Vec::new(), own };
        let desk = HostDesk::open(paths.clone(), machine, guests, herald)?;
        desk.recover();
        let pid = i32::try_from(std::process::id()).ok();
        let mut visitor = Visitor::new(own, peer::user_name(own), pid);
        Ok(desk.handle(&mut visitor, request))
    };
    done().unwrap_or_else(HostAnswer::Trouble)
}

/// Looks after trials, and feeds the watchdog as long as the role lives. A look that takes a
/// generation back may last for minutes: the beats go on meanwhile.
async fn beat(desk: Arc<HostDesk>) {
    let mut beat = tokio::time::interval(TRIAL_BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut life = Life::default();
    let mut look: Option<JoinHandle<()>> = None;
    let mut well = true;
    loop {
        beat.tick().await;
        if let Some(ended) = look.take_if(|look| look.is_finished()) {
            well = ended.await.is_ok();
        }
        if look.is_none() {
            let desk = desk.clone();
            look = Some(tokio::task::spawn_blocking(move || desk.tick()));
        }
        if life.beats(desk.is_free(), Instant::now()) && well {
            notify::alive();
        }
    }
}

/// Tells a deed that takes its time from a desk that hangs.
#[derive(Debug, Default)]
struct Life {
    /// Since when the desk was taken at every look.
    taken_since: Option<Instant>,
}

impl Life {
    /// Whether the role counts as alive at `now`, when the desk is free or not.
    fn beats(&mut self, free: bool, now: Instant) -> bool {
        if free {
            self.taken_since = None;
            return true;
        }
        let since = *self.taken_since.get_or_insert(now);
        now.duration_since(since) < HOST_DEED_MAX
    }
}

/// `postern setup --boot`. Whatever is wrong with a setup file, the box goes on starting; only a
/// state that cannot be written is a failure.
#[must_use]
pub fn setup_at_boot(root: &Path) -> ExitCode {
    install(under_journal());
    let herald = Arc::new(Herald::new(clock::wall));
    let journal = match Journal::start(&herald) {
        Ok(journal) => journal,
        Err(fault) => return failed(&fault),
    };
    let paths = Paths::below(root);
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let done = Lock::take(&paths.state().join("lock")).and_then(|lock| match lock {
        Some(_lock) => boot::run(&paths, credentials.as_deref(), &herald),
        None => Err(Fault::new("taking", paths.state().display(), "the host role works on it")),
    });
    let code = match done {
        Ok(outcome) => {
            show(&outcome);
            ExitCode::SUCCESS
        }
        Err(fault) => failed(&fault),
    };
    let _ = journal.flush(JOURNAL_PATIENCE);
    code
}

/// For the console: the unit's output goes there too.
fn show(outcome: &Outcome) {
    match outcome {
        Outcome::Nothing | Outcome::Known => {}
        Outcome::Taken(dns) => {
            println!("postern: this box is set up. What the DNS must say before mail leaves:");
            for line in dns {
                println!("  {line}");
            }
        }
        Outcome::Refused(complaints) => {
            println!("postern: the setup file was refused:");
            for line in complaints {
                println!("  {}", crate::event::harmless(line));
            }
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("postern: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_deed_is_life_and_a_desk_that_hangs_is_none() {
        let (mut life, began) = (Life::default(), Instant::now());
        let second = Duration::from_secs(1);
        assert!(life.beats(true, began));
        assert!(life.beats(false, began));
        assert!(life.beats(false, began + HOST_DEED_MAX / 2));
        assert!(!life.beats(false, began + HOST_DEED_MAX));
        // The next deed has its own time.
        assert!(life.beats(true, began + HOST_DEED_MAX + second));
        assert!(life.beats(false, began + HOST_DEED_MAX + 2 * second));
        assert!(life.beats(false, began + 2 * HOST_DEED_MAX));
    }
}
