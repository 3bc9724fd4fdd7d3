//! The command line: `postern NOUN VERB`, each with `--json`.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

pub mod args;
mod ask;
mod check;
mod host;
mod keys;
mod local;
mod network;
mod plan;
pub mod table;
mod view;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::service::host::run::Options as HostOptions;
use args::{Arguments, ConfigVerb, EgressVerb, KeyVerb, SourceVerb, SpoolVerb, Verb};

/// How a command ended, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done.
    Done,
    /// Not done.
    Failed,
    /// Not understood, or the configuration is wrong.
    Wrong,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::Failed => 1,
            Ending::Wrong => 2,
        })
    }
}

/// Where the configuration is unless `--config` says otherwise.
pub const CONFIG_PATH: &str = "/etc/postern/postern.toml";

/// A role of the binary: what runs instead of asking. `main.rs` knows where each lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// `postern demo`.
    Demo {
        /// One message, then the end.
        once: bool,
        /// One JSON object for scripts instead of words for people.
        json: bool,
        /// Where spool and keys are kept; otherwise in a temporary folder.
        spool: Option<PathBuf>,
    },
    /// `postern serve --config FILE`.
    Serve {
        /// The document.
        config: PathBuf,
    },
    /// `postern egress`: the broker, as the daemon starts it.
    Egress,
    /// `postern console`.
    Console {
        /// The host role's socket.
        socket: PathBuf,
    },
    /// `postern host`.
    Host(HostOptions),
    /// `postern setup --boot`.
    SetupAtBoot {
        /// The root of the machine.
        root: PathBuf,
    },
}

/// Runs the command that the arguments of the process name, or says which role it is.
///
/// # Errors
/// Not an error: the role that is to be run.
pub fn main() -> Result<ExitCode, Role> {
    let Arguments { verb, json, socket, config } = Arguments::parse();
    let place = ask::Place { socket, config: config.clone(), json };
    let config = config.unwrap_or_else(|| PathBuf::from(CONFIG_PATH));
    let ending = match verb {
        Verb::Demo { once, spool } => return Err(Role::Demo { once, json, spool }),
        Verb::Serve => return Err(Role::Serve { config }),
        // The plain mode is the only one so far.
        Verb::Console(console) => return Err(Role::Console { socket: console.host_socket }),
        Verb::Key(KeyVerb::Generate(key)) => keys::generate(&key, json),
        Verb::Key(KeyVerb::Dns(key)) => keys::dns(&key, json),
        Verb::Spool(SpoolVerb::Salvage { dir, out }) => keys::salvage_spool(&dir, &out, json),
        Verb::Egress { verb: None } => return Err(Role::Egress),
        Verb::Egress { verb: Some(EgressVerb::Attest { verify: Some(file), key, .. }) } => {
            check::verify_file(&file, key.as_deref(), json)
        }
        Verb::Egress { verb: Some(EgressVerb::Apply { dry_run }) } => plan::apply(&config, dry_run),
        Verb::Egress { verb: Some(EgressVerb::Plan(arguments)) } => {
            plan::plan(&arguments, &config, json)
        }
        Verb::Config(ConfigVerb::Check { file }) => {
            local::config_check(&file.unwrap_or(config), json)
        }
        Verb::Network(verb) => network::network(verb, &config, json),
        Verb::Source(SourceVerb::Hash { generate }) => local::source_hash(generate, json),
        Verb::Audit(args::AuditVerb::Verify { file: Some(file) }) => {
            local::audit_verify(&file, json)
        }
        Verb::Machine(verb) => host::machine(verb, &place)?,
        Verb::Config(ConfigVerb::Generation(verb)) => host::generation(verb, &place),
        verb => ask::ask(verb, &place),
    };
    Ok(ending.into())
}

/// Writes to standard output; a reader that left is no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a complaint to standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "postern: {text}");
}
