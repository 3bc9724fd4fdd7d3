//! The one binary: each role is a subcommand.

use std::process::ExitCode;

use postern::demo;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if args.get(1).is_some_and(|verb| verb == "egress") {
        return match postern::net::broker::run_on_stdin() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let spool =
        args.iter().position(|a| a == "--spool").and_then(|n| args.get(n + 1)).map(Into::into);
    runtime.block_on(demo::run(demo::Options { once: has("--once"), json: has("--json"), spool }))
}
