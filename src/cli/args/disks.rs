//! `postern disks`.

use clap::Subcommand;

/// What about the box's disks.
#[derive(Clone, Debug, Subcommand)]
pub enum DisksVerb {
    /// Make a new recovery key for state and spool and print it; the old one ends. Whoever has no
    /// shell there has the next start make one: `postern host recovery-key --renew`
    RenewRecoveryKey,
}
