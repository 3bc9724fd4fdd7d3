//! The watchdog is fed only by proof of work: the runtime turned and the ledger's thread answered.

use std::time::Duration;

use crate::base::limits::WATCHDOG_PROOF_TIMEOUT;
use crate::host::notify;
use crate::store::Health;
use crate::store::spool::Spool;

/// Feeds the watchdog at half its interval, as long as the house works.
pub async fn watch(spool: Spool) {
    let Some(interval) = notify::watchdog() else { return };
    let mut beat = tokio::time::interval((interval / 2).max(Duration::from_millis(100)));
    loop {
        beat.tick().await;
        if works(&spool).await {
            notify::alive();
        }
    }
}

/// Whether the ledger still answers. A latched one does not: a restart compares and goes on. A full
/// disk is no hang.
async fn works(spool: &Spool) -> bool {
    let proof = tokio::time::timeout(WATCHDOG_PROOF_TIMEOUT, spool.record_durably(Vec::new()));
    proof.await.is_ok() && spool.health() != Health::Latched
}
