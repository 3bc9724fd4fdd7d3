//! Which member of which pool mail is at home at, and who stands in for it.
//!
//! *Which pool:* the route of the domain if it names one, because the partner at its end expects
//! that address; else the source's; else the default. Notifications of ours belong to no source.
//!
//! *Which member:* weighted rendezvous hashing (Thaler and Ravishankar 1998, with the logarithmic
//! weights of Schindelhauer and Schomaker 2005). Every member draws a lot for every (source,
//! domain), the same one each time: `-weight / ln(u)`, with `u` between 0 and 1 out of a hash of
//! the three names; the highest lot is the home. So one source always comes to one receiver from
//! one address, shares follow the weights, and a member that is added or removed moves no more mail
//! than its own share. Nothing is remembered, so a restart changes nothing.
//!
//! *Who stands in:* the other members in the order of their lots for (home, domain): mail that has
//! one home finds one stand-in, whoever sent it, and the mail of a lost home is spread by weight.

use std::sync::Arc;

use super::plan::route_of;
use crate::config::checked::{Config, Pool};
use crate::mail::address::Domain;
use crate::mail::source::SourceName;
use crate::mail::way::Way;

/// The pools of a configuration, made ready to draw lots.
#[derive(Clone, Debug)]
pub struct Pools {
    config: Arc<Config>,
    /// In the order of `config.pools`.
    drawn: Vec<Vec<Lot>>,
}

/// A member of a pool.
#[derive(Clone, Debug)]
struct Lot {
    way: Way,
    weight: f64,
    hash: u64,
}

impl Pools {
    /// The pools of `config`.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        let drawn = config.pools.iter().map(lots).collect();
        Self { config, drawn }
    }

    /// The way of mail of `source` to `domain`; without a source: of a notification of ours.
    #[must_use]
    pub fn way(&self, source: Option<&SourceName>, domain: &Domain) -> Way {
        let config = &*self.config;
        let wanted = route_of(config, domain).and_then(|route| route.egress.as_deref());
        let of_source = || source.and_then(|source| config.sources.get(source)?.pool.as_deref());
        let name = wanted.or_else(of_source);
        let number = match name {
            Some(name) => config.pools.iter().position(|pool| pool.name == name),
            None => (!config.pools.is_empty()).then_some(0),
        };
        match number.map(|number| &self.drawn[number][..]) {
            Some([only]) => only.way.clone(),
            Some([first, rest @ ..]) => {
                let pair = pair(source.map_or("", SourceName::as_str), domain.as_str());
                let mut best = (first.draw(pair), &first.way);
                for lot in rest {
                    let drawn = lot.draw(pair);
                    if drawn > best.0 {
                        best = (drawn, &lot.way);
                    }
                }
                best.1.clone()
            }
            // The check refuses a configuration without; its mail would wait.
            Some([]) | None => Way::new(name.unwrap_or("none"), "none"),
        }
    }

    /// Who may carry mail of this way, the most wanted first: its home, if the pool still has it,
    /// then those that stand in. Empty if there is no such pool any more.
    #[must_use]
    pub fn order(&self, way: &Way, domain: &Domain) -> Vec<&Arc<str>> {
        let number = self.config.pools.iter().position(|pool| pool.name == *way.pool);
        let Some(number) = number else { return Vec::new() };
        let pair = pair(&way.home, domain.as_str());
        let lots = self.drawn[number].iter();
        let mut order: Vec<(bool, f64, &Arc<str>)> =
            lots.map(|lot| (lot.way.home == way.home, lot.draw(pair), &lot.way.home)).collect();
        order.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
        order.into_iter().map(|(_, _, member)| member).collect()
    }

    /// Names of the pools that `egress` is a member of.
    pub fn pools_of<'a>(&'a self, egress: &'a str) -> impl Iterator<Item = &'a str> {
        let has = move |pool: &&Pool| pool.members.iter().any(|m| m.egress == egress);
        self.config.pools.iter().filter(has).map(|pool| pool.name.as_str())
    }

    /// The configuration that they are of.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
}

fn lots(pool: &Pool) -> Vec<Lot> {
    let member = |member: &crate::config::checked::Member| Lot {
        way: Way::new(&pool.name, &member.egress),
        weight: f64::from(member.weight.max(1)),
        hash: hash(FNV_OFFSET, member.egress.as_bytes()),
    };
    pool.members.iter().map(member).collect()
}

impl Lot {
    fn draw(&self, pair: u64) -> f64 {
        let mixed = mix(pair ^ self.hash.rotate_left(32));
        // The upper half is enough: a share is off by 2^-32 at most.
        let upper = u32::try_from(mixed >> 32).unwrap_or(u32::MAX);
        let u = (f64::from(upper) + 0.5) / 4_294_967_296.0;
        -self.weight / u.ln()
    }
}

/// Two names as one number; the octet between them occurs in neither.
fn pair(one: &str, other: &str) -> u64 {
    let first = hash(FNV_OFFSET, one.as_bytes());
    mix(hash(hash(first, &[0xFF]), other.as_bytes()))
}

const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01B3;

/// FNV-1a of 64 bits: short, fixed for ever, and made even by [`mix`].
fn hash(start: u64, octets: &[u8]) -> u64 {
    octets.iter().fold(start, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(FNV_PRIME))
}

/// The finalizer of `SplitMix64`: every bit in moves every bit out.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
