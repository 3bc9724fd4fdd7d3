//! `postern console`.

use std::path::PathBuf;

use clap::Args;

use crate::control::host::call::HOST_SOCKET;

/// How the console is run.
#[derive(Clone, Debug, Args)]
pub struct ConsoleArguments {
    /// Questions and answers, one line each: for serial lines, screen readers and scripts
    #[arg(long)]
    pub plain: bool,
    /// The host role's socket
    #[arg(long, value_name = "PATH", default_value = HOST_SOCKET)]
    pub host_socket: PathBuf,
}
