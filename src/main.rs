//! The one binary: each role is a subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    postern::cli::main()
}
