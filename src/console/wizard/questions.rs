//! How each question is put: a title, what an answer looks like, what Enter means, and more for
//! whoever types `?`.

use super::answers::{Answers, Question, Role};
use crate::console::words::Said;

/// The name servers that are proposed: they validate and filter nothing a gateway needs.
const RESOLVERS: &str = "9.9.9.9 149.112.112.112";
/// The same where only IPv6 is spoken.
const RESOLVERS_V6: &str = "2620:fe::fe 2620:fe::9";

/// A question in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    /// What is asked for, in a few words.
    pub title: Said,
    /// What may be answered, in one or two lines.
    pub hint: Said,
    /// For those who want to know more.
    pub more: &'static str,
}

/// The words of a question.
#[must_use]
pub fn wording(question: Question) -> Wording {
    let (title, hint, more) = match question {
        Question::Passphrase => (
            Said::from("Administrator's passphrase"),
            "At least 12 characters; it is not shown while you type.",
            "It opens this console. Nobody can read it out again, and there is no other way in: if \
             it is lost, only a factory reset helps. Several words are easier to type on a serial \
             line than signs.",
        ),
        Question::Again => (
            Said::from("The passphrase once more"),
            "So that it is what you think it is.",
            "It is not shown, so it is typed twice.",
        ),
        Question::HostName => (
            Said::from("Full name of this gateway"),
            "For example relay.example.com.",
            "Receivers hear this name and look it up. It must resolve to the egress address, and \
             the egress address back to it.",
        ),
        Question::Ports(role) => return ports(role),
        Question::V4(role) => return v4(role),
        Question::Gateway4(role) => (
            Said::with("IPv4 router of {}", &[&role.word()]),
            "An address inside its network, or none.",
            "Each role has a router of its own; there is no default route for all.",
        ),
        Question::V6(role) => (
            Said::with("IPv6 of {}", &[&role.word()]),
            if role == Role::Egress {
                "Address and prefix length, for example 2001:db8::25/64, or none."
            } else {
                "Address and prefix length, slaac, dhcp, or none."
            },
            "IPv6 may be added later. Receivers ask more of IPv6 senders: without a PTR record \
             for the address, do not use it for mail.",
        ),
        Question::Gateway6(role) => (
            Said::with("IPv6 router of {}", &[&role.word()]),
            "An address such as fe80::1, or none.",
            "Usually the router's link-local address.",
        ),
        Question::Resolvers
        | Question::ManageDns
        | Question::Time
        | Question::Source
        | Question::From
        | Question::Bounces
        | Question::Owner
        | Question::Networks
        | Question::Dkim => return mail(question),
    };
    Wording { title, hint: Said::from(hint), more }
}

fn ports(role: Role) -> Wording {
    let title = match role {
        Role::Egress => "Port for egress: mail leaves here for the Internet",
        Role::Intake => "Port for intake: your applications submit here",
        Role::Manage => "Port for manage: time, updates and monitoring; never mail",
        Role::Public => "Port for public: reachable from the Internet, for later features",
    };
    let hint = if role.optional() {
        "A number; 1,2 is a bond; 1.25 is VLAN 25 on port 1; c finds it by its cable; none: there \
         is no such port."
    } else {
        "A number; 1,2 is a bond; 1.25 is VLAN 25 on port 1; c finds it by its cable."
    };
    Wording {
        title: Said::from(title),
        hint: Said::from(hint),
        more: "Ports are known by their hardware address from now on: it does not matter in which \
               order the kernel finds them. A port may carry several roles only as different \
               VLANs. A port without a role stays down.",
    }
}

fn v4(role: Role) -> Wording {
    let hint = match role {
        Role::Egress => "Address and prefix length, for example 192.0.2.25/24.",
        Role::Intake => "Address and prefix length, for example 10.20.0.1/24, or dhcp.",
        _ => "Address and prefix length, dhcp, or none.",
    };
    Wording {
        title: Said::with("IPv4 of {}", &[&role.word()]),
        hint: Said::from(hint),
        more: "The egress address is what receivers judge: it is fixed, it has a PTR record, and \
               every packet of mail is bound to it. Intake should be fixed too, because \
               applications are configured with it.",
    }
}

fn mail(question: Question) -> Wording {
    let (title, hint, more) = match question {
        Question::Resolvers => (
            "Name servers for mail",
            "One to three addresses; they are asked over the egress port.",
            "DNSSEC is validated here, so the servers must pass signatures on. Your own resolver \
             is best: lists of senders refuse large public ones.",
        ),
        Question::ManageDns => (
            "Name servers for time and updates",
            "Addresses; they are asked over the manage port. dhcp: as DHCP says.",
            "They resolve the names of time and update servers, never those of receivers.",
        ),
        Question::Time => (
            "Time servers",
            "Names or addresses; default: the usual ones, with NTS where it is offered.",
            "Certificates, DNSSEC and signatures need a clock that is right to a minute.",
        ),
        Question::Source => (
            "Name of the first application (source)",
            "a-z 0-9 . _ -; it is the user name of AUTH too. More sources can follow later.",
            "Each application gets its own name and secret, so that one can be held or closed \
             without the others.",
        ),
        Question::From => (
            "Who it may write as (From:)",
            "Addresses, or *@example.com for all of a domain; blanks between several.",
            "Anything else that it tries to write as is refused.",
        ),
        Question::Bounces => (
            "Where its bounces go (return path)",
            "An address that somebody or something reads.",
            "The envelope sender that it uses. SPF is looked up for its domain.",
        ),
        Question::Owner => (
            "Who owns it",
            "A mail address for the people behind the application.",
            "Told when its mail cannot be reported to anybody else, and named in lists.",
        ),
        Question::Networks => (
            "From which networks it may submit",
            "Networks such as 10.20.0.0/24, or any.",
            "A stolen secret is worth nothing outside these networks.",
        ),
        _ => (
            "Domains to sign for (DKIM)",
            "Every domain that it writes as. Keys are made here; their records follow.",
            "Two keys for each domain, RSA and Ed25519. Mail is not sent unsigned.",
        ),
    };
    Wording { title: Said::from(title), hint: Said::from(hint), more }
}

/// What Enter means: the answer so far, or a proposal made from the other answers.
#[must_use]
pub fn proposal(question: Question, answers: &Answers) -> Option<String> {
    if answers.answered(question) && !matches!(question, Question::Passphrase | Question::Again) {
        return Some(answers.get(question).to_owned());
    }
    let first_domain = answers.from_domains().into_iter().next();
    match question {
        Question::V4(Role::Manage) => Some("dhcp".to_owned()),
        Question::Gateway4(Role::Egress) => {
            let net: ipnet::Ipv4Net = answers.get(Question::V4(Role::Egress)).parse().ok()?;
            let first = net.trunc().hosts().find(|host| *host != net.addr())?;
            Some(first.to_string())
        }
        Question::Gateway6(Role::Egress) => Some("fe80::1".to_owned()),
        Question::Ports(Role::Manage | Role::Public)
        | Question::V4(Role::Public)
        | Question::V6(_)
        | Question::Gateway4(_)
        | Question::Gateway6(_) => Some("none".to_owned()),
        Question::Resolvers => Some(resolvers(Role::Egress, answers).to_owned()),
        Question::ManageDns if answers.get(Question::V4(Role::Manage)) == "dhcp" => {
            Some("dhcp".to_owned())
        }
        Question::ManageDns => Some(resolvers(Role::Manage, answers).to_owned()),
        Question::Time => Some("default".to_owned()),
        Question::Source => Some("app1".to_owned()),
        Question::From => {
            let name = answers.get(Question::HostName);
            let (_, domain) = name.split_once('.').filter(|(_, domain)| domain.contains('.'))?;
            Some(format!("*@{domain}"))
        }
        Question::Bounces => first_domain.map(|domain| format!("bounces@{domain}")),
        Question::Owner => first_domain.map(|domain| format!("postmaster@{domain}")),
        Question::Networks => {
            let net = answers.get(Question::V4(Role::Intake)).parse::<ipnet::Ipv4Net>().ok();
            Some(net.map_or_else(|| "any".to_owned(), |net| net.trunc().to_string()))
        }
        Question::Dkim => Some(answers.from_domains().join(" ")).filter(|text| !text.is_empty()),
        _ => None,
    }
}

fn resolvers(role: Role, answers: &Answers) -> &'static str {
    if answers.get(Question::V4(role)) == "none" { RESOLVERS_V6 } else { RESOLVERS }
}
