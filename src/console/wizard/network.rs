//! The part of the document that is about ports: one section for each role's interface, the way
//! out, name servers and time.

use std::fmt::Write as _;

use super::answers::{Answers, Attachment, Question, Role};
use super::document::{EGRESS, list, quoted};
use crate::control::host::answer::LinkRow;

/// The keys of the document that are about a role's interface.
pub(super) fn keys(role: Role, names: &[&str]) -> Vec<String> {
    let own = names.iter().map(|name| format!("interface.{}.{name}", role.device()));
    let way = names.iter().filter(|_| role == Role::Egress);
    own.chain(way.map(|name| format!("egress.{EGRESS}.{name}"))).collect()
}

/// Writes everything about ports.
pub(super) fn write(text: &mut String, answers: &Answers, ports: &[LinkRow]) {
    egress(text, answers);
    for role in Role::ALL.into_iter().filter(|role| answers.has(*role)) {
        interface(text, role, answers, ports);
    }
    let servers: Vec<&str> = answers.words(Question::Time).filter(|w| *w != "default").collect();
    if !servers.is_empty() {
        let _ = write!(text, "\n[time]\nservers = {}\n", list(servers));
    }
}

/// Writes a key, unless the answer means that there is none.
fn line(text: &mut String, key: &str, value: &str) {
    if !matches!(value, "" | "none") {
        let _ = writeln!(text, "{key} = {}", quoted(value));
    }
}

/// The way out: its addresses belong to it and not to the interface, because receivers know them.
fn egress(text: &mut String, answers: &Answers) {
    let _ = write!(
        text,
        "\n[egress.{EGRESS}]\ndevice = {}\nresolvers = {}\n",
        quoted(&Role::Egress.device()),
        list(answers.words(Question::Resolvers))
    );
    addresses(text, Role::Egress, answers);
}

fn addresses(text: &mut String, role: Role, answers: &Answers) {
    line(text, "ipv4", answers.get(Question::V4(role)));
    if answers.get(Question::V4(role)).contains('/') {
        line(text, "gateway4", answers.get(Question::Gateway4(role)));
    }
    line(text, "ipv6", answers.get(Question::V6(role)));
    if answers.get(Question::V6(role)).contains('/') {
        line(text, "gateway6", answers.get(Question::Gateway6(role)));
    }
}

fn interface(text: &mut String, role: Role, answers: &Answers, ports: &[LinkRow]) {
    let _ = write!(text, "\n[interface.{}]\nrole = \"{}\"\n", role.device(), role.word());
    let attachment = Attachment::read(answers.get(Question::Ports(role)));
    // Cards are known by their address, which no slot and no kernel changes.
    let card = |name: &String| {
        let port = ports.iter().find(|port| port.name == *name);
        port.filter(|port| !port.mac.is_empty()).map_or(name.clone(), |port| port.mac.clone())
    };
    let cards: Vec<String> = attachment.ports.iter().map(card).collect();
    match (cards.as_slice(), attachment.vlan) {
        ([only], None) => {
            let key = if only.contains(':') { "mac" } else { "name" };
            line(text, key, only);
        }
        ([only], Some(id)) => {
            let _ = writeln!(text, "vlan = {{ parent = {}, id = {id} }}", quoted(only));
        }
        (several, vlan) => {
            let _ = writeln!(text, "bond = {}", list(several.iter().map(String::as_str)));
            if let Some(id) = vlan {
                let parent = quoted(&bond_name(&attachment, answers));
                let _ = writeln!(text, "vlan = {{ parent = {parent}, id = {id} }}");
            }
        }
    }
    if role != Role::Egress {
        addresses(text, role, answers);
    }
    if role == Role::Manage && answers.get(Question::ManageDns) != "dhcp" {
        let servers: Vec<&str> = answers.words(Question::ManageDns).collect();
        if !servers.is_empty() {
            let _ = writeln!(text, "dns = {}", list(servers));
        }
    }
}

/// The name of a bond that VLANs lie on: the same for all roles that share it.
fn bond_name(attachment: &Attachment, answers: &Answers) -> String {
    let same = |role: &Role| {
        Attachment::read(answers.get(Question::Ports(*role))).ports == attachment.ports
    };
    format!("bond{}", Role::ALL.iter().position(same).unwrap_or(0))
}
