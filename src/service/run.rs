//! `postern serve`: the daemon as a process, from its document to its exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::serve::{Gateway, Place};
use crate::event::herald::Herald;
use crate::event::journal::install;
use crate::host::disk::{self, NoConfig};
use crate::host::journal::{Journal, under_journal};
use crate::host::signals::{Request, Signals};
use crate::host::{clock, notify, walls};

/// How long the journal may take to write what was told last.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(2);

/// Exit code of a configuration that may not be put in force.
const WRONG_CONFIGURATION: u8 = 2;

/// Serves by the document at `path` until SIGTERM or SIGINT; SIGHUP reads the document again. The
/// broker listens at `broker`, or is a child. Prints the reason on standard error if it cannot
/// serve.
pub async fn run(path: PathBuf, broker: Option<PathBuf>) -> ExitCode {
    let reading = match disk::load(&path) {
        Ok(reading) => reading,
        Err(error) => return unusable(&path, &error),
    };
    for warning in &reading.warnings {
        eprintln!("postern: warning: {warning}");
    }
    install(under_journal());
    walls::raise_descriptors();
    let herald = Arc::new(Herald::new(clock::wall));
    let journal = match Journal::start(&herald) {
        Ok(journal) => journal,
        Err(fault) => return failed(&fault),
    };
    let mut signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    let place = Place { document: path, program: None, broker };
    let gateway = match Gateway::start(reading.config, &place, herald) {
        Ok(gateway) => gateway,
        Err(fault) => return failed(&fault),
    };
    notify::ready("accepts and delivers");
    let code = loop {
        let request = tokio::select! {
            request = signals.next() => request,
            reason = gateway.failed() => {
                notify::stopping();
                gateway.abandon(&format!("the ledger failed: {reason}")).await;
                // The service manager starts it again, and what is stored is compared.
                break ExitCode::FAILURE;
            }
        };
        match request {
            Request::Reload => {
                notify::reloading();
                gateway.reload().await;
                notify::ready("accepts and delivers");
            }
            Request::End(signal) => {
                notify::stopping();
                gateway.stop(signal).await;
                break ExitCode::SUCCESS;
            }
        }
    };
    // What the journal does not take in time is lost to the journal only.
    let _ = journal.flush(JOURNAL_PATIENCE);
    code
}

fn unusable(path: &Path, error: &NoConfig) -> ExitCode {
    eprintln!("{error}");
    if let NoConfig::Wrong(complaints) = error {
        eprintln!("postern: {}: {} complaint(s), not started", path.display(), complaints.len());
    }
    ExitCode::from(WRONG_CONFIGURATION)
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("postern: {error}");
    ExitCode::FAILURE
}
