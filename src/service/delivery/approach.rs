//! From a domain to a host that is ready for a transaction: names, addresses, connection, greeting.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::link::{Link, Unusable};
use super::{Context, Tls, ours};
use crate::base::limits::{HAPPY_EYEBALLS_DELAY, MX_ADDRESSES_MAX, MX_SESSIONS_MAX};
use crate::config::checked::{Config, DaneMode, Egress, TlsFloor, TlsOverride};
use crate::host::clock::wall;
use crate::mail::address::Domain;
use crate::mail::answer::Phase;
use crate::mail::reply::PeerReply;
use crate::mail::trust::{PolicySeen, TlsResult};
use crate::net::broker::words::own_addresses;
use crate::net::egress::EgressError;
use crate::outcome::tlsrpt::Session;
use crate::route::special::Origin;
use crate::route::trust::{
    Barred, Dane, Facts, Sts, Terms, Wish, bases, decide, found, override_of,
};
use crate::route::{self, Addresses, Chosen, Host, MxAnswer, Unroutable};
use crate::service::post::{CarrierId, Desk};
use crate::service::ways::Standstill;
use crate::smtp::client::Settings;

/// Why no host could be used.
#[derive(Clone, Debug)]
pub(super) struct Setback {
    pub(super) phase: Phase,
    pub(super) reply: PeerReply,
    pub(super) relay: String,
    pub(super) egress: String,
}

impl Setback {
    fn new(phase: Phase, reply: PeerReply, relay: &str, egress: &str) -> Self {
        Self { phase, reply, relay: relay.to_owned(), egress: egress.to_owned() }
    }

    /// The class of the reply: 4 or 5.
    pub(super) fn is_permanent(&self) -> bool {
        match self.reply.code {
            0 => self.reply.status.is_some_and(|status| status.class == 5),
            code => code / 100 == 5,
        }
    }

    /// Which of several setbacks is told: one that may pass before one that is for good, or mail
    /// would bounce that another host takes tomorrow; and of these the one that came furthest.
    fn rank(&self) -> (u8, Phase) {
        let class = match (self.phase, self.is_permanent()) {
            (_, true) => 0,
            (Phase::Egress, false) => 1,
            (_, false) => 2,
        };
        (class, self.phase)
    }
}

/// Collects the setbacks of one attempt.
#[derive(Default)]
struct Setbacks(Option<Setback>);

impl Setbacks {
    fn add(&mut self, setback: Setback) {
        if self.0.as_ref().is_none_or(|worst| setback.rank() >= worst.rank()) {
            self.0 = Some(setback);
        }
    }

    fn verdict(self, egress: &str) -> Setback {
        self.0.unwrap_or_else(|| {
            let reply = ours((4, 4, 4), "no host was tried");
            Setback::new(Phase::Routing, reply, "none", egress)
        })
    }
}

/// How an approach ended, if not with a setback.
pub(super) enum Approached {
    /// A host is ready for a transaction.
    Ready(Box<Link>),
    /// The desk wants no connection to this provider now.
    TurnedAway,
    /// This member of the pool may carry nothing to this provider now.
    Barred(Standstill),
}

/// Finds a host of `domain` that is ready for a transaction, by one member of its pool.
pub(super) async fn approach<D: Desk>(
    context: &Context,
    config: &Config,
    domain: &Domain,
    member: &str,
    wish: Wish,
    desk: &D,
    carrier: CarrierId,
) -> Result<Approached, Setback> {
    let Some(chosen) = route::choose(config, domain, member) else {
        let reply = ours((4, 3, 5), "the route names an egress that does not exist");
        return Err(Setback::new(Phase::Routing, reply, "none", "none"));
    };
    let egress = &chosen.egress.name;
    if let Some(cause) = context.egress.suspended(egress) {
        return Err(suspended(&cause, egress));
    }
    // Names and policy are asked for at the same time; a route with hosts of its own has none, and
    // an override lies over it.
    let exception = override_of(&config.trust.overrides, domain, wall());
    let sts = async {
        if chosen.hosts.is_empty() && exception.is_none() {
            context.trust.sts(chosen.egress, domain).await
        } else {
            Sts::Absent
        }
    };
    let (hosts, sts) = tokio::join!(find_hosts(context, &chosen, domain), sts);
    let (hosts, mx_secure) = hosts?;
    let provider = route::provider(&config.providers, &hosts);
    if let Some(provider) = provider {
        desk.provider(domain, provider);
        if !desk.may_connect(carrier) {
            return Ok(Approached::TurnedAway);
        }
    }
    let provider = provider.unwrap_or(domain.as_str());
    if let Some(standstill) = context.ways.bar(egress, provider) {
        return Ok(Approached::Barred(standstill));
    }
    let own = own_addresses(config);
    let mut walk = Walk {
        context,
        egress: chosen.egress,
        domain,
        say: Say {
            floor: chosen.tls,
            exception,
            dane: config.trust.dane,
            mx_secure,
            sts,
            relied: context.trust.relies_on(domain),
            wish,
            own_hosts: chosen.hosts.is_empty(),
        },
        setbacks: Setbacks::default(),
        addresses: MX_ADDRESSES_MAX,
        sessions: MX_SESSIONS_MAX,
    };
    for host in &hosts {
        if walk.addresses == 0 || walk.sessions == 0 {
            break;
        }
        if let Some(mut link) = walk.visit(host, &own).await {
            provider.clone_into(&mut link.provider);
            return Ok(Approached::Ready(Box::new(link)));
        }
    }
    Err(walk.setbacks.verdict(egress))
}

async fn find_hosts(
    context: &Context,
    chosen: &Chosen<'_>,
    domain: &Domain,
) -> Result<(Vec<Host>, bool), Setback> {
    let egress = chosen.egress;
    let mx = if !chosen.hosts.is_empty() {
        Ok(MxAnswer::default())
    } else if let Some(refused) = route::literal_refused(domain) {
        return Err(unroutable(refused, "none", &egress.name));
    } else {
        context.names.mx(egress, domain.as_str()).await
    };
    let secure = mx.as_ref().is_ok_and(|answer| answer.secure);
    let hosts = context.with_chance(|chance| route::hosts(chosen, domain, mx, chance));
    hosts.map(|hosts| (hosts, secure)).map_err(|error| unroutable(error, "none", &egress.name))
}

/// Who has a say in how well a host must be known.
struct Say<'a> {
    floor: TlsFloor,
    exception: Option<&'a TlsOverride>,
    dane: DaneMode,
    /// DNSSEC proved which hosts the domain has.
    mx_secure: bool,
    sts: Sts,
    relied: bool,
    wish: Wish,
    /// The hosts are the domain's own: it may hear how TLS with them goes.
    own_hosts: bool,
}

/// The walk from host to host, with what is left of its bounds.
struct Walk<'a> {
    context: &'a Context,
    egress: &'a Egress,
    domain: &'a Domain,
    say: Say<'a>,
    setbacks: Setbacks,
    addresses: usize,
    sessions: usize,
}

impl Walk<'_> {
    /// Tries one host; `None` with a setback noted if it cannot be used.
    async fn visit(&mut self, host: &Host, own: &[IpAddr]) -> Option<Link> {
        let answer = match host.address {
            Some(address) => Ok(Addresses::one(address)),
            None => self.context.names.addresses(self.egress, &host.name).await,
        };
        let bases = match &answer {
            Ok(found) => bases(self.say.dane, host, self.say.mx_secure, found),
            Err(_) => Vec::new(),
        };
        let stop =
            self.context.with_chance(|chance| route::stop(host, self.egress, own, answer, chance));
        let mut addresses = match stop {
            Ok(stop) => stop.addresses,
            Err(error) => {
                self.setbacks.add(unroutable(error, &host.name, &self.egress.name));
                return None;
            }
        };
        if let Some(setback) = self.leave_out(&mut addresses) {
            self.setbacks.add(setback);
        }
        if addresses.is_empty() {
            return None;
        }
        let terms = match self.terms(host, &bases).await {
            Ok(terms) => terms,
            Err(setback) => {
                self.setbacks.add(setback);
                return None;
            }
        };
        while !addresses.is_empty() && self.addresses > 0 && self.sessions > 0 {
            addresses.truncate(self.addresses);
            let before = addresses.len();
            let (stream, address) = match self.race(host, &mut addresses).await {
                Ok(connected) => connected,
                Err(setback) => {
                    self.addresses -= before - addresses.len();
                    self.setbacks.add(setback);
                    continue;
                }
            };
            self.addresses -= before - addresses.len();
            self.sessions -= 1;
            match self.greet(host, stream, address, &terms).await {
                Ok(link) => return Some(link),
                Err((setback, again)) => {
                    // A host that spoke has spoken for all of its addresses.
                    let spoke = setback.reply.code != 0;
                    self.setbacks.add(setback);
                    if again {
                        addresses.insert(0, address);
                        self.addresses += 1;
                    } else if spoke {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// On which terms the host may be used; asks for its TLSA records if they would count.
    async fn terms(&self, host: &Host, bases: &[String]) -> Result<Terms, Setback> {
        let egress = &self.egress.name;
        let mut dane = Dane::Absent;
        // Under an override nobody asks what the domain publishes.
        let bases = if self.say.exception.is_some() { &[] } else { bases };
        for base in bases {
            let answer = self.context.names.tlsa(self.egress, base, host.port).await;
            let meaning = found(base, host, self.domain.as_str(), answer);
            if let Some(meaning) = meaning.map_err(|cause| suspended(&cause, egress))? {
                dane = meaning;
                break;
            }
        }
        let named = match host.origin {
            Origin::Mx | Origin::Implicit => self.say.mx_secure,
            Origin::RouteName | Origin::RouteAddress => true,
        };
        let facts = Facts {
            host: &host.name,
            floor: self.say.floor,
            exception: self.say.exception,
            dane: &dane,
            sts: &self.say.sts,
            vouched: named,
            relied: self.say.relied,
            wish: self.say.wish,
        };
        decide(&facts).map_err(|Barred { reply, report }| {
            if let Some((policy, result)) = report {
                let failure = Some((result, reply.text().to_owned()));
                self.count(policy, failure, host, None);
            }
            Setback::new(Phase::StartTls, reply, &host.name, egress)
        })
    }

    /// Counts a session for the domain's report.
    fn count(
        &self,
        policy: PolicySeen,
        failure: Option<(TlsResult, String)>,
        host: &Host,
        address: Option<SocketAddr>,
    ) {
        if !self.say.own_hosts {
            return;
        }
        let receiving = address.map(|address| address.ip());
        let sending = match receiving {
            Some(IpAddr::V4(_)) => self.egress.ipv4.map(IpAddr::V4),
            Some(IpAddr::V6(_)) => self.egress.ipv6.map(IpAddr::V6),
            None => None,
        };
        let host = Some(host.name.clone());
        self.context
            .trust
            .count(self.domain, Session { policy, failure, sending, host, receiving });
    }

    /// Leaves out addresses of a family that our own side has lost: no attempt is burnt on them.
    fn leave_out(&self, addresses: &mut Vec<SocketAddr>) -> Option<Setback> {
        let condition = self.context.egress.condition(&self.egress.name)?;
        let mut lost = None;
        addresses.retain(|address| {
            let cause = condition.of(address.ip()).suspended();
            lost = lost.or(cause);
            cause.is_none()
        });
        lost.map(|cause| suspended(cause, &self.egress.name))
    }

    /// Connects to the addresses in turn, each a little after the one before (RFC 8305 section 5);
    /// the first connection wins. Takes the addresses that were tried off the list.
    async fn race(
        &self,
        host: &Host,
        addresses: &mut Vec<SocketAddr>,
    ) -> Result<(TcpStream, SocketAddr), Setback> {
        let wait = self.context.connect_wait;
        let dial = |to: SocketAddr| {
            let (client, egress) = (self.context.egress.clone(), self.egress.name.clone());
            async move { (to, client.connect_tcp(&egress, to, wait).await) }
        };
        let mut setbacks = Setbacks::default();
        // Whoever is still on the way when this ends is called back.
        let mut dialling = JoinSet::new();
        let mut head_start = Duration::ZERO;
        loop {
            let more = !addresses.is_empty();
            let answered = tokio::select! {
                biased;
                Some(Ok(answered)) = dialling.join_next() => answered,
                () = tokio::time::sleep(head_start), if more => {
                    dialling.spawn(dial(addresses.remove(0)));
                    head_start = HAPPY_EYEBALLS_DELAY;
                    continue;
                }
                else => return Err(setbacks.verdict(&self.egress.name)),
            };
            match answered {
                (to, Ok(stream)) => return Ok((stream, to)),
                (to, Err(error)) => {
                    setbacks.add(unconnected(&error, &relay(host, to), &self.egress.name));
                    // Nothing to wait for: the next address begins at once.
                    head_start = Duration::ZERO;
                }
            }
        }
    }

    /// Greeting, EHLO, TLS. The flag: the same address deserves another, more modest handshake.
    async fn greet(
        &self,
        host: &Host,
        stream: TcpStream,
        address: SocketAddr,
        terms: &Terms,
    ) -> Result<Link, (Setback, bool)> {
        let patience = self.context.patience;
        let ehlo = self.egress.ehlo.clone();
        let tls_required = terms.demand.needs_tls();
        let settings = Settings { ehlo, tls_required, patience };
        let relay = relay(host, address);
        let mut link = Link::new(stream, settings, relay.clone(), &self.egress.name);
        link.ear = self.context.tap.delivery(self.domain, &relay, &self.egress.name);
        let tls = Tls { client: &self.context.tls, wait: patience.handshake, terms };
        match link.greet(&host.name, &tls).await {
            Ok(reached) => {
                if let Some(held) = terms.held.clone() {
                    let finding = terms.finding(&reached);
                    let failure = finding.map(|(result, reason)| (result, reason.to_owned()));
                    self.count(held, failure, host, Some(address));
                }
                Ok(link)
            }
            Err(Unusable { phase, reply, stepped_back, report }) => {
                // A handshake that is tried again is no session yet.
                if let (Some((held, result)), false) = (report, stepped_back) {
                    if result == TlsResult::StarttlsNotSupported {
                        self.context.trust.warn(self.domain, &relay);
                    }
                    let failure = Some((result, reply.text().to_owned()));
                    self.count(held, failure, host, Some(address));
                }
                Err((Setback::new(phase, reply, &relay, &self.egress.name), stepped_back))
            }
        }
    }
}

fn relay(host: &Host, address: SocketAddr) -> String {
    format!("{}[{}]:{}", host.name, address.ip(), address.port())
}

fn suspended(cause: &str, egress: &str) -> Setback {
    let reply = ours((4, 4, 1), &format!("egress suspended: {cause}"));
    Setback::new(Phase::Egress, reply, "none", egress)
}

fn unroutable(error: Unroutable, relay: &str, egress: &str) -> Setback {
    match error {
        Unroutable::Reply(reply) => Setback::new(Phase::Routing, reply, relay, egress),
        Unroutable::Suspended(cause) => suspended(&cause, egress),
    }
}

fn unconnected(error: &EgressError, relay: &str, egress: &str) -> Setback {
    match error {
        EgressError::Suspended(cause) => suspended(cause, egress),
        // The broker knows other orders than we do, which passes with the next reload.
        EgressError::NotAllowed(_) => {
            Setback::new(Phase::Routing, ours((4, 3, 5), &error.to_string()), relay, egress)
        }
        EgressError::Refused | EgressError::TimedOut | EgressError::Unreachable(_) => {
            let reply = ours((4, 4, 1), &format!("connect to {relay}: {error}"));
            Setback::new(Phase::Connect, reply, relay, egress)
        }
    }
}
