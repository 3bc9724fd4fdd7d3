//! The one binary: each role is a subcommand.

use std::process::ExitCode;
use std::time::Duration;

use postern::cli::args::HealthVerb;
use postern::cli::{self, Role};
use postern::console;
use postern::demo;
use postern::health::{self, Deed};
use postern::host::passed;
use postern::net::broker;
use postern::service;

fn main() -> ExitCode {
    match cli::main() {
        Ok(code) => code,
        Err(Role::Egress) => egress(),
        Err(Role::Serve { config, broker }) => block_on(service::run::run(config, broker)),
        Err(Role::Health { arguments, config, socket, json }) => {
            let deed = match (arguments.verb, arguments.last) {
                (Some(HealthVerb::Record), _) => Deed::Record,
                (None, true) => Deed::Last,
                (None, false) => Deed::Examine { boot: arguments.boot },
            };
            let (state, patience) = (arguments.state, arguments.wait);
            health::run(&health::Options { deed, config, socket, state, patience, json })
        }
        Err(Role::Host(options)) => block_on(service::host::run::run(options)),
        Err(Role::SetupAtBoot { root }) => service::host::run::setup_at_boot(&root),
        Err(Role::Diagnose { root }) => service::diagnose::interface::run(&root),
        Err(Role::Console { socket, plain }) => console::run(console::Options { socket, plain }),
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
