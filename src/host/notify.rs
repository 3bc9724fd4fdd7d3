//! What the service manager hears (`sd_notify`), and how often it wants to hear that we live.

use std::time::Duration;

use sd_notify::NotifyState;

fn tell(states: &[NotifyState<'_>]) {
    // A manager that cannot be reached is no reason to stop carrying mail.
    let _ = sd_notify::notify(states);
}

/// Ready, with a word for `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A long deed is at this step: a word for `systemctl status`, and a sign of life.
pub fn busy(step: &str) {
    tell(&[NotifyState::Status(step), NotifyState::Watchdog]);
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

/// The daemon has just proven that it works.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Within which time [`alive`] must be told; none: nobody waits for it.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}
