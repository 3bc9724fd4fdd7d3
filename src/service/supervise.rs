//! The broker's supervisor: one child, started again when it ends, with a budget; or one channel to
//! the broker's own unit, opened again when it ends, with the same budget.
//!
//! While there is no broker every egress is suspended: mail waits, no attempt is counted.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::standing::Standing;
use crate::base::limits::{ROLE_CRASH_WINDOW, ROLE_CRASHES_MAX, ROLE_RESTART_WAIT};
use crate::base::time::Instant;
use crate::event::Event;
use crate::event::herald::Herald;
use crate::host::clock;
use crate::net::broker::words::Orders;
use crate::net::egress::{EgressClient, reach_broker, start_broker};

/// Crashes within a window: `false` when the budget is spent.
#[derive(Debug, Default)]
pub struct Budget(VecDeque<Instant>);

impl Budget {
    /// Books a crash at `now`; whether another start is allowed.
    pub fn spend(&mut self, now: Instant) -> bool {
        self.0.push_back(now);
        while self.0.front().is_some_and(|first| now.since(*first) > ROLE_CRASH_WINDOW) {
            self.0.pop_front();
        }
        self.0.len() < ROLE_CRASHES_MAX
    }
}

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broker {
    /// A child of this process, started from this program.
    Child(PathBuf),
    /// A unit of its own, which listens here; the service manager keeps it running.
    Unit(PathBuf),
}

impl Broker {
    /// How the facts name it.
    fn role(&self) -> &'static str {
        match self {
            Self::Child(_) => "egress",
            Self::Unit(_) => "channel to the broker",
        }
    }
}

/// Keeps a broker at hand until the task is dropped.
pub async fn keep_broker(
    broker: Broker,
    client: EgressClient,
    standing: Arc<ArcSwap<Standing>>,
    herald: Arc<Herald>,
) {
    let mut budget = Budget::default();
    loop {
        let reason = match &broker {
            Broker::Child(program) => run_broker(program, &client, &standing).await,
            Broker::Unit(path) => meet_broker(path, &client, &standing).await,
        };
        let (role, now) = (broker.role().to_owned(), clock::now());
        if !budget.spend(now) {
            herald.tell(Event::RoleStopped { role, reason });
            // A quiet window later one more try: a box must not need hands for a passing fault.
            tokio::time::sleep(ROLE_CRASH_WINDOW).await;
            continue;
        }
        herald.tell(Event::RoleRestarted { role, reason });
        tokio::time::sleep(ROLE_RESTART_WAIT).await;
    }
}

/// One channel to the broker's unit; returns how it ended.
async fn meet_broker(path: &Path, client: &EgressClient, standing: &ArcSwap<Standing>) -> String {
    match reach_broker(path) {
        Err(e) => format!("{} cannot be reached: {e}", path.display()),
        Ok(socket) => {
            format!("{} closed ({})", path.display(), speak(socket, client, standing).await)
        }
    }
}

/// One life of the broker; returns how it ended.
async fn run_broker(program: &Path, client: &EgressClient, standing: &ArcSwap<Standing>) -> String {
    let (mut child, socket) = match start_broker(program) {
        Ok(started) => started,
        Err(e) => return format!("cannot be started: {e}"),
    };
    let end = speak(socket, client, standing).await;
    // The channel is closed, so the broker ends by itself; a second is plenty.
    match tokio::time::timeout(Duration::from_secs(1), child.wait()).await {
        Ok(Ok(status)) => format!("ended with {status}"),
        Ok(Err(e)) => format!("cannot be waited for: {e}"),
        Err(_) => {
            // It is ours and it hangs: end it. An error means that it has just gone.
            let _ = child.kill().await;
            format!("its channel closed ({end})")
        }
    }
}

/// Speaks to a broker until its channel ends, and with the orders of that moment; returns why.
async fn speak(socket: OwnedFd, client: &EgressClient, standing: &ArcSwap<Standing>) -> String {
    let orders = Orders::new(&standing.load().config);
    // A reload between the look and the attachment had no broker to tell.
    let catch_up = async {
        let present = Orders::new(&standing.load().config);
        if present != orders {
            // If this broker is gone already, the next one begins with these.
            let _ = client.order(&present).await;
        }
    };
    let (channel, ()) = tokio::join!(biased; client.attach(socket, &orders), catch_up);
    channel.err().map_or_else(|| "end".to_owned(), |e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_by_crashes_in_a_row_only() {
        let mut budget = Budget::default();
        let at = |secs: u64| Instant(secs * 1_000_000);
        assert!((0..4).all(|n| budget.spend(at(n))));
        assert!(!budget.spend(at(5)));
        let mut budget = Budget::default();
        assert!((0..20).all(|n| budget.spend(at(n * 30))));
    }
}
