//! The one binary: each role is a subcommand.

use std::process::ExitCode;
use std::time::Duration;

use postern::cli::{self, Role};
use postern::console;
use postern::demo;
use postern::net::broker;
use postern::service;

fn main() -> ExitCode {
    match cli::main() {
        Ok(code) => code,
        Err(Role::Egress) => match broker::run_on_stdin() {
            Ok(()) => ExitCode::SUCCESS,
            Err(cause) => failed(&format!("the broker's channel broke: {cause}")),
        },
        Err(Role::Console { socket }) => console::run(console::Options { socket }),
        Err(Role::Serve { config }) => block_on(service::run::run(config)),
        Err(Role::Host(options)) => block_on(service::host::run::run(options)),
        Err(Role::SetupAtBoot { root }) => service::host::run::setup_at_boot(&root),
        Err(Role::Demo { once, json, spool }) => {
            block_on(demo::run(demo::Options { once, json, spool }))
        }
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
