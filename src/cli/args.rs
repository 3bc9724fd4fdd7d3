//! What may be typed. The help texts are the manual of the command line.

mod console;
pub mod diagnose;
pub mod disks;
mod health;
pub mod host;
mod network;
mod update;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub use console::ConsoleArguments;
pub use diagnose::{DiagnoseArguments, TraceVerb};

use crate::base::id::QueueId;
use crate::config::checked::DkimAlgorithm;
use crate::config::measure;
use crate::control::request::{PageAsk, QueueFilter};
use crate::mail::address::Domain;
use crate::mail::class::MessageClass;
use crate::mail::source::SourceName;

pub use health::{HealthArguments, HealthVerb};
pub use network::NetworkVerb;
pub use update::{BundleArguments, RestartArguments, SignArguments, UpdateVerb};

/// A hardened gateway for transactional mail.
#[derive(Clone, Debug, Parser)]
#[command(name = "postern", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Print one JSON document instead of a table
    #[arg(long, global = true)]
    pub json: bool,
    /// The daemon's control socket [default: the one in the configuration]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The configuration [default: /etc/postern/postern.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Nouns, and verbs without one.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// How the gateway is
    Status,
    /// Show everything on this machine alone: a gateway and a small Internet, on loopback
    Demo {
        /// Send one message through everything, verify it, and end
        #[arg(long)]
        once: bool,
        /// Keep the spool and the keys in this folder
        #[arg(long, value_name = "DIR")]
        spool: Option<PathBuf>,
    },
    /// Run the gateway by the document of --config, until SIGTERM; SIGHUP reads it again
    Serve {
        /// The egress broker listens here, as a unit of its own [default: a child of the gateway]
        #[arg(long, value_name = "PATH")]
        broker: Option<PathBuf>,
    },
    /// Set-up and break-glass on a terminal: status, login, wizard of first boot
    Console(ConsoleArguments),
    /// DKIM keys
    #[command(subcommand)]
    Key(KeyVerb),
    /// The spool's files, without a daemon
    #[command(subcommand)]
    Spool(SpoolVerb),
    /// Counters in Prometheus' text format
    Metrics,
    /// Messages that wait
    #[command(subcommand)]
    Queue(QueueVerb),
    /// Providers, as `queue lanes` lists them
    #[command(subcommand)]
    Lane(LaneVerb),
    /// One message
    #[command(subcommand)]
    Message(MessageVerb),
    /// Applications that may submit
    #[command(subcommand)]
    Source(SourceVerb),
    /// Stop all mail, in and out; survives a restart
    StopAll,
    /// Let mail run again
    ResumeAll,
    /// Ways out. Without a verb: the broker's role, on a socket that systemd passes, or as the
    /// daemon starts it, with a channel as standard input
    Egress {
        /// What about them.
        #[command(subcommand)]
        verb: Option<EgressVerb>,
    },
    /// The configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Updates of the appliance; needs root, no daemon
    #[command(subcommand)]
    Update(UpdateVerb),
    /// The box's partitions. Without a verb: make, open and grow them, as at boot
    Disks {
        /// What about them.
        #[command(subcommand)]
        verb: Option<disks::DisksVerb>,
    },
    /// The network of a machine that is ours alone; works without a daemon
    #[command(subcommand)]
    Network(NetworkVerb),
    /// The log of what was done through the control socket
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Whether this machine is healthy: looks at everything, and sends a message to itself
    Health(HealthArguments),
    /// Try one thing by one interface or egress, and by no other: is it there, and what is wrong?
    Diagnose(DiagnoseArguments),
    /// Show what is said, live
    #[command(subcommand)]
    Trace(TraceVerb),
    /// The machine.
    #[command(flatten)]
    Machine(host::MachineVerb),
    /// Tell the operator that a unit has failed; systemd starts it (`OnFailure=`)
    #[command(hide = true)]
    Failure {
        /// The unit, with its type
        unit: String,
    },
    /// Ask whoever stands before a box that cannot start what to do; systemd starts it
    #[command(hide = true)]
    Emergency {
        /// The root of the machine
        #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
        root: PathBuf,
    },
}

/// What about keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyVerb {
    /// Make a key, write it to FILE and print the DNS record to publish
    Generate(KeyArguments),
    /// Print the DNS record of the key in FILE
    Dns(KeyArguments),
}

/// Which key.
#[derive(Clone, Debug, Args)]
pub struct KeyArguments {
    /// The domain of From: (d=)
    #[arg(long, value_parser = domain)]
    pub domain: Domain,
    /// The selector (s=)
    #[arg(long)]
    pub selector: String,
    /// rsa-sha256 or ed25519-sha256
    #[arg(long, value_parser = algorithm, default_value = "rsa-sha256")]
    pub algorithm: DkimAlgorithm,
    /// PKCS#8 PEM
    pub file: PathBuf,
}

/// What about the spool's files.
#[derive(Clone, Debug, Subcommand)]
pub enum SpoolVerb {
    /// Write every message that can still be read in the spool DIR to the folder OUT
    Salvage {
        /// The spool, or a folder with its segments. No daemon may be using it.
        dir: PathBuf,
        /// Where the messages go
        out: PathBuf,
    },
}

fn algorithm(text: &str) -> Result<DkimAlgorithm, String> {
    match text {
        "rsa-sha256" => Ok(DkimAlgorithm::RsaSha256),
        "ed25519-sha256" => Ok(DkimAlgorithm::Ed25519Sha256),
        _ => Err("write rsa-sha256 or ed25519-sha256".to_owned()),
    }
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, Args)]
pub struct Paging {
    /// Page, counted from 1
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub page: u64,
    /// Rows on a page, at most 1000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub limit: u64,
}

impl From<Paging> for PageAsk {
    fn from(paging: Paging) -> Self {
        Self { offset: (paging.page - 1).saturating_mul(paging.limit), limit: paging.limit }
    }
}

/// Which messages: everything that is given must hold.
#[derive(Clone, Debug, Args)]
pub struct Selection {
    /// Queue ids, as in the reply to DATA
    #[arg(value_name = "ID")]
    pub ids: Vec<QueueId>,
    /// Submitted by this source
    #[arg(long, value_parser = source_name)]
    pub source: Option<SourceName>,
    /// With an open recipient in this domain
    #[arg(long, value_parser = domain)]
    pub domain: Option<Domain>,
    /// With an open recipient in this lane: a provider, as `queue lanes` calls it
    #[arg(long, value_name = "NAME")]
    pub lane: Option<String>,
    /// Of this class: otp, transactional or subscribed
    #[arg(long, value_parser = class)]
    pub class: Option<MessageClass>,
    /// Only messages that an operator holds
    #[arg(long, conflicts_with = "not_held")]
    pub held: bool,
    /// Only messages that no operator holds
    #[arg(long)]
    pub not_held: bool,
    /// Accepted at least so long ago, for example 2h
    #[arg(long, value_name = "AGE", value_parser = measure::duration)]
    pub older_than: Option<Duration>,
}

impl From<Selection> for QueueFilter {
    fn from(selection: Selection) -> Self {
        Self {
            ids: selection.ids,
            source: selection.source,
            domain: selection.domain.map(|domain| domain.to_string()),
            lane: selection.lane,
            class: selection.class,
            held: match (selection.held, selection.not_held) {
                (true, _) => Some(true),
                (_, true) => Some(false),
                _ => None,
            },
            older_than_secs: selection.older_than.map(|age| age.as_secs()),
        }
    }
}

/// A selection that is acted upon.
#[derive(Clone, Debug, Args)]
pub struct Action {
    /// Which messages.
    #[command(flatten)]
    pub selection: Selection,
    /// The whole queue; needed if nothing else is said
    #[arg(long)]
    pub all: bool,
    /// Change nothing, say how many messages it would touch
    #[arg(long)]
    pub dry_run: bool,
}

/// `postern queue ..`
#[derive(Clone, Debug, Subcommand)]
pub enum QueueVerb {
    /// List messages, the oldest first
    List {
        /// Which.
        #[command(flatten)]
        selection: Selection,
        /// Which part.
        #[command(flatten)]
        paging: Paging,
    },
    /// List lanes: every provider, how it is treated, and why
    Lanes(Paging),
    /// Show one message with its recipients
    Show {
        /// The queue id
        id: QueueId,
    },
    /// Keep messages back
    Hold(Action),
    /// Let held messages go
    Release(Action),
    /// Try messages now
    Retry(Action),
    /// Destroy messages; nobody is told
    Purge(Action),
}

/// `postern lane ..`
#[derive(Clone, Debug, Subcommand)]
pub enum LaneVerb {
    /// Let mail go that is held for a fault of ours, and end a pause
    Release {
        /// The lane: a provider, as `queue lanes` calls it
        name: String,
        /// Only mail of this source; a pause goes on
        #[arg(long, value_parser = source_name)]
        source: Option<SourceName>,
        /// Change nothing, say how many messages it would touch
        #[arg(long)]
        dry_run: bool,
    },
}

/// `postern message ..`
#[derive(Clone, Debug, Subcommand)]
pub enum MessageVerb {
    /// What happened to a message, fact by fact
    Trace {
        /// The queue id
        id: QueueId,
        /// Go on until all recipients have their outcome
        #[arg(long)]
        follow: bool,
    },
    /// Why a message is where it is, in plain words
    Explain {
        /// The queue id
        id: QueueId,
    },
}

/// A source that is acted upon.
#[derive(Clone, Debug, Args)]
pub struct SourceAction {
    /// The name in the configuration
    #[arg(value_parser = source_name)]
    pub name: SourceName,
    /// Change nothing, say how many messages it would touch
    #[arg(long)]
    pub dry_run: bool,
}

/// `postern source ..`
#[derive(Clone, Debug, Subcommand)]
pub enum SourceVerb {
    /// List sources
    List(Paging),
    /// Show one source
    Show {
        /// The name in the configuration
        #[arg(value_parser = source_name)]
        name: SourceName,
    },
    /// Accept its mail and keep it
    Hold(SourceAction),
    /// End a hold
    Release(SourceAction),
    /// Accept nothing more from it, and hold its backlog
    Disable(SourceAction),
    /// Undo disable; the backlog goes
    Enable(SourceAction),
    /// Make a new password, shown once; the old one stays valid for a while
    Rotate {
        /// The name in the configuration
        #[arg(value_parser = source_name)]
        name: SourceName,
        /// How long the old password stays valid; 0s if a stranger knows it
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = measure::duration)]
        grace: Duration,
    },
    /// Make the password lines of a source for the configuration; reads the password from
    /// standard input
    Hash {
        /// Make up a strong password and print it too
        #[arg(long)]
        generate: bool,
    },
}

/// `postern egress ..`
#[derive(Clone, Debug, Subcommand)]
pub enum EgressVerb {
    /// List ways out: state by family, pools, warm-up, who suspended them and why
    List,
    /// Let nothing leave by an egress; its pools carry on without it, or their mail waits
    Suspend {
        /// Name of the egress
        name: String,
        /// Why, for the others
        #[arg(long)]
        reason: Option<String>,
    },
    /// End a suspension by `egress suspend` or by receivers' word
    Resume {
        /// Name of the egress
        name: String,
    },
    /// Check what receivers will think of a way out: link, names, port 25, PTR, SPF, DKIM, lists
    Check {
        /// The name of the egress [default: all]
        egress: Option<String>,
        /// A host whose port 25 is tried: greeting, EHLO, QUIT, never mail [default: checks.probe]
        #[arg(long, value_name = "HOST[:PORT]")]
        to: Option<String>,
    },
    /// Check, and sign what was found; or verify such a statement
    Attest {
        /// The name of the egress [default: all]
        egress: Option<String>,
        /// Write the statement to FILE
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Verify the statement in FILE; works without a daemon
        #[arg(long, value_name = "FILE", conflicts_with_all = ["egress", "out"])]
        verify: Option<PathBuf>,
        /// The public key that must have signed it: base64, or a file with it or with PEM
        #[arg(long, value_name = "KEY", requires = "verify")]
        key: Option<String>,
    },
    /// What the ways out need of the system: networkd and nftables files; works without a daemon
    Plan(PlanArguments),
    /// Write the plan to this system and put it in force, step by step; needs root, no daemon
    Apply {
        /// Change nothing, say what would be done
        #[arg(long)]
        dry_run: bool,
    },
}

/// In which form, and what is done with it.
#[derive(Clone, Debug, Args)]
pub struct PlanArguments {
    /// Only this form [default: all files]
    #[arg(long, value_enum)]
    pub format: Option<PlanForm>,
    /// Write the files below DIR (`/` for this system) and say which
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    pub write: Option<PathBuf>,
    /// Hold the running system against the plan; root sees all of it
    #[arg(long, conflicts_with = "format")]
    pub check: bool,
}

/// A form of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PlanForm {
    /// systemd-networkd, sysctl.d
    Networkd,
    /// The guard and its unit
    Nftables,
    /// One script of ip, sysctl and nft commands
    Shell,
}

/// `postern config ..`
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigVerb {
    /// Show the configuration in force, with all defaults, without secrets
    Show,
    /// Check a configuration file; works without a daemon
    Check {
        /// The file [default: --config]
        file: Option<PathBuf>,
    },
    /// What would change if a file were put in force
    Diff {
        /// The file [default: the one that the daemon was started with]
        file: Option<PathBuf>,
    },
    /// Read the file again and put it in force, if it is good
    Reload,
    /// Generations.
    #[command(flatten)]
    Generation(host::GenerationVerb),
}

/// `postern audit ..`
#[derive(Clone, Debug, Subcommand)]
pub enum AuditVerb {
    /// Show what was done, the newest first
    Show(Paging),
    /// Check that no record was altered, moved or removed
    Verify {
        /// Check this file, without a daemon
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
    },
}

fn source_name(text: &str) -> Result<SourceName, String> {
    SourceName::try_from(text.to_owned()).map_err(str::to_owned)
}

fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|cause| cause.to_string())
}

fn class(text: &str) -> Result<MessageClass, String> {
    MessageClass::ALL
        .into_iter()
        .find(|class| class.to_string() == text)
        .ok_or_else(|| "otp, transactional or subscribed is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn pages_are_counted_from_one() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        let Verb::Source(SourceVerb::List(paging)) =
            parse("postern source list --page 3 --limit 20 --json").unwrap().verb
        else {
            panic!("another verb");
        };
        assert_eq!(PageAsk::from(paging), PageAsk { offset: 40, limit: 20 });
        for wrong in [
            "postern source list --page 0",
            "postern source list --limit 5000",
            "postern queue hold nonsense",
            "postern queue list --class urgent",
            "postern queue list --older-than soon",
            "postern source show No/Name",
            "postern queue list --held --not-held",
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
