//! The one binary: each role is a subcommand.

use std::process::ExitCode;
use std::time::Duration;

use postern::cli::{self, Role};
use postern::demo;
use postern::host::passed;
use postern::net::broker;
use postern::service;

fn main() -> ExitCode {
    match cli::main() {
        Ok(code) => code,
        Err(Role::Egress) => egress(),
        Err(Role::Serve { config, broker }) => block_on(service::run::run(config, broker)),
        Err(Role::Demo { once, json, spool }) => {
            block_on(demo::run(demo::Options { once, json, spool }))
        }
    }
}

/// The broker: for everybody who comes in by the socket that systemd passed, or as a child.
fn egress() -> ExitCode {
    let ended = match passed::packet_socket() {
        Ok(Some(listener)) => service::broker::run(listener),
        Ok(None) => broker::run_on_stdin(),
        Err(fault) => return failed(&fault.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => failed(&format!("the broker's channel broke: {cause}")),
    }
}

fn block_on(role: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(role);
            // Whatever still waits for a disk or a peer must not keep the process.
            runtime.shutdown_timeout(Duration::from_secs(1));
            code
        }
        Err(cause) => failed(&format!("no threads can be started: {cause}")),
    }
}

fn failed(text: &str) -> ExitCode {
    eprintln!("postern: {text}");
    ExitCode::FAILURE
}
