//! What may be typed after `postern network`.

use std::path::PathBuf;

use clap::Subcommand;

/// `postern network ..`
#[derive(Clone, Debug, Subcommand)]
pub enum NetworkVerb {
    /// Show the files that the document makes for a machine that is ours alone
    Show,
    /// Write these files below DIR, and change nothing else
    Render {
        /// Where they go
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
    },
    /// Put the document's network in force: guard, names of cards, addresses, listeners, time.
    /// Needs root. Without a document the guard is shut and every card stays down
    Apply {
        /// The machine starts: nothing is up yet
        #[arg(long)]
        boot: bool,
        /// Change nothing, say which files would be written
        #[arg(long, conflicts_with = "boot")]
        dry_run: bool,
    },
    /// Hold the running network against the document, and list the interfaces
    Status,
    /// Write down the name servers of a lease; postern-names.path calls this
    #[command(hide = true)]
    Names,
}
