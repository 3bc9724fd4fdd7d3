//! The one binary: each role is a subcommand.

fn main() {}
