//! Which walls stand around the process, as `status` shows them.

use crate::control::answer::WallRow;
use crate::host::peer;
use crate::host::walls::{Confinement, Network, confinement, is_root, network};

/// One row for each wall. `broker` is the user of the broker that is there.
pub(super) fn rows(broker: Option<u32>) -> Vec<WallRow> {
    vec![broker_row(broker, peer::own_uid()), network_row(network()), user_row(), rights_row()]
}

fn wall(name: &str, stands: Option<bool>, note: impl Into<String>) -> WallRow {
    let (name, note) = (name.to_owned(), note.into());
    WallRow { name, stands: stands == Some(true), unknown: stands.is_none(), note }
}

fn broker_row(broker: Option<u32>, own: u32) -> WallRow {
    let opened = "Internet sockets are opened by another process";
    let note = match broker {
        None => format!("{opened}, which is not there at this moment"),
        Some(user) if user == own => {
            format!("{opened} of the same user; the unit postern-egress.service has its own")
        }
        Some(user) => format!("{opened} of the user {}", peer::user_name(user)),
    };
    wall("egress broker", Some(true), note)
}

fn network_row(network: Network) -> WallRow {
    let (stands, note) = match network {
        Network::Empty => (Some(true), "this process has no network interface of its own"),
        Network::Shared => (
            Some(false),
            "this process shares the machine's network; the unit's PrivateNetwork= separates it",
        ),
        Network::Unknown => (None, "this process cannot see whether it has a network"),
    };
    wall("own network", stands, note)
}

fn user_row() -> WallRow {
    if is_root() {
        wall("user", Some(false), "runs as root: use the unit, which has a user of its own")
    } else {
        wall("user", Some(true), "runs as an ordinary user")
    }
}

fn rights_row() -> WallRow {
    let name = "rights";
    match confinement() {
        None => wall(name, None, "this process cannot see which rights it has"),
        Some(Confinement { no_new: true, none: true, filtered: true }) => {
            wall(name, Some(true), "no capability, no way to one, and a filter of system calls")
        }
        Some(Confinement { no_new, none, filtered }) => {
            let lacks = [
                (none, "it may have capabilities (CapabilityBoundingSet=)"),
                (no_new, "it may gain rights (NoNewPrivileges=)"),
                (filtered, "its system calls are not filtered (SystemCallFilter=)"),
            ];
            let lacks: Vec<&str> =
                lacks.iter().filter(|(held, _)| !held).map(|(_, what)| *what).collect();
            wall(name, Some(false), format!("{}; the unit sets all three", lacks.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_unknown() {
        let row = network_row(Network::Unknown);
        assert!(row.unknown && !row.stands);
        assert!(network_row(Network::Empty).stands);
        let row = network_row(Network::Shared);
        assert!(!row.unknown && !row.stands);
    }

    #[test]
    fn a_broker_of_the_same_user_is_said() {
        assert!(broker_row(Some(7), 7).note.contains("same user"));
        assert!(broker_row(Some(0), 7).note.ends_with("root"));
        assert!(broker_row(None, 7).note.contains("not there"));
    }
}
