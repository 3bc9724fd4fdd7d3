//! Roles of the one binary: what runs instead of asking.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Ending, complain};
use crate::demo;
use crate::net::broker;

/// `postern demo`.
pub(super) fn demo(once: bool, json: bool, spool: Option<PathBuf>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(demo::run(demo::Options { once, json, spool })),
        Err(cause) => {
            complain(&format!("no threads can be started: {cause}"));
            ExitCode::FAILURE
        }
    }
}

/// `postern egress`, as the daemon starts it.
pub(super) fn egress() -> Ending {
    match broker::run_on_stdin() {
        Ok(()) => Ending::Done,
        Err(cause) => {
            complain(&format!("the broker's channel on standard input broke: {cause}"));
            Ending::Failed
        }
    }
}
