//! The broker (`postern egress`): the only role that can open a socket to the Internet.
//!
//! It knows the list of egresses and nothing of mail. It opens a socket bound to device and source,
//! to an allowed port of an allowed address, hands it over and forgets it. What is missing suspends
//! the egress; there is no second way. As a child of the house it ends when the house closes its
//! end of the channel; as a unit of its own (`service/broker.rs`) it waits for the next.

pub mod entrance;
pub mod health;
pub mod open;
pub mod way;
pub mod words;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

use crate::base::limits::{CONNECT_TIMEOUT, EGRESS_HEALTH_BEAT, EGRESS_OPENING_MAX};
use open::open;
use words::{Channel, Condition, EgressError, Order, Orders, PACKET_OCTETS_MAX, Report, Transport};

/// Runs the role on its end of the channel until the other end closes.
///
/// # Errors
/// The channel broke, or something else than an order came through it.
pub fn run(socket: OwnedFd) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(socket))
}

/// Runs the role on standard input, where [`start_broker`](super::egress::start_broker) puts the
/// channel.
///
/// # Errors
/// As [`run`].
pub fn run_on_stdin() -> io::Result<()> {
    run(io::stdin().as_fd().try_clone_to_owned()?)
}

/// Counts the beats of a broker: at each the kernel was asked how every egress is, and what had
/// changed was taken by the house.
#[derive(Debug, Default)]
pub struct Pulse(AtomicU64);

impl Pulse {
    /// Beats so far.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The same inside a runtime.
///
/// # Errors
/// As [`run`].
pub async fn serve(socket: OwnedFd) -> io::Result<()> {
    serve_with_pulse(socket, &Pulse::default()).await
}

/// The same, and `pulse` shows that it works.
///
/// # Errors
/// As [`run`].
pub async fn serve_with_pulse(socket: OwnedFd, pulse: &Pulse) -> io::Result<()> {
    let channel = Arc::new(Channel::new(socket)?);
    let uid = rustix::process::geteuid().as_raw();
    channel.send(&Report::Broker { uid }, None).await?;
    let opening = Arc::new(Semaphore::new(EGRESS_OPENING_MAX));
    let mut orders = Arc::new(Orders::default());
    let (mut known, mut lost) = (BTreeMap::new(), health::Lost::default());
    let mut beat = tokio::time::interval(EGRESS_HEALTH_BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut packet = vec![0; PACKET_OCTETS_MAX];
    loop {
        tokio::select! {
            word = channel.receive::<Order>(&mut packet) => match word? {
                None => return Ok(()),
                Some((Order::Orders(new), _)) => {
                    orders = Arc::new(new);
                    known.clear();
                    tell_health(&channel, &orders, &mut known, &mut lost).await?;
                }
                Some((Order::Health, _)) => {
                    known.clear();
                    tell_health(&channel, &orders, &mut known, &mut lost).await?;
                }
                Some((Order::Open { id, egress, transport, to, wait_millis }, _)) => {
                    let wait = Duration::from_millis(wait_millis).min(CONNECT_TIMEOUT);
                    let wish = Wish { id, egress, transport, to, wait };
                    let condition = known.get(&wish.egress);
                    let unwell = condition.and_then(|known| known.of(wish.to.ip()).suspended());
                    let unwell = unwell.map(str::to_owned);
                    let permit = match (unwell, Arc::clone(&opening).try_acquire_owned()) {
                        (None, Ok(permit)) => permit,
                        (unwell, _) => {
                            let busy = || "too many sockets at once".to_owned();
                            let error = EgressError::Suspended(unwell.unwrap_or_else(busy));
                            channel.send(&Report::Failed { id, error }, None).await?;
                            continue;
                        }
                    };
                    let (orders, channel) = (Arc::clone(&orders), Arc::clone(&channel));
                    tokio::spawn(async move {
                        fulfil(wish, &orders, &channel).await;
                        drop(permit);
                    });
                }
            },
            _ = beat.tick() => {
                tell_health(&channel, &orders, &mut known, &mut lost).await?;
                lost.prod(&orders);
                pulse.beat();
            }
        }
    }
}

/// A socket that the house wants.
struct Wish {
    id: u64,
    egress: String,
    transport: Transport,
    to: std::net::SocketAddr,
    wait: Duration,
}

async fn fulfil(wish: Wish, orders: &Orders, channel: &Channel) {
    let id = wish.id;
    let opened = open(orders, &wish.egress, wish.transport, wish.to, wish.wait).await;
    // If the house is gone, the main loop sees it too and ends.
    let _gone = match opened {
        Ok(socket) => channel.send(&Report::Opened { id }, Some(socket)).await,
        Err(error) => {
            let error = blame(error, &wish, orders);
            channel.send(&Report::Failed { id, error }, None).await
        }
    };
}

/// A connection that was lost on the way may have been lost at our own end: a cable that was
/// pulled looks like a host that does not answer.
fn blame(error: EgressError, wish: &Wish, orders: &Orders) -> EgressError {
    match error {
        EgressError::TimedOut | EgressError::Unreachable(_) => {
            let condition = health::examine(orders, &mut health::Lost::suspected(orders))
                .remove(&wish.egress)
                .unwrap_or_default();
            let unwell = condition.of(wish.to.ip()).suspended();
            unwell.map_or(error, |cause| EgressError::Suspended(cause.to_owned()))
        }
        error => error,
    }
}

/// Tells what has changed since `known`.
async fn tell_health(
    channel: &Channel,
    orders: &Orders,
    known: &mut BTreeMap<String, Condition>,
    lost: &mut health::Lost,
) -> io::Result<()> {
    let now = health::examine(orders, lost);
    for (egress, condition) in &now {
        if known.get(egress) != Some(condition) {
            let (egress, condition) = (egress.clone(), condition.clone());
            channel.send(&Report::Health { egress, condition }, None).await?;
        }
    }
    *known = now;
    Ok(())
}
