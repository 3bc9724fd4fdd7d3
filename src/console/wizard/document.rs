//! From answers to the document and to the setup file: pure, so that every answer can be tried.

use std::fmt::Write as _;

use ipnet::Ipv4Net;

use super::answers::{Answers, Question, Role};
use super::network;
use crate::config::checked::DkimAlgorithm;
use crate::console::ask::Drawn;
use crate::control::host::answer::LinkRow;

/// Stands for a verifier until there is one; no password matches it.
const NO_VERIFIER: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm90aGluZyBtYXRjaGVz$\
                           AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The name of the egress in the document.
pub(super) const EGRESS: &str = "main";

/// The keys of the document that a question is about.
pub(super) fn keys(question: Question, answers: &Answers) -> Vec<String> {
    let source = format!("source.{}", answers.get(Question::Source));
    match question {
        Question::HostName => vec!["hostname".to_owned()],
        // An address may be missing until both families were asked for.
        Question::V4(role) if answers.get(Question::V4(role)) == "none" => Vec::new(),
        Question::V4(role) => network::keys(role, &["ipv4"]),
        Question::V6(role) if answers.get(Question::V6(role)) == "none" => {
            network::keys(role, &["ipv4", "ipv6"])
        }
        Question::V6(role) => network::keys(role, &["ipv6"]),
        Question::Gateway4(role) => network::keys(role, &["gateway4"]),
        Question::Gateway6(role) => network::keys(role, &["gateway6"]),
        Question::Ports(role) => network::keys(role, &["mac", "name", "bond", "vlan"]),
        Question::Resolvers => vec![format!("egress.{EGRESS}.resolvers")],
        Question::ManageDns => network::keys(Role::Manage, &["dns"]),
        Question::Time => vec!["time.servers".to_owned()],
        Question::Source => vec![source.clone(), format!("{source}.user")],
        Question::From => (0..32).map(|index| format!("{source}.pairs[{index}].from")).collect(),
        Question::Bounces => {
            (0..32).map(|index| format!("{source}.pairs[{index}].reverse_path")).collect()
        }
        Question::Owner => vec![format!("{source}.owner")],
        Question::Networks => vec![format!("{source}.networks")],
        Question::Dkim => (0..64).map(|index| format!("dkim[{index}].domain")).collect(),
        Question::Passphrase | Question::Again => Vec::new(),
    }
}

/// A text of the document.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => quoted.push('?'),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of texts of the document.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    format!("[{}]", words.join(", "))
}

/// The document that the answers make. Without what chance gave, verifiers and selectors are
/// placeholders: good for a check, useless for mail.
#[must_use]
pub fn document(answers: &Answers, ports: &[LinkRow], drawn: Option<&Drawn>) -> String {
    let mut text = String::from("# Made by the first boot wizard.\nversion = 1\n");
    let _ = writeln!(text, "hostname = {}", quoted(answers.get(Question::HostName)));
    text.push_str("\n[spool]\npath = \"/var/lib/postern/spool\"\n");
    text.push_str("\n[tls]\ncertificate = \"/etc/postern/tls/chain.pem\"\n");
    text.push_str("key = \"/etc/postern/tls/key.pem\"\n");
    listeners(&mut text, answers);
    source(&mut text, answers, drawn);
    dkim(&mut text, answers, drawn);
    network::write(&mut text, answers, ports);
    text.push_str("\n# The box sends a message to itself after every start.\n");
    text.push_str("[health]\nenabled = true\n");
    text
}

/// Applications submit at the intake address, or at any while DHCP decides it; the device holds
/// them to the intake port in either case.
fn listeners(text: &mut String, answers: &Answers) {
    let v4 = answers.get(Question::V4(Role::Intake)).parse::<Ipv4Net>().ok();
    let v6 = answers.get(Question::V6(Role::Intake)).parse::<ipnet::Ipv6Net>().ok();
    let any = answers.get(Question::V4(Role::Intake)) == "dhcp" || (v4.is_none() && v6.is_none());
    let mut hosts = Vec::new();
    hosts.extend(v4.map(|net| (String::new(), net.addr().to_string())));
    hosts.extend(any.then(|| (String::new(), "0.0.0.0".to_owned())));
    hosts.extend(v6.map(|net| ("-v6".to_owned(), format!("[{}]", net.addr()))));
    for (kind, port) in [("submission", 587), ("submissions", 465)] {
        for (suffix, host) in &hosts {
            let _ = write!(
                text,
                "\n[listener.{kind}{suffix}]\naddress = \"{host}:{port}\"\nkind = \"{kind}\"\n\
                 device = {}\n",
                quoted(&Role::Intake.device())
            );
        }
    }
}

fn source(text: &mut String, answers: &Answers, drawn: Option<&Drawn>) {
    let name = answers.get(Question::Source);
    let _ = write!(
        text,
        "\n[source.{}]\nproof = \"password\"\nuser = {}\nclass = \"transactional\"\n",
        quoted(name),
        quoted(name)
    );
    let owner = answers.get(Question::Owner);
    if !owner.is_empty() {
        let _ = writeln!(text, "owner = {}", quoted(owner));
    }
    let networks: Vec<&str> = answers.words(Question::Networks).filter(|w| *w != "any").collect();
    if !networks.is_empty() {
        let _ = writeln!(text, "networks = {}", list(networks));
    }
    text.push_str("pairs = [\n");
    for from in answers.words(Question::From) {
        let bounces = quoted(answers.get(Question::Bounces));
        let _ = writeln!(text, "    {{ reverse_path = {bounces}, from = {} }},", quoted(from));
    }
    let _ = write!(text, "]\n\n[[source.{}.password]]\n", quoted(name));
    let verifier = drawn.map(|drawn| &drawn.verifier);
    let argon2id = verifier.map_or(NO_VERIFIER, |verifier| &verifier.argon2id);
    let _ = writeln!(text, "argon2id = {}", quoted(argon2id));
    if let Some(scram) = verifier.and_then(|verifier| verifier.scram_sha256.as_ref()) {
        let _ = writeln!(text, "scram_sha256 = {}", quoted(scram));
    }
}

fn dkim(text: &mut String, answers: &Answers, drawn: Option<&Drawn>) {
    let mut key = |domain: &str, selector: &str, algorithm: &str| {
        let file = format!("/etc/postern/{}", key_file(domain, selector));
        let _ = write!(
            text,
            "\n[[dkim]]\ndomain = {}\nselector = {}\nalgorithm = \"{algorithm}\"\nfile = {}\n",
            quoted(domain),
            quoted(selector),
            quoted(&file)
        );
    };
    match drawn {
        Some(drawn) => {
            for made in &drawn.keys {
                let algorithm = match made.algorithm {
                    DkimAlgorithm::RsaSha256 => "rsa-sha256",
                    DkimAlgorithm::Ed25519Sha256 => "ed25519-sha256",
                };
                key(made.domain.as_str(), &made.selector, algorithm);
            }
        }
        None => {
            for domain in answers.words(Question::Dkim) {
                key(domain, "pending", "rsa-sha256");
            }
        }
    }
}

/// Where a key is kept, below `/etc/postern`.
fn key_file(domain: &str, selector: &str) -> String {
    format!("dkim/{domain}.{selector}.pem")
}

/// The setup file: the document, the administrator and the keys. It holds secrets.
#[must_use]
pub fn setup(answers: &Answers, ports: &[LinkRow], drawn: &Drawn) -> String {
    let document = document(answers, ports, Some(drawn));
    let mut text = format!("version = 1\ndocument = '''\n{document}'''\n\n[administrator]\n");
    let _ = writeln!(text, "passphrase_argon2id = {}", quoted(drawn.administrator.expose()));
    for key in &drawn.keys {
        let path = key_file(key.domain.as_str(), &key.selector);
        let pem = key.pem.expose();
        let _ = write!(text, "\n[[file]]\npath = {}\ntext = '''\n{pem}'''\n", quoted(&path));
    }
    text
}
