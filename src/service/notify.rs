//! What the service manager hears: READY, RELOADING, STOPPING, and a watchdog that proves work.
//!
//! The watchdog is fed only after the house has shown that it works: the runtime turned, the ledger
//! is not stuck in a sync, and the broker's channel is there or its supervisor is at it.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::base::limits::WATCHDOG_PROOF_TIMEOUT;
use crate::store::Health;
use crate::store::spool::Spool;

/// Tells the service manager; without one this does nothing.
pub fn tell(states: &[NotifyState<'_>]) {
    // A manager that cannot be reached is no reason to stop carrying mail.
    let _ = sd_notify::notify(states);
}

/// Ready, with a word for `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins (Type=notify-reload wants the moment, too).
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The end begins.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog at half its interval, as long as the house works.
pub async fn watch(spool: Spool) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((interval / 2).max(Duration::from_millis(100)));
    loop {
        beat.tick().await;
        if works(&spool).await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Whether the ledger still answers. A latched one does not: a restart compares and goes on. A full
/// disk is no hang.
async fn works(spool: &Spool) -> bool {
    let proof = tokio::time::timeout(WATCHDOG_PROOF_TIMEOUT, spool.record_durably(Vec::new()));
    proof.await.is_ok() && spool.health() != Health::Latched
}
