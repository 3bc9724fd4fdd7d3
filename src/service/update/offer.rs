//! What the server of the configuration offers, asked through the interface for administrators.
//!
//! ```text
//! URL/CHANNEL/manifest.json  manifest.sig.1  manifest.sig.2    what is offered
//! URL/CHANNEL/postern-X.Y.Z.pbu                                the bundle
//! ```
//! The connection is one of the broker's kind, in this process: bound to that interface and to its
//! address, and to nothing else if it is down. HTTPS keeps others from seeing and from offering
//! old releases; whether a release is believed, its signatures alone decide.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::{Desk, Settings};
use crate::base::fault::Fault;
use crate::base::limits::{MX_ADDRESSES_MAX, UPDATE_TIMEOUT};
use crate::base::time::WallTime;
use crate::config::checked::{DaneMode, Egress, Link, TrustConfig, UpdateUrl};
use crate::dns::Names;
use crate::dns::resolver::Resolvers;
use crate::host::clock;
use crate::host::slots::machine::Places;
use crate::host::slots::manage::{addresses, name_servers};
use crate::host::slots::shelf::roots;
use crate::mail::address::Domain;
use crate::net::broker::words::{Orders, Permit};
use crate::net::egress::EgressClient;
use crate::net::https::{Https, HttpsError, Limits, Taker};
use crate::net::tls_client::TlsClient;
use crate::update::bundle::{MANIFEST, signature_name};
use crate::update::judge::judge;
use crate::update::keys::{Proven, Roots, SIGNATURES_MAX, verify};
use crate::update::manifest::{FILE_OCTETS_MAX, MANIFEST_OCTETS_MAX};
use crate::update::version::Version;

/// The name of the one way out in this process.
const MANAGE: &str = "manage";

/// For a manifest or a signature.
const SMALL_WAIT: Duration = Duration::from_secs(60);

/// For a bundle: 200 MiB at 64 kB/s are an hour. What is left of the updater's time is for writing.
const BUNDLE_WAIT: Duration = UPDATE_TIMEOUT.saturating_sub(Duration::from_secs(20 * 60));

/// A server that sends nothing for so long is given up.
const STALL: Duration = Duration::from_secs(60);

/// Octets between two words about progress.
const TELL_OCTETS: u64 = 16 * 1024 * 1024;

/// What a server offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// The running version.
    pub running: Version,
    /// The version that is offered.
    pub version: Version,
    /// It may be taken.
    pub fit: bool,
    /// Why not.
    pub why: Option<String>,
    /// Octets to fetch.
    pub octets: u64,
    /// When it was made.
    pub made: WallTime,
    /// Until when it is offered.
    pub expires: WallTime,
    /// Who signed it.
    pub keys: Vec<String>,
    /// Where it is.
    pub url: UpdateUrl,
}

/// Asks what is offered; writes nothing.
///
/// # Errors
/// There is no server, it does not answer, or what it says is not believed.
pub fn check(places: &Places, settings: &Settings) -> Result<Offer, Fault> {
    let (proven, url) = offered(settings, &roots(&places.keys)?)?;
    let mut silent = |_: &str| {};
    let desk = Desk::open(places, &mut silent)?;
    let judged = judge(&proven, &desk.judge(settings)?, false);
    let manifest = proven.manifest();
    let files = &manifest.files;
    Ok(Offer {
        running: desk.running.version.clone(),
        version: manifest.version.clone(),
        fit: judged.is_ok(),
        why: judged.err().map(|unfit| unfit.to_string()),
        octets: files.uki.octets + files.root.octets + files.verity.octets,
        made: manifest.made,
        expires: manifest.expires,
        keys: proven.keys().iter().map(ToString::to_string).collect(),
        url,
    })
}

/// The URL of the bundle that is offered.
pub(super) fn bundle_url(settings: &Settings, roots: &Roots) -> Result<UpdateUrl, Fault> {
    offered(settings, roots).map(|(_, url)| url)
}

fn offered(settings: &Settings, roots: &Roots) -> Result<(Proven, UpdateUrl), Fault> {
    let updates = &settings.updates;
    let Some(url) = &updates.url else {
        let cause = "the configuration names no server ([updates] url)";
        return Err(Fault::new("asking", "for updates", cause));
    };
    let folder = url.join(&updates.channel);
    block_on(async {
        let way = Way::open(settings, &folder)?;
        let manifest = way.small(&folder.join(MANIFEST), MANIFEST_OCTETS_MAX).await?;
        let mut signatures = Vec::new();
        for number in 1..=SIGNATURES_MAX {
            match way.small(&folder.join(&signature_name(number)), 4096).await {
                Ok(signature) => signatures.push(signature),
                // There are as many as there are.
                Err(_) if number > 1 => break,
                Err(fault) => return Err(fault),
            }
        }
        let proven = verify(&manifest, &signatures, roots)
            .map_err(|refused| Fault::new("believing", &folder, refused))?;
        let name = format!("postern-{}.pbu", proven.manifest().version);
        Ok((proven, folder.join(&name)))
    })
}

/// Fetches a bundle and hands it over as it arrives.
pub(super) fn download(
    settings: &Settings,
    url: &UpdateUrl,
    mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
    tell: &mut impl FnMut(&str),
) -> Result<(), Fault> {
    tell(&format!("fetching {url}"));
    let mut stopped = None;
    let fetched = block_on(async {
        let way = Way::open(settings, url)?;
        let mut octets = 0;
        let mut pour = |piece: &[u8]| {
            let before = octets;
            octets += piece.len() as u64;
            if before / TELL_OCTETS != octets / TELL_OCTETS {
                tell(&format!("fetched {} MiB", octets >> 20));
            }
            take(piece).map_err(|fault| {
                let why = fault.to_string();
                stopped = Some(fault);
                why
            })
        };
        way.large(url, &mut pour).await
    });
    match stopped {
        Some(fault) => Err(fault),
        None => fetched,
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|cause| Fault::new("starting", "a runtime", cause))?;
    runtime.block_on(work)
}

/// The way to the server.
struct Way {
    sockets: EgressClient,
    egress: Egress,
    names: Resolvers,
    tls: TlsClient,
}

impl Way {
    fn open(settings: &Settings, url: &UpdateUrl) -> Result<Self, Fault> {
        let Some(device) = &settings.manage else {
            let cause = "the configuration names no interface for administrators";
            return Err(Fault::new("asking", url, cause));
        };
        let (ipv4, ipv6) = addresses(device)?;
        let loopback = if settings.lab { "127.0.0.0/8".parse().ok() } else { None };
        let ehlo = Domain::parse("updates.invalid")
            .map_err(|cause| Fault::new("naming", "the way to updates", cause))?;
        let egress = Egress {
            name: MANAGE.to_owned(),
            device: Some(device.clone()),
            ipv4,
            ipv6,
            ehlo,
            resolvers: name_servers(Path::new("/etc/resolv.conf")),
            allow_networks: loopback.into_iter().collect(),
            mx_port: url.port,
            https_port: url.port,
            link: Link::default(),
            warm_up: None,
        };
        // A server of the site may have a private address.
        let permits = vec![Permit { address: None, port: url.port }];
        let orders = Orders { egresses: vec![egress.clone()], permits, own: Vec::new() };
        let sockets = EgressClient::in_process(orders);
        let trust = TrustConfig { dane: DaneMode::Off, ..TrustConfig::default() };
        let names = Resolvers::new(sockets.clone(), &trust)?;
        let tls = TlsClient::new(settings.updates.roots.as_deref())?;
        Ok(Self { sockets, egress, names, tls })
    }

    async fn addresses(&self, url: &UpdateUrl) -> Result<Vec<SocketAddr>, Fault> {
        let at = |address: IpAddr| SocketAddr::new(address, url.port);
        if let Ok(address) = url.host.parse::<IpAddr>() {
            return Ok(vec![at(address)]);
        }
        let found = self.names.addresses(&self.egress, &url.host).await;
        let found =
            found.map_err(|error| Fault::new("looking up", &url.host, format!("{error:?}")))?;
        let v6 = found.v6.into_iter().map(IpAddr::V6).filter(|_| self.egress.ipv6.is_some());
        let v4 = found.v4.into_iter().map(IpAddr::V4).filter(|_| self.egress.ipv4.is_some());
        Ok(v6.chain(v4).take(MX_ADDRESSES_MAX).map(at).collect())
    }

    fn https(&self) -> Https<'_> {
        let (sockets, tls) = (&self.sockets, &self.tls);
        Https { sockets, egress: MANAGE, tls, now: clock::now() }
    }

    async fn small(&self, url: &UpdateUrl, octets_max: usize) -> Result<Vec<u8>, Fault> {
        let addresses = self.addresses(url).await?;
        let limits = Limits { octets_max, wait: SMALL_WAIT };
        let response = self.https().get(&url.host, &addresses, &url.path, limits).await;
        response.map(|response| response.body.to_vec()).map_err(|error| failed(url, &error))
    }

    async fn large(&self, url: &UpdateUrl, take: &mut Taker<'_>) -> Result<(), Fault> {
        let addresses = self.addresses(url).await?;
        let octets_max = usize::try_from(FILE_OCTETS_MAX).unwrap_or(usize::MAX);
        let limits = (Limits { octets_max, wait: BUNDLE_WAIT }, STALL);
        let fetched = self.https().fetch(&url.host, &addresses, &url.path, limits, take).await;
        fetched.map(drop).map_err(|error| failed(url, &error))
    }
}

fn failed(url: &UpdateUrl, error: &HttpsError) -> Fault {
    Fault::new("fetching", url, error)
}
