//! The command line: `postern NOUN VERB`, each with `--json`.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

pub mod args;
mod ask;
mod check;
mod countersign;
mod diagnose;
mod disks;
mod emergency;
mod host;
mod keys;
mod local;
mod network;
mod plan;
mod release;
pub mod table;
mod update;
mod view;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::service::host::run::Options as HostOptions;
use args::{
    Arguments, ConfigVerb, EgressVerb, HealthArguments, KeyVerb, SourceVerb, SpoolVerb, Verb,
};

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
        /// Where the broker's own unit listens.
        broker: Option<PathBuf>,
    },
    /// `postern egress`: the broker, as the daemon or systemd starts it.
    Egress,
    /// `postern health`.
    Health {
        /// How, as it was typed.
        arguments: Box<HealthArguments>,
        /// The document.
        config: PathBuf,
        /// The control socket.
        socket: Option<PathBuf>,
        /// One JSON document instead of words.
        json: bool,
    },
    /// `postern host`.
    Host(HostOptions),
    /// `postern setup --boot`.
    SetupAtBoot {
        /// The root of the machine.
        root: PathBuf,
    },
    /// `postern diagnose --errand`.
    Diagnose {
        /// The root of the machine.
        root: PathBuf,
    },
    /// `postern console`.
    Console {
        /// The host role's socket.
        socket: PathBuf,
        /// Line by line.
        plain: bool,
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
        Verb::Serve { broker } => return Err(Role::Serve { config, broker }),
        Verb::Health(arguments) => {
            let (arguments, socket) = (Box::new(arguments), place.socket);
            return Err(Role::Health { arguments, config, socket, json });
        }
        Verb::Console(console) => {
            return Err(Role::Console { socket: console.host_socket, plain: console.plain });
        }
        Verb::Key(KeyVerb::Generate(key)) => keys::generate(&key, json),
        Verb::Key(KeyVerb::Dns(key)) => keys::dns(&key, json),
        Verb::Spool(SpoolVerb::Salvage { dir, out }) => keys::salvage_spool(&dir, &out, json),
        Verb::Disks { verb } => disks::disks(verb.as_ref(), json),
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
        Verb::Failure { unit } => local::failure(&unit),
        Verb::Emergency { root } => emergency::emergency(&root),
        Verb::Update(verb) => update::update(verb, &config, json),
        Verb::Diagnose(arguments) if arguments.errand => {
            return Err(Role::Diagnose { root: arguments.root });
        }
        Verb::Diagnose(arguments) => diagnose::diagnose(arguments, &place),
        Verb::Trace(args::TraceVerb::Smtp(arguments)) => diagnose::trace(arguments, &place),
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
