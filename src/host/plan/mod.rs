//! The plan: what the ways out need of the system, as text, from the one configuration.
//!
//! ```text
//! checked::Config ─► Plan ─┬─► networkd.rs  .network, .netdev, networkd.conf.d
//!                          ├─► sysctl.rs    sysctl.d
//!                          ├─► nftables.rs  the guard, and the unit that loads it
//!                          ├─► shell.rs     the same as commands
//!                          ├─► kernel.rs    what the running kernel lacks of it
//!                          └─► whole.rs     the rest of a machine that is ours alone: faces.rs,
//!                                           time.rs, listeners.rs
//! ```
//!
//! Each egress has a table of its own with an `unreachable` at its end, a rule by source that leads
//! there, and a guard that knows user, interface and source: measured over link, route and address
//! states, no smaller set of these is free of leaks.
//!
//! **Invariant:** the same configuration gives the same text, and nothing here touches the system
//! but `kernel.rs`, which only looks.

mod faces;
pub mod kernel;
pub(in crate::host) mod listeners;
mod networkd;
mod nftables;
pub(in crate::host) mod rules;
mod shell;
mod sysctl;
mod time;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use crate::config::checked::{BondMode, Config, Egress, Interface, RouteHost};

pub use faces::closed;
pub use time::ROOTS;
use whole::Whole;
pub use whole::{GUARD, NAMES, SYSCTL, TIME, shut_files, units_of};

/// The table of the first egress is this plus one; below 253 nothing else is reserved.
const TABLE_BASE: u32 = 100;
/// Priorities of the rules by source: before `main` (32766).
const SOURCE_PRIORITY_BASE: u32 = 1000;
/// Priorities of the rules by interface, for sockets that have no source yet.
const DEVICE_PRIORITY_BASE: u32 = 2000;
/// The worst metric that a route can have.
const METRIC_LAST: u32 = u32::MAX;

/// A file of the plan.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct File {
    /// From the root of the system, without the first slash.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

/// In which form a plan is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// systemd-networkd's files and sysctl.d.
    Networkd,
    /// The guard and its unit.
    Nftables,
    /// All files.
    Files,
    /// One script.
    Shell,
    /// Everything that a machine needs which is ours alone, below /run.
    Whole,
}

/// One family of an egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    address: IpAddr,
    prefix: Option<u8>,
    gateway: Option<IpAddr>,
}

/// A way out, as the system sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outlet {
    /// `egress main` or `interface manage0`.
    whose: String,
    name: String,
    /// From 1, in the order of the document.
    number: u32,
    device: String,
    sides: Vec<Side>,
    resolvers: Vec<SocketAddr>,
    mx_port: u16,
    https_port: u16,
    /// Something else ends every search, so its table is for its own families alone.
    ends_elsewhere: bool,
}

/// An interface that the plan is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Device {
    /// Indices of the egresses on it.
    outlets: Vec<usize>,
    /// It is this VLAN of another interface.
    vlan: Option<(String, u16)>,
    /// It is a bond.
    bond: Option<BondMode>,
    /// Largest packet.
    mtu: Option<u32>,
    /// VLANs on it.
    carries: BTreeSet<String>,
    /// The bond that it belongs to.
    master: Option<String>,
    /// It has another part to play, and a file of its own.
    foreign: bool,
}

/// A route of configured hosts that the guard lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Partner {
    address: Option<IpAddr>,
    port: u16,
}

/// An interface through which applications submit, and the ports of its listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Intake {
    device: String,
    ports: BTreeSet<u16>,
}

/// What the ways out need of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    outlets: Vec<Outlet>,
    devices: BTreeMap<String, Device>,
    partners: BTreeSet<Partner>,
    intakes: Vec<Intake>,
    manage: Vec<String>,
    public: Vec<String>,
    listener_ports: BTreeSet<u16>,
    user: String,
    /// The rest of the machine; none where others look after it.
    whole: Option<Whole>,
    /// What the configuration does not say, so that the plan has gaps.
    pub notes: Vec<String>,
}

impl Plan {
    /// The plan of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        // The health gate's parts lie on loopback, which every guard lets pass.
        let config = &*config.outward();
        let mut plan = Self {
            outlets: Vec::new(),
            devices: BTreeMap::new(),
            partners: partners(config),
            intakes: intakes(config),
            manage: config.network.manage.clone(),
            public: config.network.public.clone(),
            listener_ports: config.listeners.iter().map(|l| l.address.port()).collect(),
            user: config.network.egress_user().to_owned(),
            whole: None,
            notes: Vec::new(),
        };
        for (egress, number) in config.egresses.iter().zip(1_u32..) {
            plan.add(egress, number);
        }
        plan.describe(&config.network.interfaces);
        plan.mark_foreign();
        plan
    }

    /// The plan of a machine that is ours alone: every interface is in it, and what is not in it
    /// stays shut. `chrony` is the user that asks for the time, if the machine has one.
    #[must_use]
    pub fn whole(config: &Config, chrony: Option<u32>) -> Self {
        let mut plan = Self::of(config);
        whole::extend(&mut plan, config, chrony);
        plan
    }

    /// Whether there is nothing to plan: no egress has an interface.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outlets.is_empty()
    }

    /// The files of one form.
    #[must_use]
    pub fn files(&self, form: Form) -> Vec<File> {
        let networkd = || networkd::files(self).into_iter().chain([sysctl::file(self)]);
        match form {
            Form::Networkd => networkd().collect(),
            Form::Nftables => nftables::files(self),
            Form::Files => networkd().chain(nftables::files(self)).collect(),
            Form::Shell => vec![File { path: "postern-plan.sh".into(), text: shell::script(self) }],
            Form::Whole => whole::files(self),
        }
    }

    fn add(&mut self, egress: &Egress, number: u32) {
        let Some(device) = egress.device.clone() else {
            let name = &egress.name;
            self.notes.push(format!("egress {name} has no device: nothing can be planned for it"));
            return;
        };
        let link = &egress.link;
        let v4 = egress.ipv4.map(|address| Side {
            address: address.into(),
            prefix: link.prefix4,
            gateway: link.gateway4.map(IpAddr::V4),
        });
        let v6 = egress.ipv6.map(|address| Side {
            address: address.into(),
            prefix: link.prefix6,
            gateway: link.gateway6.map(IpAddr::V6),
        });
        let sides: Vec<Side> = v4.into_iter().chain(v6).collect();
        for side in &sides {
            self.notes.extend(side.gap(&egress.name));
        }
        let index = self.outlets.len();
        let entry = self.devices.entry(device.clone()).or_default();
        entry.outlets.push(index);
        if let Some(vlan) = &link.vlan {
            entry.vlan = Some((vlan.parent.clone(), vlan.id));
            let parent = self.devices.entry(vlan.parent.clone()).or_default();
            parent.carries.insert(device.clone());
        }
        if !link.bond.is_empty() {
            let bond = link.vlan.as_ref().map_or(&device, |vlan| &vlan.parent).clone();
            self.devices.entry(bond.clone()).or_default().bond = Some(BondMode::default());
            for member in &link.bond {
                self.devices.entry(member.clone()).or_default().master = Some(bond.clone());
            }
        }
        self.outlets.push(Outlet {
            whose: format!("egress {}", egress.name),
            name: egress.name.clone(),
            number,
            device,
            sides,
            resolvers: egress.resolvers.clone(),
            mx_port: egress.mx_port,
            https_port: egress.https_port,
            ends_elsewhere: false,
        });
    }

    /// What the sections of the interfaces say beside their addresses.
    fn describe(&mut self, interfaces: &[Interface]) {
        for interface in interfaces {
            let bond = interface
                .vlan
                .as_ref()
                .map_or_else(|| interface.name.clone(), |(below, _)| below.device());
            if let Some(device) = self.devices.get_mut(&bond).filter(|d| d.bond.is_some()) {
                device.bond = Some(interface.bond_mode);
            }
            if let Some(device) = self.devices.get_mut(&interface.name) {
                device.mtu = interface.mtu;
            }
            // What lies below must carry what lies above.
            let below: Vec<&mut Device> = self
                .devices
                .iter_mut()
                .filter(|(name, device)| **name == bond || device.master.as_ref() == Some(&bond))
                .map(|(_, device)| device)
                .collect();
            for device in below {
                device.mtu = device.mtu.max(interface.mtu);
            }
        }
    }

    /// An interface below a VLAN may have a part of its own; its file is not ours to write.
    fn mark_foreign(&mut self) {
        let others: Vec<&String> = self.intakes.iter().map(|intake| &intake.device).collect();
        let mut notes = Vec::new();
        for (name, device) in &mut self.devices {
            let role = others.contains(&name) || self.manage.contains(name);
            if role && device.outlets.is_empty() {
                device.foreign = true;
                for vlan in &device.carries {
                    notes.push(format!("add VLAN={vlan} to the .network file of {name} yourself"));
                }
            }
        }
        self.notes.extend(notes);
    }

    /// Addresses of one family of all egresses.
    fn sources(&self, v6: bool) -> Vec<IpAddr> {
        let sides = self.outlets.iter().flat_map(|outlet| &outlet.sides);
        sides.map(|side| side.address).filter(|address| address.is_ipv6() == v6).collect()
    }

    /// Interfaces that mail leaves by, with the egresses on each.
    fn ways(&self) -> impl Iterator<Item = (&String, Vec<&Outlet>)> {
        let outlets =
            |device: &Device| device.outlets.iter().filter_map(|i| self.outlets.get(*i)).collect();
        let used = self.devices.iter().filter(|(_, device)| !device.outlets.is_empty());
        used.map(move |(name, device)| (name, outlets(device)))
    }
}

impl Outlet {
    fn table(&self) -> u32 {
        TABLE_BASE + self.number
    }

    fn source_priority(&self) -> u32 {
        SOURCE_PRIORITY_BASE + self.number
    }

    fn device_priority(&self) -> u32 {
        DEVICE_PRIORITY_BASE + self.number
    }

    /// Families whose local network is known.
    fn whole_sides(&self) -> impl Iterator<Item = (Side, IpNet)> {
        self.sides.iter().filter_map(|side| Some((*side, side.network()?)))
    }
}

impl Side {
    /// The address with its prefix; none if that is not known.
    fn network(&self) -> Option<IpNet> {
        IpNet::new(self.address, self.prefix?).ok()
    }

    /// What the configuration does not say.
    fn gap(&self, egress: &str) -> Option<String> {
        let (key, gateway) =
            if self.address.is_ipv4() { ("ipv4", "gateway4") } else { ("ipv6", "gateway6") };
        let address = self.address;
        match (self.prefix, self.gateway) {
            (None, _) => Some(format!(
                "egress {egress}: the prefix of {key} is not known, so address, routes and rules \
                 are left to you: write {key} = \"{address}/LENGTH\" and {gateway}"
            )),
            (Some(_), None) => Some(format!(
                "egress {egress}: without {gateway} only its own network can be reached"
            )),
            _ => None,
        }
    }
}

/// Destinations of routes, at ports of their own.
fn partners(config: &Config) -> BTreeSet<Partner> {
    let hosts = config.routes.iter().flat_map(|route| &route.hosts);
    let partner = |(host, port): &(RouteHost, u16)| Partner {
        address: match host {
            RouteHost::Address(address) => Some(*address),
            RouteHost::Name(_) => None,
        },
        port: *port,
    };
    hosts.map(partner).collect()
}

/// The interfaces of applications: as the document says, else those of the listeners.
fn intakes(config: &Config) -> Vec<Intake> {
    let mut devices = config.network.intake.clone();
    if devices.is_empty() {
        devices.extend(config.listeners.iter().filter_map(|listener| listener.device.clone()));
        devices.sort_unstable();
        devices.dedup();
    }
    let ports = |device: &String| {
        let here = config
            .listeners
            .iter()
            .filter(|listener| listener.device.as_ref().is_none_or(|bound| bound == device));
        here.map(|listener| listener.address.port()).collect()
    };
    devices.iter().map(|device| Intake { device: device.clone(), ports: ports(device) }).collect()
}

/// A page of a file: every line with its reason above.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    /// A line, and why it stands there.
    fn because(&mut self, reason: &str, line: &str) {
        self.comment(reason);
        self.line(line);
    }

    /// A comment, indented like the line that follows it.
    fn comment(&mut self, text: &str) {
        self.line(&format!("# {text}"));
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn head(&mut self, what: &str) {
        self.comment(&format!("{what}, as Postern writes it. Do not edit: change"));
        self.comment("/etc/postern/postern.toml and write the plan again.");
    }
}
