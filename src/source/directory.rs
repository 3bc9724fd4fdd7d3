//! The directory of sources: the configuration's list with the operators' switches over it.
//!
//! A directory never changes; a new configuration, a switch or a rotation makes a new one, which
//! the driver puts in the place of the old (and the memory of passwords begins anew).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::base::limits::{CREDENTIAL_OCTETS_MAX, SCRAM_ITERATIONS};
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::mail::source::{Proof, Source, SourceName, SourceState, Verifier};
use crate::mail::stage::Attributed;
use crate::smtp::reply::Refusal;
use crate::smtp::server::ask::ScramKeys;

use super::memory::PasswordMemory;
use super::refusals::{
    CERTIFICATE, CREDENTIALS, NETWORK_LOCK, NETWORK_LOCK_AT_MAIL, state_at_auth, state_at_mail,
    state_in_session, unidentified,
};
use super::secret::{BootSecret, dummy_like, made_up_scram, matches, read_scram};

/// What operators decided at run time; kept by the driver, laid over the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// `source hold|disable|revoke`. The stricter of configuration and switch counts; `source
    /// enable` and `release` remove the switch.
    pub states: BTreeMap<SourceName, SourceState>,
    /// `source rotate`: what lies over the configuration's verifiers.
    pub rotations: BTreeMap<SourceName, Rotation>,
}

/// Verifiers that came after the configuration, and the last day of those before them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Verifiers beside those of the configuration, the newest first.
    pub verifiers: Vec<Verifier>,
    /// Retired verifiers, by their Argon2id string, with the end of their grace period.
    pub retired: BTreeMap<String, WallTime>,
}

impl Switches {
    /// `source rotate`: `verifier` is the new one of `source`; all others are void after
    /// `grace_until` (now, if the old secret is known to strangers).
    pub fn rotate(&mut self, source: &Source, verifier: Verifier, grace_until: WallTime) {
        let rotation = self.rotations.entry(source.name.clone()).or_default();
        let configured: &[Verifier] = match &source.proof {
            Proof::Password { verifiers, .. } => verifiers,
            _ => &[],
        };
        for old in configured.iter().chain(&rotation.verifiers) {
            let end = rotation.retired.entry(old.argon2id.clone()).or_insert(grace_until);
            *end = grace_until.min(*end);
        }
        rotation.verifiers.insert(0, verifier);
        // Two are enough: the new one and the one in its grace period.
        rotation.verifiers.truncate(2);
    }
}

/// Who there is.
pub struct Directory {
    sources: BTreeMap<SourceName, Entry>,
    users: HashMap<Box<str>, SourceName>,
    certificates: HashMap<[u8; 32], SourceName>,
    networks: Vec<(IpNet, SourceName)>,
    secret: BootSecret,
    memory: PasswordMemory,
    dummies: Vec<String>,
    scram_iterations: Vec<u32>,
}

/// A source with everything that lies over it.
struct Entry {
    source: Arc<Source>,
    switch: SourceState,
    verifiers: Vec<Verifier>,
}

impl Directory {
    /// The directory of `sources` with `switches` over them. A user, certificate or network that
    /// two sources claim belongs to neither (the configuration's check refuses such a document).
    #[must_use]
    pub fn new(
        sources: &BTreeMap<SourceName, Arc<Source>>,
        switches: &Switches,
        secret: BootSecret,
    ) -> Self {
        let entries: BTreeMap<_, _> =
            sources.iter().map(|(name, s)| (name.clone(), Entry::new(s, switches))).collect();
        let users = unique(sources.iter().filter_map(|(name, source)| match &source.proof {
            Proof::Password { user, .. } => Some((Box::from(user.as_str()), name)),
            _ => None,
        }));
        let certificates = unique(sources.iter().flat_map(|(name, source)| {
            let prints: &[String] = match &source.proof {
                Proof::Certificate { spki_sha256 } => spki_sha256,
                _ => &[],
            };
            prints.iter().filter_map(move |hex| Some((from_hex(hex)?, name)))
        }));
        let networks = unique(sources.iter().flat_map(|(name, source)| {
            let ours: &[IpNet] =
                if source.proof == Proof::Network { &source.networks } else { &[] };
            ours.iter().map(move |net| (net.trunc(), name))
        }));
        let mut networks: Vec<_> = networks.into_iter().collect();
        networks.sort_by_key(|(net, _)| (std::cmp::Reverse(net.prefix_len()), *net));
        let all = || entries.values().flat_map(|entry| &entry.verifiers);
        let mut dummies: Vec<_> = all().map(|v| dummy_like(Some(&v.argon2id), &secret)).collect();
        if dummies.is_empty() {
            dummies.push(dummy_like(None, &secret));
        }
        let mut scram_iterations: Vec<_> = all()
            .filter_map(|v| Some(read_scram(v.scram_sha256.as_deref()?)?.iterations))
            .collect();
        if scram_iterations.is_empty() {
            scram_iterations.push(SCRAM_ITERATIONS);
        }
        Self {
            sources: entries,
            users,
            certificates,
            networks,
            secret,
            memory: PasswordMemory::default(),
            dummies,
            scram_iterations,
        }
    }

    /// The source called `name`.
    #[must_use]
    pub fn source(&self, name: &SourceName) -> Option<&Arc<Source>> {
        self.sources.get(name).map(|entry| &entry.source)
    }

    /// All sources, by name.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.values().map(|entry| &entry.source)
    }

    /// What a source may do now: the strictest of configuration, switch and date. A source that
    /// is gone from the configuration is revoked.
    #[must_use]
    pub fn state(&self, name: &SourceName, now: WallTime) -> SourceState {
        self.sources.get(name).map_or(SourceState::Revoked, |entry| entry.state(now))
    }

    /// AUTH PLAIN or LOGIN, answered from memory: `None` means that the password has to be
    /// computed. Cheap; asked before [`Self::identify_password`].
    pub fn recall_password(
        &self,
        user: &str,
        password: &Secret<String>,
        peer: IpAddr,
        now: WallTime,
    ) -> Option<Result<Attributed, Refusal>> {
        let entry = self.user(user)?;
        self.memory
            .knows(&self.secret, user, password, now)
            .then(|| entry.admit_after_auth(peer, now))
    }

    /// AUTH PLAIN or LOGIN. Costs tens of milliseconds and 19 MiB: off the async workers, at most
    /// `PASSWORD_CHECKS_AT_ONCE` at a time. An unknown user costs as much as a known one.
    ///
    /// # Errors
    /// 535 for anything wrong; with the right password also what the state of the source demands.
    pub fn identify_password(
        &self,
        user: &str,
        password: &Secret<String>,
        peer: IpAddr,
        now: WallTime,
    ) -> Result<Attributed, Refusal> {
        if user.len().max(password.expose().len()) > CREDENTIAL_OCTETS_MAX {
            return Err(CREDENTIALS);
        }
        let entry = self.user(user);
        let mut verifiers = entry.map_or(&[][..], |entry| &entry.verifiers).iter();
        let mut computed = false;
        let right = verifiers.find(|verifier| {
            let valid = verifier.not_after.is_none_or(|end| now < end);
            computed |= valid;
            valid && matches(password, &verifier.argon2id)
        });
        if !computed {
            let _ = matches(password, self.dummy(user));
        }
        match (entry, right) {
            (Some(entry), Some(verifier)) => {
                self.memory.learn(&self.secret, user, password, verifier.not_after, now);
                entry.admit_after_auth(peer, now)
            }
            _ => Err(CREDENTIALS),
        }
    }

    /// The SCRAM-SHA-256 keys of `user`: of its newest valid verifier, or keys that are made up,
    /// always the same for the same name.
    #[must_use]
    pub fn scram_keys(&self, user: &str, now: WallTime) -> ScramKeys {
        let real = self.user(user).and_then(|entry| {
            let mut valid =
                entry.verifiers.iter().filter(|v| v.not_after.is_none_or(|end| now < end));
            valid.find_map(|verifier| read_scram(verifier.scram_sha256.as_deref()?))
        });
        real.unwrap_or_else(|| {
            let iterations = pick(&self.scram_iterations, &self.draw(user));
            made_up_scram(user, iterations.copied().unwrap_or(SCRAM_ITERATIONS), &self.secret)
        })
    }

    /// AUTH SCRAM-SHA-256, after the proof was verified against [`Self::scram_keys`].
    ///
    /// # Errors
    /// As [`Self::identify_password`].
    pub fn identify_scram(
        &self,
        user: &str,
        peer: IpAddr,
        now: WallTime,
    ) -> Result<Attributed, Refusal> {
        self.user(user).ok_or(CREDENTIALS)?.admit_after_auth(peer, now)
    }

    /// A client certificate whose key was proven by TLS, by the SHA-256 of its public key (SPKI).
    ///
    /// # Errors
    /// 550 5.7.1 if no source has it, if the address is not allowed, or as the state demands.
    pub fn identify_certificate(
        &self,
        spki_sha256: &[u8; 32],
        peer: IpAddr,
        now: WallTime,
    ) -> Result<Attributed, Refusal> {
        let name = self.certificates.get(spki_sha256).ok_or(CERTIFICATE)?;
        self.sources.get(name).ok_or(CERTIFICATE)?.admit_at_mail(peer, now)
    }

    /// The network alone, on a listener that allows it. The narrowest network decides.
    ///
    /// # Errors
    /// 530 5.7.0 if the listener does not allow it or no source has this network; else as the
    /// state demands.
    pub fn identify_network(
        &self,
        listener_allows: bool,
        peer: IpAddr,
        now: WallTime,
    ) -> Result<Attributed, Refusal> {
        let peer = peer.to_canonical();
        let found = self.networks.iter().find(|(net, _)| listener_allows && net.contains(&peer));
        let entry = found.and_then(|(_, name)| self.sources.get(name)).ok_or_else(unidentified)?;
        entry.admit_at_mail(peer, now)
    }

    /// The health gate, on the listener that only it has.
    ///
    /// # Errors
    /// 530 5.7.0 if there is no gate or it is not this machine that speaks; else as the state
    /// demands.
    pub fn identify_health(&self, peer: IpAddr, now: WallTime) -> Result<Attributed, Refusal> {
        let gates = |entry: &&Entry| entry.source.proof == Proof::Health;
        let entry = self.sources.values().find(gates).filter(|entry| entry.allows(peer));
        entry.ok_or_else(unidentified)?.admit_at_mail(peer, now)
    }

    /// Whether a session that was identified earlier may go on: asked at MAIL, at DATA and before
    /// custody, so that a disabled source stops within one transaction.
    ///
    /// # Errors
    /// 421 4.7.0: the session ends.
    pub fn still_welcome(&self, source: &Source, now: WallTime) -> Result<(), Refusal> {
        let state = self.state(&source.name, now);
        if state.accepts() { Ok(()) } else { Err(state_in_session(state)) }
    }

    /// The session's source as it is in *this* directory: after a reload the new pairs bind, not
    /// those of the day of AUTH.
    ///
    /// # Errors
    /// 421 4.7.0 as [`Self::still_welcome`].
    pub fn renew(&self, attributed: &Attributed, now: WallTime) -> Result<Attributed, Refusal> {
        self.still_welcome(attributed.source(), now)?;
        let source = self.source(&attributed.source().name).unwrap_or(attributed.source());
        Ok(Attributed::mint(Arc::clone(source)))
    }

    fn user(&self, user: &str) -> Option<&Entry> {
        self.users.get(user).and_then(|name| self.sources.get(name))
    }

    /// A number for a name that is the same as long as the process lives.
    fn draw(&self, user: &str) -> [u8; 32] {
        self.secret.tag("dummy choice", &[user.as_bytes()])
    }

    fn dummy(&self, user: &str) -> &str {
        pick(&self.dummies, &self.draw(user)).map_or("", String::as_str)
    }
}

impl Entry {
    fn new(source: &Arc<Source>, switches: &Switches) -> Self {
        let configured: &[Verifier] = match &source.proof {
            Proof::Password { verifiers, .. } => verifiers,
            _ => &[],
        };
        let rotation = switches.rotations.get(&source.name);
        let added = rotation.map_or(&[][..], |rotation| &rotation.verifiers);
        let dated = |verifier: &Verifier| {
            let retired = rotation.and_then(|r| r.retired.get(&verifier.argon2id)).copied();
            let not_after = verifier.not_after.into_iter().chain(retired).min();
            Verifier { not_after, ..verifier.clone() }
        };
        Self {
            source: Arc::clone(source),
            switch: switches.states.get(&source.name).copied().unwrap_or_default(),
            verifiers: added.iter().chain(configured).map(dated).collect(),
        }
    }

    fn state(&self, now: WallTime) -> SourceState {
        let dated = match self.source.expires {
            Some(end) if now >= end => SourceState::Expired,
            _ => SourceState::Active,
        };
        let states = [self.source.state, self.switch, dated];
        states.into_iter().max_by_key(|state| strictness(*state)).unwrap_or_default()
    }

    fn admit_after_auth(&self, peer: IpAddr, now: WallTime) -> Result<Attributed, Refusal> {
        if !self.allows(peer) {
            return Err(NETWORK_LOCK);
        }
        let state = self.state(now);
        if state.accepts() { Ok(self.attributed()) } else { Err(state_at_auth(state)) }
    }

    fn admit_at_mail(&self, peer: IpAddr, now: WallTime) -> Result<Attributed, Refusal> {
        if !self.allows(peer) {
            return Err(NETWORK_LOCK_AT_MAIL);
        }
        let state = self.state(now);
        if state.accepts() { Ok(self.attributed()) } else { Err(state_at_mail(state)) }
    }

    fn allows(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        let networks = &self.source.networks;
        let bound = matches!(self.source.proof, Proof::Network | Proof::Health);
        let open = networks.is_empty() && !bound;
        open || networks.iter().any(|net| net.contains(&peer))
    }

    fn attributed(&self) -> Attributed {
        Attributed::mint(Arc::clone(&self.source))
    }
}

/// The order in which states overrule each other.
fn strictness(state: SourceState) -> u8 {
    match state {
        SourceState::Active => 0,
        SourceState::Hold => 1,
        SourceState::Disabled => 2,
        SourceState::Expired => 3,
        SourceState::Revoked => 4,
    }
}

/// A map of keys that exactly one source claims.
fn unique<'a, K: std::hash::Hash + Eq>(
    claims: impl Iterator<Item = (K, &'a SourceName)>,
) -> HashMap<K, SourceName> {
    let mut found: HashMap<K, Option<SourceName>> = HashMap::new();
    for (key, name) in claims {
        let claimed = found.entry(key).or_insert_with(|| Some(name.clone()));
        if claimed.as_ref() != Some(name) {
            *claimed = None;
        }
    }
    found.into_iter().filter_map(|(key, name)| Some((key, name?))).collect()
}

fn pick<'a, T>(items: &'a [T], draw: &[u8; 32]) -> Option<&'a T> {
    let number = draw.iter().take(4).fold(0_usize, |n, &octet| n << 8 | usize::from(octet));
    items.get(number % items.len().max(1))
}

/// Sixty-four hexadecimal digits.
fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let octets: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |o, d| o << 4 | d)).collect();
    (digits.len() == 64).then(|| octets.try_into().ok())?
}

#[cfg(test)]
mod tests;
