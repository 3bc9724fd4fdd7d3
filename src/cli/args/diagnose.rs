//! `postern diagnose` and `postern trace`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::source_name;
use crate::config::measure;
use crate::control::diagnose::Test;
use crate::mail::source::SourceName;

/// What is tried, by which way, to whom.
#[derive(Clone, Debug, Args)]
pub struct DiagnoseArguments {
    /// ping, trace: is it there, and who is on the way? dns, mx: what do the name servers say? tls,
    /// smtp: connection, greeting, EHLO, certificate, DANE and MTA-STS; never mail
    #[arg(value_enum, required_unless_present = "errand")]
    pub test: Option<TestName>,
    /// The egress, or another interface by its name, for example manage0
    #[arg(long = "from", value_name = "ROLE", required_unless_present = "errand")]
    pub role: Option<String>,
    /// A host, HOST:PORT, an address, or for mx and smtp the domain of recipients
    #[arg(required_unless_present = "errand")]
    pub target: Option<String>,
    /// Do what the host role has written down; systemd starts it
    #[arg(long, hide = true, conflicts_with_all = ["test", "role", "target"])]
    pub errand: bool,
    /// The root of the machine
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// A test, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are those of `Test`")]
pub enum TestName {
    Ping,
    Trace,
    Dns,
    Mx,
    Tls,
    Smtp,
}

impl From<TestName> for Test {
    fn from(name: TestName) -> Self {
        match name {
            TestName::Ping => Self::Ping,
            TestName::Trace => Self::Trace,
            TestName::Dns => Self::Dns,
            TestName::Mx => Self::Mx,
            TestName::Tls => Self::Tls,
            TestName::Smtp => Self::Smtp,
        }
    }
}

/// `postern trace ..`
#[derive(Clone, Debug, Subcommand)]
pub enum TraceVerb {
    /// The SMTP dialogue of one source as it submits, or of deliveries to one domain; without
    /// passwords and without the content of messages
    Smtp(SmtpTraceArguments),
}

/// Whose dialogue, and how long.
#[derive(Clone, Debug, Args)]
#[command(group(clap::ArgGroup::new("of").required(true).args(["source", "destination"])))]
pub struct SmtpTraceArguments {
    /// Sessions in which this source submits
    #[arg(long, value_name = "NAME", value_parser = source_name)]
    pub source: Option<SourceName>,
    /// Deliveries to this domain of recipients
    #[arg(long, value_name = "DOMAIN")]
    pub destination: Option<String>,
    /// How long, at most 15m
    #[arg(long = "for", value_name = "TIME", default_value = "60s",
        value_parser = measure::duration)]
    pub time: Duration,
}
