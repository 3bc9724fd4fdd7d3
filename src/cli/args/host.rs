//! Verbs of the machine: the host role and what is asked of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::Paging;
use crate::config::measure;

/// Verbs of the machine; they stand beside all others.
#[derive(Clone, Debug, Subcommand)]
pub enum MachineVerb {
    /// The machine. Without a verb: the host role, which systemd starts
    Host(HostArguments),
    /// Set a new box up by a setup file (postern-setup.toml). Without --file: look for one as the
    /// box does at its start, as credential, on the ESP, on a stick
    Setup(SetupArguments),
    /// Set the administrator's passphrase; reads it from standard input
    Passphrase {
        /// Only print its hash, for a setup file; works without the host role
        #[arg(long)]
        hash: bool,
    },
    /// Write document, keys and certificates to FILE, encrypted; reads a passphrase from standard
    /// input
    Backup {
        /// The file; must not exist yet
        file: PathBuf,
    },
    /// Bring a backup back, as a new generation; reads its passphrase from standard input
    Restore {
        /// The backup; with --stick its name there [default: the only one on the stick]
        #[arg(required_unless_present = "stick")]
        file: Option<PathBuf>,
        /// It lies on the stick with the label POSTERNCFG
        #[arg(long)]
        stick: bool,
        /// Change nothing, show what it would change
        #[arg(long)]
        check: bool,
        /// Take it back unless `config confirm` comes within TIME
        #[arg(long, value_name = "TIME", value_parser = measure::duration)]
        confirm: Option<Duration>,
    },
    /// Write what a supporter wants to see to FILE (.tar.gz), without secrets
    SupportBundle {
        /// The file; must not exist yet
        file: PathBuf,
    },
    /// Make the box as new and restart it
    FactoryReset(ResetArguments),
    /// Restart the machine
    Reboot,
    /// Switch the machine off
    PowerOff,
}

/// How the role is started, or what is asked.
#[derive(Clone, Debug, Args)]
pub struct HostArguments {
    /// What about it.
    #[command(subcommand)]
    pub verb: Option<HostVerb>,
    /// The user that becomes administrator by the passphrase
    #[arg(long, value_name = "USER", default_value = "postern-console")]
    pub console_user: Vec<String>,
    /// The root of the machine
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// `postern host ..`
#[derive(Clone, Debug, Subcommand)]
pub enum HostVerb {
    /// How the machine is
    Status,
    /// DNS records to publish
    Dns,
    /// The new recovery key of the disks, until somebody has seen it
    RecoveryKey {
        /// It is written down: forget it, and make no other at the next start
        #[arg(long)]
        forget: bool,
        /// It is lost: have the next start make another
        #[arg(long, conflicts_with = "forget")]
        renew: bool,
    },
    /// Ethernet ports, and which have a cable; a box without configuration switches them on for it
    Ports,
    /// Have the lamp of a port blink, so that somebody finds it
    Blink {
        /// The port, as `host ports` calls it
        port: String,
        /// How long, at most 60s
        #[arg(long = "for", value_name = "TIME", default_value = "10s",
            value_parser = measure::duration)]
        time: Duration,
    },
    /// Certificates and DKIM keys: names, days that are left, kind and age
    Certificates,
    /// Who keeps the clock, and how well
    Clock,
    /// Lines of the journal
    Log(LogArguments),
    /// The log of what was done through the host role, the newest first
    Audit(Paging),
    /// Check that no record of it was altered, moved or removed
    AuditVerify,
}

/// Which lines of the journal.
#[derive(Clone, Debug, Args)]
pub struct LogArguments {
    /// Only of this unit, for example postern.service
    #[arg(long)]
    pub unit: Option<String>,
    /// Only of this priority or a graver one: emerg, alert, crit, err, warning, notice, info, debug
    #[arg(long)]
    pub priority: Option<String>,
    /// Only with these words, in any case of letters
    #[arg(long)]
    pub words: Option<String>,
    /// Only of the last TIME, for example 2h
    #[arg(long, value_name = "TIME", value_parser = measure::duration)]
    pub since: Option<Duration>,
    /// How many, the newest; at most 2000 [default: 200]
    #[arg(long)]
    pub lines: Option<u64>,
}

/// Which setup file.
#[derive(Clone, Debug, Args)]
pub struct SetupArguments {
    /// The setup file
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Change nothing, say everything that is wrong with it
    #[arg(long, requires = "file")]
    pub check: bool,
    /// As without --file
    #[arg(long, conflicts_with = "file", hide = true)]
    pub boot: bool,
    /// The root of the machine
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// What becomes of the mail that waits.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("mail").required(true).args(["keep_spool", "everything"])))]
pub struct ResetArguments {
    /// Mail that waits stays
    #[arg(long)]
    pub keep_spool: bool,
    /// Mail that waits is destroyed, too
    #[arg(long)]
    pub everything: bool,
    /// The name of the box, so that nobody does it by mistake
    #[arg(long, value_name = "HOSTNAME")]
    pub word: String,
}

/// Generations of the configuration; they stand beside the other verbs of `postern config`.
#[derive(Clone, Debug, Subcommand)]
pub enum GenerationVerb {
    /// Put a document in force as a new generation
    Apply {
        /// The document
        file: PathBuf,
        /// Take it back unless `config confirm` comes within TIME, for example 10m
        #[arg(long, value_name = "TIME", value_parser = measure::duration)]
        confirm: Option<Duration>,
        /// Why, for the others
        #[arg(long)]
        comment: Option<String>,
    },
    /// Change one value of the document in force; comments and everything else stay
    Set {
        /// The path to it, for example interface.manage0.ipv4
        key: String,
        /// As the document has it; words need no quotes
        #[arg(required_unless_present = "remove")]
        value: Option<String>,
        /// Take it out of the document
        #[arg(long, conflicts_with = "value")]
        remove: bool,
        /// Take it back unless `config confirm` comes within TIME, for example 10m
        #[arg(long, value_name = "TIME", value_parser = measure::duration)]
        confirm: Option<Duration>,
        /// Why, for the others
        #[arg(long)]
        comment: Option<String>,
    },
    /// Keep the generation that is on trial
    Confirm,
    /// Take back the generation on trial, or put an earlier one in force again
    Rollback {
        /// Which [default: the one before]
        generation: Option<u64>,
    },
    /// Every generation that is kept: when, by whom and why
    History,
}
