//! Failed AUTH, counted per address and per account in fixed windows, in bounded memory.
//!
//! An account is never locked for an address that has lately shown its right password: a stranger
//! who guesses cannot keep the honest application out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use crate::base::limits::{
    AUTH_FAILURE_WINDOW, AUTH_FAILURES_PER_WINDOW, THROTTLE_ENTRIES_MAX, WELCOME_MEMORY,
};
use crate::base::time::Instant;
use crate::smtp::reply::Refusal;

use super::refusals::THROTTLED;

/// The counters. The driver keeps one behind a mutex and asks before every computation.
#[derive(Debug, Default)]
pub struct Throttle {
    addresses: Windows<IpAddr>,
    accounts: Windows<Box<str>>,
    welcome: HashMap<(IpAddr, Box<str>), Instant>,
}

impl Throttle {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `peer` may try `user` now.
    ///
    /// # Errors
    /// 454 4.7.0 while the window of the address or of the account is full.
    pub fn permit(&self, peer: IpAddr, user: &str, now: Instant) -> Result<(), Refusal> {
        let address = neighbourhood(peer);
        if self.addresses.is_full(&address, now) {
            return Err(THROTTLED);
        }
        let user: Box<str> = user.into();
        if !self.accounts.is_full(&user, now) {
            return Ok(());
        }
        match self.welcome.get(&(address, user)) {
            Some(since) if now.since(*since) < WELCOME_MEMORY => Ok(()),
            _ => Err(THROTTLED),
        }
    }

    /// `peer` failed as `user`.
    pub fn failed(&mut self, peer: IpAddr, user: &str, now: Instant) {
        self.addresses.count(neighbourhood(peer), now);
        self.accounts.count(user.into(), now);
    }

    /// `peer` is `user`.
    pub fn succeeded(&mut self, peer: IpAddr, user: &str, now: Instant) {
        if self.welcome.len() >= THROTTLE_ENTRIES_MAX {
            self.welcome.retain(|_, since| now.since(*since) < WELCOME_MEMORY / 2);
        }
        if self.welcome.len() < THROTTLE_ENTRIES_MAX {
            self.welcome.insert((neighbourhood(peer), user.into()), now);
        }
    }
}

/// An IPv4 address, or the /64 of an IPv6 address: one customer of one provider.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Failures by key; a window begins with its first failure.
#[derive(Debug)]
struct Windows<K> {
    entries: HashMap<K, (Instant, u32)>,
}

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<K: Hash + Eq> Windows<K> {
    fn is_full(&self, key: &K, now: Instant) -> bool {
        self.entries.get(key).is_some_and(|(since, failures)| {
            now.since(*since) < AUTH_FAILURE_WINDOW && *failures >= AUTH_FAILURES_PER_WINDOW
        })
    }

    fn count(&mut self, key: K, now: Instant) {
        let open = |since: Instant| now.since(since) < AUTH_FAILURE_WINDOW;
        if self.entries.len() >= THROTTLE_ENTRIES_MAX && !self.entries.contains_key(&key) {
            self.entries.retain(|_, (since, _)| open(*since));
        }
        if self.entries.len() >= THROTTLE_ENTRIES_MAX && !self.entries.contains_key(&key) {
            // A flood of strangers: those who failed least make room, the guessers stay.
            self.entries.retain(|_, (_, failures)| *failures > 1);
        }
        if self.entries.len() >= THROTTLE_ENTRIES_MAX && !self.entries.contains_key(&key) {
            self.entries.clear();
        }
        let entry = self.entries.entry(key).or_insert((now, 0));
        if !open(entry.0) {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::default().after(Duration::from_secs(secs))
    }

    #[test]
    fn ten_failures_fill_the_window_of_an_address_and_time_empties_it() {
        let mut throttle = Throttle::new();
        let peer = "192.0.2.1".parse().unwrap();
        for n in 0..AUTH_FAILURES_PER_WINDOW {
            assert!(throttle.permit(peer, &n.to_string(), at(1)).is_ok());
            throttle.failed(peer, &n.to_string(), at(1));
        }
        assert_eq!(throttle.permit(peer, "new", at(2)).unwrap_err().reply.code, 454);
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert!(throttle.permit(mapped, "new", at(2)).is_err());
        assert!(throttle.permit(peer, "new", at(61)).is_ok());
    }

    #[test]
    fn guessers_from_everywhere_fill_an_account_but_its_owner_still_gets_in() {
        let mut throttle = Throttle::new();
        let owner = "2001:db8:1::1".parse().unwrap();
        throttle.succeeded(owner, "app", at(0));
        for n in 0..200_u32 {
            let guesser = IpAddr::V4((0x0a00_0000 + n).into());
            throttle.failed(guesser, "app", at(1));
        }
        let stranger = "198.51.100.1".parse().unwrap();
        assert!(throttle.permit(stranger, "app", at(2)).is_err());
        assert!(throttle.permit(stranger, "other", at(2)).is_ok());
        assert!(throttle.permit(owner, "app", at(2)).is_ok());
        let neighbour = "2001:db8:1::ffff".parse().unwrap();
        assert!(throttle.permit(neighbour, "app", at(2)).is_ok());
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut throttle = Throttle::new();
        for n in 0..u32::try_from(THROTTLE_ENTRIES_MAX * 3).unwrap() {
            let peer = IpAddr::V4((0x0a00_0000 + n).into());
            throttle.failed(peer, &n.to_string(), at(1));
            throttle.succeeded(peer, &n.to_string(), at(1));
        }
        assert!(throttle.addresses.entries.len() <= THROTTLE_ENTRIES_MAX);
        assert!(throttle.accounts.entries.len() <= THROTTLE_ENTRIES_MAX);
        assert!(throttle.welcome.len() <= THROTTLE_ENTRIES_MAX);
    }
}
