//! `postern health`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::measure;
use crate::control::health::STATE_FOLDER;

/// How it is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HealthArguments {
    /// Something else than looking.
    #[command(subcommand)]
    pub verb: Option<HealthVerb>,
    /// Show what was found last, and look at nothing
    #[arg(long, conflicts_with = "boot")]
    pub last: bool,
    /// As the gate of a boot: strict, and one line for the console
    #[arg(long)]
    pub boot: bool,
    /// How long to wait for what is not ready yet
    #[arg(long, value_name = "TIME", default_value = "4m", value_parser = measure::duration)]
    pub wait: Duration,
    /// Where results are kept
    #[arg(long, global = true, value_name = "DIR", default_value = STATE_FOLDER)]
    pub state: PathBuf,
}

/// `postern health ..`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum HealthVerb {
    /// Write down what works now; after an update the trial boot must find it again
    Record,
}
