//! The rest of a machine that is ours alone: interfaces that are no way out, names of cards,
//! listening sockets, time. What is not in the document stays down and shut.
//!
//! Its files lie below /run: they are written again at every start, and a document that is taken
//! back leaves nothing behind.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use super::{Device, File, Form, Intake, Outlet, Page, Plan, Side, listeners, networkd, nftables};
use super::{sysctl, time};
use crate::config::checked::{
    Config, Hardware, Interface, Ipv4Way, Ipv6Way, Link, Listener, Role, TimeConfig,
};

/// Where the guard stands.
pub const GUARD: &str = "run/postern-host/guard.nft";
/// Where the settings of the kernel stand; udev applies them to interfaces that come later.
pub const SYSCTL: &str = "run/sysctl.d/60-postern.conf";
/// What chrony reads beside its own file.
pub const TIME: &str = "run/chrony.d/postern.conf";
/// Name servers for the machine itself; /etc/resolv.conf leads here.
pub const NAMES: &str = "run/postern-network/resolv.conf";
/// Units and their order.
pub(super) const UNITS: &str = "run/systemd/system";

/// Faces are numbered after the ways out: their tables begin here.
const FACE_NUMBER_BASE: u32 = 300;

/// What a plan of the whole machine has beside the ways out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// Interfaces with another part than egress, in the order of the document.
    pub(super) faces: Vec<Face>,
    /// Cards, and the names that they get.
    pub(super) names: Vec<(Hardware, String)>,
    pub(super) listeners: Vec<Listener>,
    pub(super) time: TimeConfig,
    /// The user that asks for the time.
    pub(super) chrony: Option<u32>,
    /// SSH is let in by interfaces for administrators.
    pub(super) ssh: bool,
}

/// How an interface hears of its IPv6 address, if it is not written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Slaac,
    Dhcp,
}

/// An interface that is no way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Face {
    /// Written addresses, table and rules, as a way out has them.
    pub(super) outlet: Outlet,
    /// For administrators.
    pub(super) manage: bool,
    /// Its IPv4 address is a lease.
    pub(super) dhcp4: bool,
    pub(super) heard6: Option<Heard>,
    pub(super) dns: Vec<IpAddr>,
    /// Ports that are served here.
    pub(super) ports: BTreeSet<u16>,
}

impl Face {
    /// The interface.
    pub(super) fn device(&self) -> &str {
        &self.outlet.device
    }

    pub(super) fn speaks_v4(&self) -> bool {
        self.dhcp4 || self.outlet.sides.iter().any(|side| side.address.is_ipv4())
    }

    pub(super) fn speaks_v6(&self) -> bool {
        self.heard6.is_some() || self.outlet.sides.iter().any(|side| side.address.is_ipv6())
    }

    /// Whether an address is not known before there is a link.
    pub(super) fn is_leased(&self) -> bool {
        self.dhcp4 || self.heard6.is_some()
    }

    /// Whether name servers come with a lease, because none are written down.
    pub(super) fn asks_for_names(&self) -> bool {
        self.manage && self.dns.is_empty() && self.is_leased()
    }
}

impl Whole {
    /// The interface that the machine's own affairs go by: time, updates, names for both.
    pub(super) fn manage(&self) -> Option<&Face> {
        self.faces.iter().find(|face| face.manage)
    }

    /// Users with affairs of their own: root, and who asks for the time.
    pub(super) fn users(&self) -> Vec<u32> {
        [0].into_iter().chain(self.chrony.filter(|uid| *uid != 0)).collect()
    }
}

impl Plan {
    /// The interface `name`, if it is no way out.
    pub(super) fn face(&self, name: &str) -> Option<&Face> {
        self.whole.as_ref()?.faces.iter().find(|face| face.device() == name)
    }
}

impl Plan {
    /// Cards, and the names that they get.
    pub(in crate::host) fn cards(&self) -> &[(Hardware, String)] {
        self.whole.as_ref().map_or(&[], |whole| &whole.names)
    }

    /// Whether an interface has a part, or is below one that has.
    pub(in crate::host) fn knows(&self, name: &str) -> bool {
        self.devices.contains_key(name)
    }

    /// Settings of the kernel: path below /proc/sys, and value.
    pub(in crate::host) fn settings(&self) -> Vec<(String, String)> {
        let all = sysctl::settings(self).into_iter();
        all.map(|setting| (setting.key, setting.value.to_string())).collect()
    }

    /// Interfaces whose addresses are all written down, and these addresses.
    pub(in crate::host) fn written_addresses(&self) -> Vec<(String, Vec<IpAddr>)> {
        let addresses = |outlets: &[&Outlet]| {
            outlets.iter().flat_map(|outlet| &outlet.sides).map(|side| side.address).collect()
        };
        let ways = self.ways().filter(|(name, _)| self.face(name).is_none());
        let ways = ways.map(|(name, outlets)| (name.clone(), addresses(&outlets)));
        let faces = self.whole.iter().flat_map(|whole| &whole.faces);
        let way = |name: &str| self.devices.get(name).is_some_and(|d| !d.outlets.is_empty());
        let faces = faces.filter(|face| !face.is_leased() && !way(face.device()));
        ways.chain(faces.map(|f| (f.device().to_owned(), addresses(&[&f.outlet])))).collect()
    }
}

/// What networkd is told on a machine without a document: every card stays down.
#[must_use]
pub fn shut_files() -> Vec<File> {
    networkd::shut_files(networkd::Unassigned::Look).into_iter().map(moved).collect()
}

/// Adds the rest of the machine to a plan of the ways out.
pub(super) fn extend(plan: &mut Plan, config: &Config, chrony: Option<u32>) {
    let network = &config.network;
    plan.notes.retain(|note| !note.contains("yourself"));
    let mut whole = Whole {
        faces: Vec::new(),
        names: Vec::new(),
        listeners: config.listeners.clone(),
        time: network.time.clone(),
        chrony,
        ssh: network.ssh,
    };
    for (interface, number) in network.interfaces.iter().zip(FACE_NUMBER_BASE + 1..) {
        name_cards(&mut whole, interface);
        if interface.role != Role::Egress {
            build(plan, interface);
            whole.faces.push(face(plan, interface, number));
        }
    }
    plan.describe(&network.interfaces);
    for device in plan.devices.values_mut() {
        device.foreign = false;
    }
    for outlet in &mut plan.outlets {
        outlet.ends_elsewhere = true;
    }
    let lists = [("manage", &plan.manage), ("public", &plan.public)];
    let named = lists.into_iter().flat_map(|(part, list)| list.iter().map(move |d| (part, d)));
    let intakes = plan.intakes.iter().map(|intake| ("intake", &intake.device));
    let mut notes = Vec::new();
    for (part, device) in named.chain(intakes) {
        let described = network.interfaces.iter().any(|i| i.name == *device);
        let way = plan.devices.get(device).is_some_and(|d| !d.outlets.is_empty());
        if !described && !way {
            notes.push(format!("{device} is for {part} and stays down: add [interface.{device}]"));
        }
    }
    if whole.faces.iter().all(|face| !face.manage) {
        notes.push("no interface has role = \"manage\": no time, no updates".to_owned());
    }
    plan.notes.extend(notes);
    plan.whole = Some(whole);
}

/// What an interface is made of, in the plan's own terms.
fn build(plan: &mut Plan, interface: &Interface) {
    let mut own = interface.name.clone();
    let device = plan.devices.entry(own.clone()).or_default();
    if let Some((parent, id)) = &interface.vlan {
        let parent = parent.device();
        device.vlan = Some((parent.clone(), *id));
        plan.devices.entry(parent.clone()).or_default().carries.insert(own);
        own = parent;
    }
    if !interface.bond.is_empty() {
        plan.devices.entry(own.clone()).or_default().bond = Some(interface.bond_mode);
        for member in &interface.bond {
            plan.devices.entry(member.device()).or_default().master = Some(own.clone());
        }
    }
}

/// Cards of an interface, and their names.
fn name_cards(whole: &mut Whole, interface: &Interface) {
    let own = interface.hardware.iter().map(|card| (card.clone(), interface.name.clone()));
    let below = interface.vlan.iter().map(|(parent, _)| parent).chain(&interface.bond);
    let below = below.map(|card| (card.clone(), card.device()));
    for (card, name) in own.chain(below) {
        let already = matches!(&card, Hardware::Name(known) if *known == name);
        if !already && !whole.names.iter().any(|(known, _)| *known == card) {
            whole.names.push((card, name));
        }
    }
}

fn face(plan: &Plan, interface: &Interface, number: u32) -> Face {
    let (mut sides, mut link) = (Vec::new(), Link::default());
    if let Some(Ipv4Way::Fixed(net)) = interface.ipv4 {
        link.prefix4 = Some(net.prefix_len());
        sides.push(Side {
            address: net.addr().into(),
            prefix: link.prefix4,
            gateway: interface.gateway4.map(IpAddr::V4),
        });
    }
    if let Some(Ipv6Way::Fixed(net)) = interface.ipv6 {
        sides.push(Side {
            address: net.addr().into(),
            prefix: Some(net.prefix_len()),
            gateway: interface.gateway6.map(IpAddr::V6),
        });
    }
    let name = &interface.name;
    let intake = |intake: &&Intake| intake.device == *name;
    let mut ports: BTreeSet<u16> =
        plan.intakes.iter().find(intake).map_or_else(BTreeSet::new, |i| i.ports.clone());
    if plan.public.contains(name) {
        ports.extend(nftables::PUBLIC_PORTS);
    }
    Face {
        outlet: Outlet {
            whose: format!("interface {name}"),
            name: name.clone(),
            number,
            device: name.clone(),
            sides,
            resolvers: Vec::new(),
            mx_port: 0,
            https_port: 0,
            ends_elsewhere: true,
        },
        manage: plan.manage.contains(name),
        dhcp4: interface.ipv4 == Some(Ipv4Way::Dhcp),
        heard6: match interface.ipv6 {
            Some(Ipv6Way::Slaac) => Some(Heard::Slaac),
            Some(Ipv6Way::Dhcp) => Some(Heard::Dhcp),
            Some(Ipv6Way::Fixed(_)) | None => None,
        },
        dns: interface.dns.clone(),
        ports,
    }
}

/// All files of the machine, below /run.
pub(super) fn files(plan: &Plan) -> Vec<File> {
    let Some(whole) = &plan.whole else { return plan.files(Form::Files) };
    let mut files: Vec<File> = networkd::files(plan).into_iter().map(moved).collect();
    files.push(File { path: SYSCTL.into(), text: sysctl::file(plan).text });
    files.push(File { path: GUARD.into(), text: nftables::guard(plan) });
    files.push(File { path: TIME.into(), text: time::sources(whole) });
    files.extend(time::roots(whole));
    files.extend(names(whole));
    files.extend(listeners::units(plan, whole));
    files
}

/// The same file where the next start forgets it.
fn moved(file: File) -> File {
    let below = file.path.strip_prefix("etc").map(|rest| Path::new("run").join(rest));
    File { path: below.unwrap_or(file.path), text: file.text }
}

/// Name servers for the machine's own affairs: as written, or as the lease says.
fn names(whole: &Whole) -> Vec<File> {
    let mut page = Page::default();
    page.head("Name servers for time and updates");
    for server in whole.faces.iter().filter(|face| face.manage).flat_map(|face| &face.dns) {
        page.line(&format!("nameserver {server}"));
    }
    let mut files = vec![File { path: NAMES.into(), text: page.0 }];
    if whole.faces.iter().any(Face::asks_for_names) {
        files.extend(listeners::lease_units());
    }
    files
}

/// Units among `files`, by name.
pub fn units_of<'f>(files: impl IntoIterator<Item = &'f File>) -> Vec<&'f str> {
    let unit = |file: &'f File| {
        let name = file.path.strip_prefix(UNITS).ok()?.to_str()?;
        (!name.contains('/')).then_some(name)
    };
    files.into_iter().filter_map(unit).collect()
}

/// Whether a device is only a part of others.
pub(super) fn only_below(plan: &Plan, name: &str, device: &Device) -> bool {
    device.outlets.is_empty() && !device.foreign && plan.face(name).is_none()
}
