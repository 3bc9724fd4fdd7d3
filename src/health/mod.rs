//! The health gate: `postern health`, which a boot must pass before its slot is blessed.
//!
//! ```text
//! hard.rs      units, root, disks, configuration, clock, spool, guard     must hold
//! mail.rs      a synthetic message through the real parts                 must arrive
//! relative.rs  what worked before the update                              must work again
//! keep.rs      what was found, for people and for the next boot
//! ```
//!
//! It is a guest like any other: it looks at the machine, talks to the control socket, speaks SMTP
//! with the daemon's own listener, and can be run by hand at any time.
//!
//! **Invariant:** what cannot be checked says so; nothing is healthy by silence.

mod daemon;
mod hard;
mod keep;
mod mail;
mod relative;
mod sink;
mod speak;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::control_socket;
use crate::control::health::{Finding, HealthReport, Verdict};
use crate::event::Event;
use crate::event::herald::Herald;
use crate::event::journal::install;
use crate::host::journal::Journal;
use crate::host::{clock, disk, vitals};
use daemon::Daemon;
use hard::{Document, Facts};
use relative::Before;

/// Between two looks at what is not ready yet.
const BEAT: Duration = Duration::from_secs(1);
/// How long the journal may take to write the one fact.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(2);
/// Exit code of a wrong use.
const WRONG: u8 = 2;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Look at everything. `boot`: as the gate of a boot, with one line for the console.
    Examine {
        /// The gate of a boot.
        boot: bool,
    },
    /// Write down what works now, before an update.
    Record,
    /// Show what was found last.
    Last,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is to be done.
    pub deed: Deed,
    /// The document.
    pub config: PathBuf,
    /// The control socket; none: as the document says.
    pub socket: Option<PathBuf>,
    /// Where the host's roles keep things.
    pub state: PathBuf,
    /// How long it may wait for what is not ready.
    pub patience: Duration,
    /// One JSON document instead of words.
    pub json: bool,
}

/// Does it, and prints what came of it.
#[must_use]
pub fn run(options: &Options) -> ExitCode {
    let outcome = match options.deed {
        Deed::Last => keep::last(&options.state).map(|report| show(&report, options)),
        Deed::Record => record(options),
        Deed::Examine { boot } => Ok(examine(options, boot)),
    };
    outcome.unwrap_or_else(|problem| {
        complain(&problem);
        ExitCode::from(WRONG)
    })
}

/// The whole examination.
fn examine(options: &Options, boot: bool) -> ExitCode {
    let begun = Instant::now();
    let until = begun + options.patience;
    let before = keep::before(&options.state);
    let (mut findings, scene) = settle(options, boot, before.as_ref(), until);
    if let Daemon::Speaks { status, .. } = &scene.daemon {
        findings.extend(mail::examine(&scene.socket, status, scene.boxed, until));
    }
    let failed = |finding: &Finding| matches!(finding.verdict, Verdict::Fail | Verdict::Waiting);
    if scene.trial && Instant::now() >= until && findings.iter().any(failed) {
        // One look takes most of a minute where name servers are silent, and the verdict stands.
        findings.push(Finding::skipped("before", "there was no time left to look"));
    } else if scene.trial {
        findings.extend(relative::compare(&scene, before.as_ref(), until));
    }
    let configured = !matches!(scene.document, Document::Missing);
    let took = begun.elapsed();
    let (version, now) = (scene.vitals.version(), clock::wall());
    let report = HealthReport::of(&version, findings, now, took, scene.trial, configured);
    if let Err(problem) = keep::keep(&options.state, &report) {
        complain(&format!("the result is not kept: {problem}"));
    }
    if boot && let Err(problem) = keep::mark(&options.state, &report) {
        complain(&format!("the mark for a return is not set: {problem}"));
    }
    tell(&report);
    if boot && !options.json {
        print(&format!("{}\n", report.line));
        return code(&report);
    }
    show(&report, options)
}

/// What stood still enough to be judged.
struct Scene {
    vitals: vitals::Vitals,
    document: Document,
    daemon: Daemon,
    socket: PathBuf,
    trial: bool,
    boxed: bool,
}

/// Looks again and again until nothing waits any more, or the time is over.
fn settle(
    options: &Options,
    boot: bool,
    before: Option<&Before>,
    until: Instant,
) -> (Vec<Finding>, Scene) {
    loop {
        let vitals = vitals::take();
        let text = disk::text(&options.config);
        let document = Document::read(&options.config);
        let socket = options.socket.clone();
        let socket = socket.unwrap_or_else(|| control_socket(text.as_deref().unwrap_or_default()));
        let daemon = match document {
            Document::Missing => Daemon::Silent("there is no configuration yet".to_owned()),
            _ => Daemon::ask(&socket),
        };
        let boxed = vitals.system == "postern";
        let trial = keep::trial(&options.state, &vitals.version());
        let facts =
            Facts { vitals: &vitals, document: &document, daemon: &daemon, before, boot, trial };
        let findings = hard::judge(&facts);
        let waits = findings.iter().any(|finding| finding.verdict == Verdict::Waiting);
        if !waits || Instant::now() >= until {
            return (findings, Scene { vitals, document, daemon, socket, trial, boxed });
        }
        std::thread::sleep(BEAT);
    }
}

/// Writes down what works now.
fn record(options: &Options) -> Result<ExitCode, String> {
    let text = disk::text(&options.config).unwrap_or_default();
    let socket = options.socket.clone().unwrap_or_else(|| control_socket(&text));
    let before = relative::record(&vitals::take(), &socket);
    keep::keep_before(&options.state, &before)?;
    if options.json {
        print(&format!("{}\n", keep::json(&before)?));
    } else {
        print(&before.page());
    }
    Ok(ExitCode::SUCCESS)
}

fn code(report: &HealthReport) -> ExitCode {
    if report.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(report: &HealthReport, options: &Options) -> ExitCode {
    if options.json {
        match keep::json(report) {
            Ok(text) => print(&format!("{text}\n")),
            Err(problem) => complain(&problem),
        }
    } else {
        print(&report.page());
    }
    code(report)
}

/// The journal hears it, where there is one.
fn tell(report: &HealthReport) {
    if !Path::new("/run/systemd/journal/socket").exists() {
        return;
    }
    install(true);
    let herald = Arc::new(Herald::new(clock::wall));
    let Ok(journal) = Journal::start(&herald) else { return };
    herald.tell(Event::HealthChecked {
        healthy: report.healthy,
        trial: report.trial,
        line: report.line.clone(),
        reason: report.failures().join("; "),
    });
    // A journal that takes nothing is no reason to be late.
    let _ = journal.flush(JOURNAL_PATIENCE);
}

/// Writes to standard output; a reader that left is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "postern: {text}");
}
