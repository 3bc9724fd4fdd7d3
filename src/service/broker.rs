//! `postern egress` as a unit of its own: whoever may come in by the passed socket is served, one
//! at a time, until the service manager ends the process.
//!
//! The house is one process, so a second channel means that the first one's owner is gone or has
//! lost patience: the newest counts. The watchdog is fed only by proof of work: the loop turned,
//! the kernel told of its interfaces, and the channel's own beat is seen; a channel whose house
//! takes nothing any more is closed, because the broker is not what hangs.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::base::limits::{ACCEPT_PAUSE, EGRESS_SILENCE};
use crate::host::{notify, peer};
use crate::net::broker::entrance::{Entrance, end};
use crate::net::broker::{Pulse, health, serve_with_pulse};

/// The user that the gateway's unit has.
const HOUSE: &str = "postern";

/// What the service manager shows while nobody has come in.
const WAITING: &str = "waits for the gateway";

/// The looks at the pulse, unless the watchdog wants to hear more often.
const LOOK: Duration = Duration::from_secs(1);

/// Serves whoever may come in by `listener`; does not end by itself.
///
/// # Errors
/// No runtime can be made, or the descriptor cannot be waited for.
pub fn run(listener: OwnedFd) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(listener))
}

async fn serve(listener: OwnedFd) -> io::Result<()> {
    let entrance = Entrance::new(listener)?;
    let mut guest: Option<Guest> = None;
    let mut look = looks();
    notify::ready(WAITING);
    loop {
        tokio::select! {
            came = entrance.accept() => match came {
                Ok((channel, uid)) if may_come_in(uid) => {
                    drop(guest.take());
                    guest = Guest::welcome(channel, uid);
                }
                Ok((_, uid)) => {
                    let user = peer::user_name(uid);
                    eprintln!("postern: refused a channel of the user {user}, not {HOUSE}");
                }
                Err(error) => {
                    eprintln!("postern: nobody can come in at this moment: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            said = farewell(&mut guest) => {
                guest = None;
                eprintln!("postern: the gateway's channel ended: {said}");
                notify::ready(WAITING);
            }
            _ = look.tick() => {
                if guest.as_mut().is_some_and(Guest::is_stuck) {
                    guest = None;
                    eprintln!("postern: the gateway takes nothing any more: its channel is closed");
                    notify::ready(WAITING);
                }
                if health::kernel_answers() {
                    notify::alive();
                }
            }
        }
    }
}

/// Half the watchdog's time, and not seldomer than a stuck guest can be seen.
fn looks() -> Interval {
    let half = notify::watchdog().map(|within| within / 2);
    let mut looks = interval(half.unwrap_or(LOOK).clamp(Duration::from_millis(50), LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// The socket's mode keeps others out already; this holds should the mode be lost.
fn may_come_in(uid: u32) -> bool {
    uid == peer::own_uid() || peer::user_id(HOUSE) == Some(uid)
}

/// Why the guest's channel ended; never, without a guest.
async fn farewell(guest: &mut Option<Guest>) -> String {
    match guest {
        None => std::future::pending().await,
        Some(guest) => match (&mut guest.served).await {
            Ok(Ok(())) => "it was closed".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        },
    }
}

/// Whoever came in last.
struct Guest {
    /// The same channel, to end it.
    channel: OwnedFd,
    served: JoinHandle<io::Result<()>>,
    pulse: Arc<Pulse>,
    seen: (u64, Instant),
}

impl Guest {
    fn welcome(channel: OwnedFd, uid: u32) -> Option<Self> {
        let twin = match channel.try_clone() {
            Ok(twin) => twin,
            Err(error) => {
                eprintln!("postern: the gateway's channel cannot be kept: {error}");
                return None;
            }
        };
        let pulse = Arc::new(Pulse::default());
        let beating = pulse.clone();
        let served = tokio::spawn(async move { serve_with_pulse(twin, &beating).await });
        notify::ready(&format!("serves the gateway of the user {}", peer::user_name(uid)));
        Some(Self { channel, served, pulse, seen: (0, Instant::now()) })
    }

    /// The channel's beat has not been seen for longer than a house is patient.
    fn is_stuck(&mut self) -> bool {
        let beats = self.pulse.beats();
        if self.seen.0 != beats {
            self.seen = (beats, Instant::now());
        }
        self.seen.1.elapsed() > EGRESS_SILENCE
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Sockets that are still being opened for it hold the channel, too.
        end(&self.channel);
        self.served.abort();
    }
}
