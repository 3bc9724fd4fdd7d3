//! What an egress needs of the system beside its name and addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{Interface, TimeConfig};

/// The local network of an egress. What is missing is not part of the plan for the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Prefix length of the IPv4 address (`ipv4 = "192.0.2.25/24"`).
    pub prefix4: Option<u8>,
    /// Prefix length of the IPv6 address.
    pub prefix6: Option<u8>,
    /// IPv4 gateway (`gateway4`).
    pub gateway4: Option<Ipv4Addr>,
    /// IPv6 gateway (`gateway6`).
    pub gateway6: Option<Ipv6Addr>,
    /// The device is a VLAN on top of another interface.
    pub vlan: Option<Vlan>,
    /// The device is a bond of these interfaces; with `vlan`, the interface below is.
    pub bond: Vec<String>,
}

/// A VLAN (IEEE 802.1Q).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlan {
    /// The interface below.
    pub parent: String,
    /// Its number, 1 to 4094.
    pub id: u16,
}

/// The parts that other interfaces play, for the plan for the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NetworkConfig {
    /// Interfaces for administrators: console over the network, time, updates. Never mail.
    pub manage: Vec<String>,
    /// Interfaces that applications submit through; those of the listeners if none are named.
    pub intake: Vec<String>,
    /// Interfaces that the Internet may reach.
    pub public: Vec<String>,
    /// The user that the broker runs as.
    pub egress_user: Option<String>,
    /// Interfaces of a whole machine, in the order of the document; none: others look after them.
    pub interfaces: Vec<Interface>,
    /// Whether administrators' interfaces let SSH in, on an image that has it.
    pub ssh: bool,
    /// Where the machine gets its time.
    pub time: TimeConfig,
}

/// The user that the broker runs as unless the document says otherwise: that of its own unit,
/// systemd/postern-egress.service. A broker that is a child of the daemon has the daemon's user.
const EGRESS_USER: &str = "postern-egress";

impl NetworkConfig {
    /// The user that may leave by egress interfaces: a name or a number.
    #[must_use]
    pub fn egress_user(&self) -> &str {
        self.egress_user.as_deref().unwrap_or(EGRESS_USER)
    }
}
