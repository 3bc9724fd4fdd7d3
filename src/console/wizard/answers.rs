//! Questions and answers. The answers are a form of strings; everything else is made from them.

use std::collections::BTreeMap;

use crate::base::secret::Secret;

/// What a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Mail leaves here.
    Egress,
    /// Applications submit here.
    Intake,
    /// Time and updates; never mail.
    Manage,
    /// Reachable from the Internet.
    Public,
}

impl Role {
    /// All, in the order in which they are asked for.
    pub const ALL: [Self; 4] = [Self::Egress, Self::Intake, Self::Manage, Self::Public];

    /// Whether a gateway can do without it.
    #[must_use]
    pub fn optional(self) -> bool {
        matches!(self, Self::Manage | Self::Public)
    }

    /// The word of the document.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Intake => "intake",
            Self::Manage => "manage",
            Self::Public => "public",
        }
    }

    /// The name that its interface gets.
    #[must_use]
    pub fn device(self) -> String {
        format!("{}0", self.word())
    }
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The administrator's passphrase.
    Passphrase,
    /// Once more.
    Again,
    /// The gateway's own name.
    HostName,
    /// Which port, ports or VLAN a role has.
    Ports(Role),
    /// IPv4 of a role.
    V4(Role),
    /// Its IPv4 router.
    Gateway4(Role),
    /// IPv6 of a role.
    V6(Role),
    /// Its IPv6 router.
    Gateway6(Role),
    /// Name servers for mail.
    Resolvers,
    /// Name servers for time and updates.
    ManageDns,
    /// Time servers.
    Time,
    /// Name of the first source.
    Source,
    /// Who it may write as.
    From,
    /// Where its bounces go.
    Bounces,
    /// Who is told about it.
    Owner,
    /// Where it submits from.
    Networks,
    /// Domains that are signed for.
    Dkim,
}

/// What was answered so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    texts: BTreeMap<Question, String>,
    /// The passphrase, which is never shown.
    pub passphrase: Option<Secret<String>>,
    /// The passphrase was typed twice.
    pub repeated: bool,
}

impl Answers {
    /// The answer to a question, empty if there is none.
    #[must_use]
    pub fn get(&self, question: Question) -> &str {
        self.texts.get(&question).map_or("", String::as_str)
    }

    /// The answer in words of its list.
    pub fn words(&self, question: Question) -> impl Iterator<Item = &str> {
        self.get(question).split_whitespace()
    }

    /// Remembers an answer; what hung on another one is asked for again.
    pub fn set(&mut self, question: Question, text: String) {
        self.texts.insert(question, text);
        if let Question::V4(role) = question {
            let net = self.get(question).parse::<ipnet::Ipv4Net>();
            let router = self.get(Question::Gateway4(role)).parse::<std::net::Ipv4Addr>();
            let lost = router.is_ok_and(|router| !net.is_ok_and(|net| net.contains(&router)));
            if lost {
                self.texts.remove(&Question::Gateway4(role));
            }
            let leased = self.get(Question::V4(Role::Manage)) == "dhcp";
            if !leased && self.get(Question::ManageDns) == "dhcp" {
                self.texts.remove(&Question::ManageDns);
            }
        }
    }

    /// Whether a question was answered.
    #[must_use]
    pub fn answered(&self, question: Question) -> bool {
        match question {
            Question::Passphrase => self.passphrase.is_some(),
            Question::Again => self.repeated,
            other => self.texts.contains_key(&other),
        }
    }

    /// Whether a role has a port.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        !matches!(self.get(Question::Ports(role)), "" | "none")
    }

    /// The questions that these answers lead through, in order.
    #[must_use]
    pub fn path(&self) -> Vec<Question> {
        let mut path = vec![Question::Passphrase, Question::Again, Question::HostName];
        for role in Role::ALL {
            path.push(Question::Ports(role));
            if !self.has(role) && (role.optional() || self.answered(Question::Ports(role))) {
                continue;
            }
            path.push(Question::V4(role));
            if self.get(Question::V4(role)).contains('/') {
                path.push(Question::Gateway4(role));
            }
            path.push(Question::V6(role));
            if self.get(Question::V6(role)).contains('/') {
                path.push(Question::Gateway6(role));
            }
        }
        path.push(Question::Resolvers);
        if self.has(Role::Manage) {
            path.push(Question::ManageDns);
        }
        path.extend([
            Question::Time,
            Question::Source,
            Question::From,
            Question::Bounces,
            Question::Owner,
            Question::Networks,
            Question::Dkim,
        ]);
        path
    }

    /// Domains of the addresses that the first source may write as.
    #[must_use]
    pub fn from_domains(&self) -> Vec<String> {
        let mut domains: Vec<String> = Vec::new();
        for pattern in self.words(Question::From) {
            let domain = pattern.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
            if !domain.is_empty() && !domains.contains(&domain) {
                domains.push(domain);
            }
        }
        domains
    }
}

/// What a role is attached to: ports, more than one for a bond, and a VLAN above them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Names of ports.
    pub ports: Vec<String>,
    /// The number of the VLAN.
    pub vlan: Option<u16>,
}

impl Attachment {
    /// Reads what [`std::fmt::Display`] wrote.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let (ports, vlan) = match text.split_once(" vlan ") {
            Some((ports, vlan)) => (ports, vlan.parse().ok()),
            None => (text, None),
        };
        let ports = ports.split('+').filter(|port| !port.is_empty() && *port != "none");
        Self { ports: ports.map(str::to_owned).collect(), vlan }
    }
}

impl std::fmt::Display for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.ports.join("+"))?;
        self.vlan.map_or(Ok(()), |vlan| write!(f, " vlan {vlan}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_the_answers() {
        let mut answers = Answers::default();
        let first = answers.path().len();
        answers.set(Question::Ports(Role::Manage), "none".to_owned());
        assert_eq!(answers.path().len(), first);
        answers.set(Question::Ports(Role::Manage), "eth2".to_owned());
        assert!(answers.path().contains(&Question::V4(Role::Manage)));
        assert!(answers.path().contains(&Question::ManageDns));
        assert!(!answers.path().contains(&Question::Gateway4(Role::Egress)));
        answers.set(Question::V4(Role::Egress), "192.0.2.25/24".to_owned());
        assert!(answers.path().contains(&Question::Gateway4(Role::Egress)));
    }

    #[test]
    fn an_attachment_is_read_as_it_was_written() {
        for text in ["eth1", "eth1+eth2", "eth1 vlan 25", "eth1+eth2 vlan 4094"] {
            assert_eq!(Attachment::read(text).to_string(), text);
        }
        assert!(Attachment::read("none").ports.is_empty());
    }
}
