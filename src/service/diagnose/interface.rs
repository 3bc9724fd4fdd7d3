//! A diagnosis by an interface that is no way out: done by a unit of its own, because the host role
//! has no network. What is to be tried is written down for it, the answer lies beside that.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Outlook;
use crate::base::fault::Fault;
use crate::config::checked::{Config, Egress, Interface, Link};
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::diagnose::{Diagnosis, Test};
use crate::control::office::Done;
use crate::dns::resolver::Resolvers;
use crate::host::durable::{Readers, replace};
use crate::host::facts;
use crate::host::paths::Paths;
use crate::host::plan::NAMES;
use crate::net::broker::words::{Orders, Permit};
use crate::net::egress::EgressClient;

/// Octets of an errand.
const ERRAND_OCTETS_MAX: u64 = 4096;

/// The port of name servers and of HTTPS, the only ones that the guard lets out besides pings.
const DNS_PORT: u16 = 53;
const HTTPS_PORT: u16 = 443;

/// What is to be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errand {
    /// What.
    pub test: Test,
    /// By which interface.
    pub role: String,
    /// To whom.
    pub target: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// The diagnosis.
    Diagnosed(Diagnosis),
    /// Why there is none.
    Trouble(Trouble),
}

/// Does the errand that is written down below `root`; the answer goes beside it.
#[must_use]
pub fn run(root: &Path) -> ExitCode {
    let paths = Paths::below(root);
    let path = paths.diagnose_request();
    let errand = read(&path);
    // It is done once, however it ends.
    let _gone = fs::remove_file(&path);
    let found = errand.map_err(Trouble::from).and_then(|errand| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Trouble::new(TroubleKind::Fault, e.to_string()))?;
        let config = document(&paths)?;
        runtime.block_on(by_interface(&config, &names(&paths), &errand))
    });
    let found = found.map_or_else(Found::Trouble, Found::Diagnosed);
    let text = serde_json::to_string(&found).unwrap_or_default() + "\n";
    match replace(&paths.diagnose_answer(), text.as_bytes(), Readers::Owner) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("postern: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> Result<Errand, Fault> {
    let fault = |cause: String| Fault::new("reading", path.display(), cause);
    let length = fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
    if length > ERRAND_OCTETS_MAX {
        return Err(fault("it is too long".to_owned()));
    }
    let octets = fs::read(path).map_err(|error| fault(error.to_string()))?;
    serde_json::from_slice(&octets).map_err(|error| fault(error.to_string()))
}

fn document(paths: &Paths) -> Done<Config> {
    let text = fs::read_to_string(paths.document()).map_err(|error| {
        let text = format!("{}: {error}", paths.document().display());
        Trouble::new(TroubleKind::NotFound, text)
    })?;
    let reading = crate::config::read(&text, &crate::config::Anywhere).map_err(|complaints| {
        let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        Trouble::new(TroubleKind::Conflict, lines.join("\n"))
    })?;
    Ok(reading.config)
}

/// Name servers for the machine itself, as the document or the lease says.
fn names(paths: &Paths) -> Vec<IpAddr> {
    let text = fs::read_to_string(paths.at("/").join(NAMES)).unwrap_or_default();
    let server = |line: &str| line.strip_prefix("nameserver ")?.trim().parse().ok();
    text.lines().filter_map(server).collect()
}

/// Does a test by an interface, in this process. `machine` are the name servers for the machine
/// itself, which an interface for administrators without any of its own asks.
///
/// # Errors
/// There is no such interface, or this test is not done by it.
pub async fn by_interface(config: &Config, machine: &[IpAddr], errand: &Errand) -> Done<Diagnosis> {
    let Errand { test, role, target } = errand;
    if *test == Test::Smtp {
        let text = format!("{role} never carries mail: name an egress to try a host's port 25");
        return Err(Trouble::new(TroubleKind::Invalid, text));
    }
    let interface = config.network.interfaces.iter().find(|known| known.name == *role);
    let interface = interface.ok_or_else(|| unknown(config, role))?;
    let egress = as_way(config, interface, machine)?;
    let orders = Orders {
        permits: vec![Permit { address: None, port: HTTPS_PORT }],
        egresses: vec![egress.clone()],
        own: Vec::new(),
    };
    let client = EgressClient::in_process(orders);
    let names = Resolvers::new(client.clone(), &config.trust)?;
    let (egress, names) = (&egress, &names);
    let outlook =
        Outlook { config, egress, client: &client, names, trust: None, role: role.clone() };
    outlook.run(*test, target).await
}

/// Who can be asked for.
fn unknown(config: &Config, role: &str) -> Trouble {
    let interfaces = config.network.interfaces.iter().map(|interface| interface.name.as_str());
    let egresses = config.egresses.iter().map(|egress| egress.name.as_str());
    let all: Vec<&str> = egresses.chain(interfaces).collect();
    let text = format!(
        "{:?} is neither an egress nor an interface; there are {}",
        crate::event::harmless(role),
        all.join(", ")
    );
    Trouble::new(TroubleKind::NotFound, text)
}

/// The interface as if it were a way out: bound to it and to its own address, asking its own
/// servers.
fn as_way(config: &Config, interface: &Interface, machine: &[IpAddr]) -> Done<Egress> {
    let name = &interface.name;
    let addresses = facts::addresses(name);
    let v4 = addresses.iter().find_map(|address| match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    });
    let v6 = addresses.iter().find_map(|address| match address {
        IpAddr::V6(v6) => Some(*v6),
        IpAddr::V4(_) => None,
    });
    if v4.is_none() && v6.is_none() {
        let text = format!("{name} has no address: see its cable, and the lease if it has one");
        return Err(Trouble::new(TroubleKind::Conflict, text));
    }
    let own = interface.dns.iter();
    let manage = config.network.manage.contains(name) && interface.dns.is_empty();
    let servers = own.chain(machine.iter().filter(|_| manage));
    let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse::<IpNet>().ok());
    Ok(Egress {
        name: name.clone(),
        device: Some(name.clone()),
        ipv4: v4,
        ipv6: v6,
        ehlo: config.hostname.clone(),
        resolvers: servers.map(|server| SocketAddr::new(*server, DNS_PORT)).collect(),
        allow_networks: everywhere.collect(),
        mx_port: 25,
        https_port: HTTPS_PORT,
        link: Link::default(),
        warm_up: None,
    })
}
