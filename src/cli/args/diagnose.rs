//! `postern diagnose` and `postern trace`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::source_name;
use crate::config::measure;
use crate::control::diagnose::Test;
use crate::mail::source::SourceName;

/// What is tried, by which way, to whom.
#[derive(Clone, Debug, Args)]
pub struct DiagnoseArguments {
    /// ping, trace: is it there, and who is on the way? dns, mx: what do the name servers say? tls,
    /// smtp: connection, greeting, EHLO, certificate, DANE and MTA-STS; never mail
    #[arg(value_parser = test(), required_unless_present = "errand")]
    pub test: Option<Test>,
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

/// A test by its name; the others are shown to whoever mistypes it.
fn test() -> impl TypedValueParser<Value = Test> {
    PossibleValuesParser::new(Test::ALL.map(Test::word)).try_map(|typed| {
        Test::ALL.into_iter().find(|test| test.word() == typed).ok_or("it is no test")
    })
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
