//! The wires between the gateway and the Internet, and the walls on the gateway's host.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use super::capture::Capture;
use super::space::Space;

/// The user that the broker runs as. Nobody has this number.
pub(crate) const BROKER: u32 = 64_025;

/// A wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wire {
    Manage,
    Intake,
    A,
    B,
    Public,
}

impl Wire {
    pub(crate) const ALL: [Self; 5] = [Self::Manage, Self::Intake, Self::A, Self::B, Self::Public];

    fn number(self) -> u8 {
        match self {
            Self::Manage => 1,
            Self::Intake => 2,
            Self::A => 3,
            Self::B => 4,
            Self::Public => 5,
        }
    }

    /// The gateway's interface.
    pub(crate) fn near(self) -> &'static str {
        match self {
            Self::Manage => "m0",
            Self::Intake => "i0",
            Self::A => "ea0",
            Self::B => "eb0",
            Self::Public => "p0",
        }
    }

    /// The Internet's interface.
    pub(crate) fn far(self) -> &'static str {
        match self {
            Self::Manage => "mf0",
            Self::Intake => "if0",
            Self::A => "af0",
            Self::B => "bf0",
            Self::Public => "pf0",
        }
    }

    fn network4(self) -> [u8; 3] {
        match self {
            Self::Manage => [10, 1, 0],
            Self::Intake => [10, 2, 0],
            Self::A => [81, 2, 69],
            Self::B => [81, 3, 70],
            Self::Public => [81, 4, 71],
        }
    }

    fn host4(self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.network4();
        Ipv4Addr::new(a, b, c, host)
    }

    fn host6(self, host: u16) -> Ipv6Addr {
        let first = if matches!(self, Self::Manage | Self::Intake) { 0xfd01 } else { 0x2a02 };
        Ipv6Addr::new(first, u16::from(self.number()), 0, 0, 0, 0, 0, host)
    }

    /// The gateway's IPv4 address on it.
    pub(crate) fn ours4(self) -> Ipv4Addr {
        self.host4(10)
    }

    /// The gateway's IPv6 address on it.
    pub(crate) fn ours6(self) -> Ipv6Addr {
        self.host6(0x10)
    }

    /// The gateway's address of a family.
    pub(crate) fn ours(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.ours4().into(),
            Family::V6 => self.ours6().into(),
        }
    }

    /// The next router's address of a family.
    pub(crate) fn router(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.host4(1).into(),
            Family::V6 => self.host6(1).into(),
        }
    }

    /// Whether `address` is on this wire.
    pub(crate) fn holds(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4.octets()[..3] == self.network4(),
            IpAddr::V6(v6) => v6.segments()[..4] == self.host6(0).segments()[..4],
        }
    }

    /// The table that an egress on it has.
    pub(crate) fn table(self) -> u32 {
        100 + u32::from(self.number())
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// `-4` or `-6`.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }

    /// What makes an address usable without asking the neighbours first.
    pub(crate) fn at_once(self) -> &'static str {
        match self {
            Self::V4 => "",
            Self::V6 => "nodad",
        }
    }

    /// `/24` or `/64`, as all wires have.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::V4 => "/24",
            Self::V6 => "/64",
        }
    }

    /// The last octets of an address of the Internet of this family.
    pub(crate) fn host(self, number: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(93, 184, 1, number).into(),
            Self::V6 => Ipv6Addr::new(0x2a05, 1, 0, 0, 0, 0, 0, u16::from(number)).into(),
        }
    }
}

/// The layers that the gateway's host adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walls {
    /// `ip rule` by source and by interface.
    pub(crate) rule: bool,
    /// The last route of each table.
    pub(crate) unreachable: bool,
    /// nftables by user.
    pub(crate) guard: bool,
}

impl Walls {
    pub(crate) const ALL: Self = Self { rule: true, unreachable: true, guard: true };
}

/// The gateway and the Internet.
pub(crate) struct Bed {
    pub(crate) gateway: Space,
    pub(crate) internet: Arc<Space>,
    pub(crate) capture: Capture,
    /// Interfaces of the Internet by their index.
    indexes: Arc<Mutex<Vec<(usize, Wire)>>>,
    next: Mutex<usize>,
}

impl Bed {
    /// A bed with all wires plugged and all walls up.
    pub(crate) fn new() -> Self {
        let (gateway, internet) = (Space::new(), Arc::new(Space::new()));
        for (path, value) in [
            ("net/ipv4/conf/all/arp_ignore", "1"),
            ("net/ipv4/conf/all/arp_announce", "2"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "2"),
            // Connections that have lost their interface end within seconds, not a quarter hour.
            ("net/ipv4/tcp_retries2", "6"),
            ("net/ipv4/tcp_syn_retries", "2"),
        ] {
            gateway.sysctl(path, value);
        }
        for (path, value) in [
            ("net/ipv4/conf/all/forwarding", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
        ] {
            internet.sysctl(path, value);
        }
        let indexes = Arc::new(Mutex::new(Vec::new()));
        let capture = Capture::start(&internet, indexes.clone());
        let bed = Self { gateway, internet, capture, indexes, next: Mutex::new(20) };
        for wire in Wire::ALL {
            bed.plug(wire);
        }
        bed.provision(Walls::ALL);
        bed
    }

    /// Lays a wire that is not there, with addresses at its far end. Its interfaces have indexes
    /// that none had before, as after a hot plug.
    pub(crate) fn plug(&self, wire: Wire) {
        let index = {
            let mut next = self.next.lock().unwrap();
            *next += 1;
            *next
        };
        self.indexes.lock().unwrap().push((index, wire));
        let (near, far, path) = (wire.near(), wire.far(), self.internet.path());
        self.gateway.ip(&format!(
            "link add {near} index {index} type veth peer name {far} index {index} netns {path}\n"
        ));
        self.provision_far(wire);
    }

    /// Everything that the far end of a wire has.
    pub(crate) fn provision_far(&self, wire: Wire) {
        let far = wire.far();
        let mut lines = format!("link set {far} up\n");
        for family in Family::BOTH {
            let (router, prefix) = (wire.router(family), family.prefix());
            writeln!(lines, "addr replace {router}{prefix} dev {far} {}", family.at_once())
                .unwrap();
        }
        self.internet.ip(&lines);
    }

    /// Addresses of the Internet.
    pub(crate) fn add_hosts(&self, addresses: &[IpAddr]) {
        let mut lines = String::new();
        for address in addresses {
            let length = if address.is_ipv4() { 32 } else { 128 };
            let at_once = Family::of(*address).at_once();
            writeln!(lines, "addr add {address}/{length} dev lo {at_once}").unwrap();
        }
        self.internet.ip(&lines);
    }

    /// Brings every interface of the gateway into order, and its walls. May be called at any time;
    /// wires that were pulled must be plugged before.
    pub(crate) fn provision(&self, walls: Walls) {
        let complaints = self.gateway.try_ip(&provision(walls));
        // Complaints about what is there, or not there, already are the point of `-force`.
        let odd = complaints.lines().find(|line| {
            !line.starts_with("Command failed")
                && !["File exists", "No such", "Cannot assign", "not found"]
                    .iter()
                    .any(|w| line.contains(w))
        });
        assert!(odd.is_none(), "ip: {odd:?}");
        self.gateway.sysctl("net/ipv4/conf/ea0/ignore_routes_with_linkdown", "0");
        self.gateway.sysctl("net/ipv6/conf/ea0/ignore_routes_with_linkdown", "0");
        self.gateway.nft(&guard(walls.guard));
    }

    /// Takes down the walls, and what the tables hold for the ways out.
    pub(crate) fn tear_down(&self) {
        let mut lines = String::new();
        for family in Family::BOTH {
            for wire in [Wire::A, Wire::B] {
                let (flag, table) = (family.flag(), wire.table());
                for priority in [1000 + table, 2000 + table] {
                    writeln!(lines, "{flag} rule del priority {priority}").unwrap();
                }
                writeln!(lines, "{flag} route flush table {table}").unwrap();
            }
        }
        self.gateway.ip(&lines);
        self.gateway.nft("delete table inet guard\ndelete table arp guard\n");
    }

    /// Packets that reached the guard although they should not have been sent at all, and packets
    /// of the mail path that the kernel was about to put on a wrong wire.
    pub(crate) fn counted(&self) -> Counted {
        let listed = self.gateway.ask("nft", &["-j", "list", "counters"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap_or_default();
        let of = |name: &str| {
            let rows = listed["nftables"].as_array().into_iter().flatten();
            let mut rows = rows.filter(|row| row["counter"]["name"] == name);
            rows.next().and_then(|row| row["counter"]["packets"].as_u64()).unwrap_or_default()
        };
        Counted { stopped: of("stopped"), passed: of("wrong"), right: of("right") }
    }
}

/// What nftables counted since `provision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The guard stopped them.
    pub(crate) stopped: u64,
    /// Of the mail path, on a wrong interface, behind the guard.
    pub(crate) passed: u64,
    /// Of the mail path, on the interface of A with its source.
    pub(crate) right: u64,
}

fn provision(walls: Walls) -> String {
    let mut lines = String::new();
    for wire in Wire::ALL {
        let near = wire.near();
        writeln!(lines, "link set {near} up").unwrap();
        for family in Family::BOTH {
            let (ours, prefix) = (wire.ours(family), family.prefix());
            let at_once = family.at_once();
            writeln!(lines, "addr replace {ours}{prefix} dev {near} {at_once}").unwrap();
            // The source may have been lent to another interface.
            for other in Wire::ALL.into_iter().filter(|other| *other != wire) {
                if matches!(wire, Wire::A | Wire::B) {
                    writeln!(lines, "addr del {ours}{prefix} dev {}", other.near()).unwrap();
                }
            }
        }
    }
    for family in Family::BOTH {
        let flag = family.flag();
        let manage = Wire::Manage;
        let router = manage.router(family);
        writeln!(lines, "{flag} route replace default via {router} dev m0 metric 1024").unwrap();
        for wire in [Wire::A, Wire::B] {
            let (near, table) = (wire.near(), wire.table());
            let (router, ours) = (wire.router(family), wire.ours(family));
            let network = format!("{router}{}", family.prefix());
            let network: ipnet::IpNet = network.parse().unwrap();
            let network = network.trunc();
            let kind = "unreachable default";
            writeln!(lines, "{flag} route replace {network} dev {near} table {table}").unwrap();
            let way = format!("default via {router} dev {near} table {table} metric 10");
            writeln!(lines, "{flag} route replace {way}").unwrap();
            writeln!(lines, "{flag} route del {kind} table {table} metric 4000000000").unwrap();
            if walls.unreachable {
                writeln!(lines, "{flag} route add {kind} table {table} metric 4000000000").unwrap();
            }
            for (priority, what) in
                [(1000 + table, format!("from {ours}")), (2000 + table, format!("oif {near}"))]
            {
                let rule = format!("{what} lookup {table} priority {priority}");
                writeln!(lines, "{flag} rule del {rule}").unwrap();
                if walls.rule {
                    writeln!(lines, "{flag} rule add {rule}").unwrap();
                }
            }
        }
    }
    lines
}

/// The guard by user, and a witness behind it that only counts.
fn guard(guard: bool) -> String {
    let (a4, a6) = (Wire::A.ours4(), Wire::A.ours6());
    let (b4, b6) = (Wire::B.ours4(), Wire::B.ours6());
    let mut lines = String::from(
        "table inet guard {}\ndelete table inet guard\n\
         table arp guard {}\ndelete table arp guard\ntable inet witness {}\n\
         delete table inet witness\n",
    );
    writeln!(
        lines,
        "table inet witness {{
           counter wrong {{}}
           counter right {{}}
           chain out {{
             type filter hook postrouting priority 300; policy accept;
             oifname {{ m0, i0, p0, eb0 }} meta l4proto {{ tcp, udp }} th dport {{ 25, 53, 443 }} \
               counter name wrong
             oifname {{ m0, i0, p0, eb0 }} ip saddr {a4} counter name wrong
             oifname {{ m0, i0, p0, eb0 }} ip6 saddr {a6} counter name wrong
             oifname ea0 ip saddr {a4} counter name right
             oifname ea0 ip6 saddr {a6} counter name right
           }}
         }}"
    )
    .unwrap();
    if guard {
        writeln!(
            lines,
            "table inet guard {{
               counter stopped {{}}
               chain out {{
                 type filter hook output priority 0; policy accept;
                 oifname lo accept
                 meta skuid {BROKER} oifname ea0 ip saddr {a4} accept
                 meta skuid {BROKER} oifname ea0 ip6 saddr {a6} accept
                 meta skuid {BROKER} oifname eb0 ip saddr {b4} accept
                 meta skuid {BROKER} oifname eb0 ip6 saddr {b6} accept
                 # What the kernel still says for sockets that were closed has no user.
                 oifname ea0 ip saddr {a4} ct state established accept
                 oifname ea0 ip6 saddr {a6} ct state established accept
                 oifname eb0 ip saddr {b4} ct state established accept
                 oifname eb0 ip6 saddr {b6} ct state established accept
                 # The kernel's answers for sockets that are gone are stopped too, and not counted:
                 # they answer what an earlier trouble left in the Internet.
                 oifname != ea0 ip saddr {a4} tcp flags & rst == rst drop
                 oifname != ea0 ip6 saddr {a6} tcp flags & rst == rst drop
                 oifname != ea0 ip saddr {a4} counter name stopped drop
                 oifname != ea0 ip6 saddr {a6} counter name stopped drop
                 oifname != eb0 ip saddr {b4} counter name stopped drop
                 oifname != eb0 ip6 saddr {b6} counter name stopped drop
                 # Answers to those who came to us, by the way they came.
                 ct direction reply accept
                 meta skuid {BROKER} meta l4proto {{ tcp, udp }} counter name stopped drop
                 tcp dport 25 counter name stopped drop
               }}
             }}
             table arp guard {{
               chain out {{
                 type filter hook output priority 0; policy accept;
                 oifname ea0 arp saddr ip != {a4} drop
                 oifname eb0 arp saddr ip != {b4} drop
               }}
             }}"
        )
        .unwrap();
    }
    lines
}
