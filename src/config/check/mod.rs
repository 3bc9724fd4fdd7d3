//! From what was written to what is meant: every section is read, then they are held against each
//! other. A mistake in one place never hides one in another.

mod console;
mod cross;
mod egress;
mod gateway;
mod health;
mod interface;
mod network;
mod patience;
mod pools;
mod providers;
mod setup;
mod source;
mod time;
mod trust;
mod updates;

use super::checked::Config;
use super::complaint::{Complaint, Desk};
use super::file::{Document, Section};
use super::{Reading, Surroundings};
use crate::base::limits::{MESSAGE_OCTETS_MAX_CEILING, MESSAGE_OCTETS_MAX_DEFAULT, RECIPIENTS_MAX};
use crate::mail::address::{AddressError, Domain};

/// The smallest ceiling for a message (RFC 5321 4.5.3.1.7: 64 K must be taken).
const MESSAGE_OCTETS_MAX_FLOOR: u64 = 64 * 1024;

/// The smallest ceiling for recipients (RFC 5321 4.5.3.1.8).
const RECIPIENTS_MAX_FLOOR: u64 = 100;

/// Reads and checks a document; see [`super::read`].
pub(super) fn document(
    text: &str,
    surroundings: &dyn Surroundings,
) -> Result<Reading, Vec<Complaint>> {
    let document = Document::parse(text);
    let config = {
        let mut top = document.top();
        let config = whole(&mut top, document.desk(), surroundings);
        // The gate's parts come last: they are bound by no rule that is for strangers.
        let config = health::add(&mut top, config, document.desk());
        top.close();
        config
    };
    let torn = document.torn();
    let (mut complaints, warnings) = document.into_desk().close();
    if torn {
        // What seems to be missing may stand behind the error of the grammar.
        complaints.retain(|complaint| complaint.line.is_some());
    }
    match config {
        Some(config) if complaints.is_empty() => Ok(Reading { config, warnings }),
        _ => Err(complaints),
    }
}

/// The console's section alone; see [`super::console`].
pub(super) fn console_alone(text: &str) -> super::checked::ConsoleConfig {
    console::console(&mut Document::parse(text).top())
}

/// The control socket alone; see [`super::control_socket`].
pub(super) fn control_socket(text: &str) -> std::path::PathBuf {
    let document = Document::parse(text);
    let config = gateway::control(&mut document.top(), &super::Anywhere);
    config.map_or_else(|| gateway::CONTROL_SOCKET.into(), |config| config.socket)
}

/// The whole configuration; `None` if a part without default is missing or unreadable.
fn whole(top: &mut Section<'_>, desk: &Desk, surroundings: &dyn Surroundings) -> Option<Config> {
    version(top);
    let hostname = top.needed(
        "hostname",
        "Write the gateway's own full name, for example \"relay.example.com\"",
        own_name,
    );
    let lab = top.flag("lab");
    let message_octets_max = top
        .size("message_size_max", MESSAGE_OCTETS_MAX_FLOOR..=MESSAGE_OCTETS_MAX_CEILING)
        .unwrap_or(MESSAGE_OCTETS_MAX_DEFAULT);
    let recipients_max = top.number(
        "recipients_max",
        RECIPIENTS_MAX as u64,
        RECIPIENTS_MAX_FLOOR..=RECIPIENTS_MAX as u64,
    );
    let spool = gateway::spool(top);
    let listeners = gateway::listeners(top, lab);
    let connections = gateway::connections(top);
    let tls = gateway::tls(top, surroundings, &listeners, desk);
    let control = gateway::control(top, surroundings);
    let sources = source::sources(top, message_octets_max, recipients_max);
    let dkim = egress::dkim(top, surroundings);
    let mut egresses = egress::egresses(top, hostname.as_ref(), lab);
    let pools = pools::pools(top, &egresses, &sources, desk);
    let routes = egress::routes(top, &pools::ways(&pools, &egresses.names));
    let (retry, lanes) = (patience::retry(top, lab), patience::lanes(top));
    let providers = providers::providers(top);
    let replies = providers::replies(top, &providers);
    let (trust, setup) = (trust::trust(top, &dkim, desk, surroundings), setup::setup(top));
    let console = console::console(top);
    let checks = network::checks(top, surroundings);
    let network = network::network(top, &mut egresses.known, desk, surroundings);
    let declared = cross::Declared {
        lab,
        listeners: &listeners,
        sources: &sources,
        dkim: &dkim,
        egresses: &egresses.known,
        pools: &pools,
        routes: &routes,
    };
    cross::check(&declared, &network, desk);
    Some(Config {
        hostname: hostname?,
        lab,
        message_octets_max,
        recipients_max: usize::try_from(recipients_max).unwrap_or(RECIPIENTS_MAX),
        spool: spool?,
        listeners,
        connections,
        tls,
        sources: sources.into_iter().map(|s| (s.name.clone(), s.into())).collect(),
        dkim,
        egresses: egresses.known,
        pools,
        routes,
        retry,
        lanes,
        providers,
        replies,
        trust,
        checks,
        network,
        setup,
        console,
        health: None,
        updates: updates::updates(top, surroundings),
        control: control?,
    })
}

/// The document's own version.
fn version(top: &mut Section<'_>) {
    let version = "Write version = 1";
    if let Some(entry) = top.need("version", version)
        && let Some(number) = entry.number(version)
        && !super::VERSIONS.iter().any(|version| u64::from(*version) == number)
    {
        entry.complain("is a version that this program does not know", version);
    }
}

/// A host name: no address literal.
fn host_name(text: &str) -> Result<Domain, String> {
    let domain = Domain::parse(text).map_err(|e: AddressError| e.to_string())?;
    if domain.literal().is_some() {
        return Err("an address in brackets is no name".to_owned());
    }
    Ok(domain)
}

/// The gateway's own name: receivers look it up, so it has a domain.
fn own_name(text: &str) -> Result<Domain, String> {
    let name = host_name(text)?;
    if !name.as_str().contains('.') {
        return Err("has no domain; receivers refuse such a name".to_owned());
    }
    Ok(name)
}

/// A name that an administrator gives to a thing.
fn plain_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(legal) && !name.starts_with('.')
}

/// What a name may be, for complaints.
const PLAIN_NAME: &str = "Use 1 to 64 of a-z 0-9 . _ - and no dot at the start";

/// Keywords that a key may have, by their serde names.
fn keyword<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|_| "is no word that is known here".to_owned())
}

/// An absolute path: the daemon's working folder means nothing.
fn absolute(text: &str) -> Result<std::path::PathBuf, String> {
    let path = std::path::PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("is not an absolute path".to_owned()) }
}

/// An interface name as Linux allows it (IFNAMSIZ is 16 with the final NUL), of characters that
/// mean nothing to a firewall or a shell: it stands in the plan for the host.
fn device(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = !text.is_empty() && text.len() <= 15 && text.chars().all(legal);
    let dots = text == "." || text == "..";
    if good && !dots { Ok(text.to_owned()) } else { Err("is no interface name".to_owned()) }
}
