//! The interfaces of a whole machine, and where it gets its time.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// The part that an interface plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Administrators, time, updates. Never mail.
    Manage,
    /// Applications submit here.
    Intake,
    /// Mail leaves here; its addresses stand in the sections of the egresses.
    Egress,
    /// Reachable from the Internet: one-click unsubscribe, bounces, feedback.
    Public,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manage => "manage",
            Self::Intake => "intake",
            Self::Egress => "egress",
            Self::Public => "public",
        })
    }
}

/// The address that a card has from its maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Reads `52:54:00:12:00:01`; dashes are taken too.
    ///
    /// # Errors
    /// The text is none, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is no MAC address".to_owned();
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        if octets[0] & 1 == 1 || octets == [0; 6] {
            return Err("is the address of a group, not of a card".to_owned());
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

/// How a card is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hardware {
    /// By its MAC address.
    Mac(MacAddress),
    /// By the name that kernel and udev give it, or that another section gives.
    Name(String),
}

impl Hardware {
    /// The interface's name where no section names it: `nic525400120001` for a MAC address.
    #[must_use]
    pub fn device(&self) -> String {
        match self {
            Self::Mac(address) => {
                let digits: String = address.to_string().split(':').collect();
                format!("nic{digits}")
            }
            Self::Name(name) => name.clone(),
        }
    }
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Where an interface has its IPv4 address from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv4Way {
    /// Written down.
    Fixed(Ipv4Net),
    /// A lease.
    Dhcp,
}

/// Where an interface has its IPv6 address from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ipv6Way {
    /// Written down.
    Fixed(Ipv6Net),
    /// Made of a router's prefix (RFC 4862).
    Slaac,
    /// A lease (RFC 8415).
    Dhcp,
}

/// How the links of a bond work together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BondMode {
    /// One carries, the others stand by; works with every switch.
    #[default]
    #[serde(rename = "active-backup")]
    ActiveBackup,
    /// All carry; the switch must speak LACP.
    #[serde(rename = "802.3ad")]
    Lacp,
}

impl fmt::Display for BondMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ActiveBackup => "active-backup",
            Self::Lacp => "802.3ad",
        })
    }
}

/// An interface of the machine: `[interface.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name from now on.
    pub name: String,
    /// Its part.
    pub role: Role,
    /// Which card it is; none: the one that has this name, or it is made (`vlan`, `bond`).
    pub hardware: Option<Hardware>,
    /// IPv4; none: not spoken.
    pub ipv4: Option<Ipv4Way>,
    /// IPv6; none: not spoken.
    pub ipv6: Option<Ipv6Way>,
    /// The router of a written IPv4 address.
    pub gateway4: Option<Ipv4Addr>,
    /// The router of a written IPv6 address.
    pub gateway6: Option<Ipv6Addr>,
    /// Name servers for time and updates; only for `manage`.
    pub dns: Vec<IpAddr>,
    /// It is this VLAN of the interface below.
    pub vlan: Option<(Hardware, u16)>,
    /// It, or with `vlan` the interface below, is a bond of these cards.
    pub bond: Vec<Hardware>,
    /// How the bond works.
    pub bond_mode: BondMode,
    /// Largest packet.
    pub mtu: Option<u32>,
}

/// Whether servers of time must prove who they are (RFC 8915).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Nts {
    /// Servers that are known to can must; the others need not.
    #[default]
    Auto,
    /// All must.
    Always,
    /// None must.
    Never,
}

impl fmt::Display for Nts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Always => "true",
            Self::Never => "false",
        })
    }
}

/// Where the machine gets its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimeConfig {
    /// Servers, by name or address.
    pub servers: Vec<String>,
    /// Whether they must prove who they are.
    pub nts: Nts,
    /// PEM of authorities beside the Web's that may vouch for them.
    pub roots: Option<PathBuf>,
}

/// Servers of three operators that all prove who they are: national laboratories and a large
/// network. One of them that is wrong is outvoted.
const SERVERS: [&str; 3] = ["ptbtime1.ptb.de", "nts.netnod.se", "time.cloudflare.com"];

impl Default for TimeConfig {
    fn default() -> Self {
        Self { servers: SERVERS.map(str::to_owned).to_vec(), nts: Nts::default(), roots: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_known_by_their_addresses() {
        let card = MacAddress::parse("52-54-00-AB-00-01").unwrap();
        assert_eq!(card.to_string(), "52:54:00:ab:00:01");
        let device = Hardware::Mac(card).device();
        assert_eq!(device, "nic525400ab0001");
        assert!(device.len() <= 15, "IFNAMSIZ");
        for bad in ["", "52:54:00:ab:00", "52:54:00:ab:00:01:02", "52:54:00:ab:0:01", "x"] {
            assert!(MacAddress::parse(bad).is_err(), "{bad}");
        }
        assert!(MacAddress::parse("01:00:5e:00:00:01").unwrap_err().contains("group"));
        assert!(MacAddress::parse("00:00:00:00:00:00").is_err());
    }
}
