//! A configuration as settings by key path, without secrets; and what differs between two.

use std::collections::BTreeMap;

use super::checked::{
    Config, Egress, Hardware, Interface, Ipv4Way, Ipv6Way, Listener, Member, Pool, ProviderRule,
    ReplyRule, Route, RouteHost, RouteMatch, TrustConfig,
};
use super::measure::{write_duration, write_size};
use crate::base::time::WallTime;
use crate::mail::source::{MailboxPattern, Proof, Source};

/// What stands in the place of a secret.
const HIDDEN: &str = "(set)";

/// A value, and whether it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Setting {
    Plain(String),
    Secret(String),
}

impl Setting {
    fn shown(&self) -> String {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Secret(_) => HIDDEN.to_owned(),
        }
    }
}

/// A difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Key path.
    pub key: String,
    /// The old value; none: not set.
    pub old: Option<String>,
    /// The new value; none: not set.
    pub new: Option<String>,
}

/// All settings by key path, defaults included, secrets hidden.
#[must_use]
pub fn settings(config: &Config) -> Vec<(String, String)> {
    flatten(config).0.into_iter().map(|(key, value)| (key, value.shown())).collect()
}

/// What differs, by key path. A changed secret shows as a change without its value.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Difference> {
    let (old, new) = (flatten(old).0, flatten(new).0);
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| {
            let changed_secret =
                matches!((old.get(key), new.get(key)), (Some(Setting::Secret(_)), Some(_)));
            let new = new.get(key).map(Setting::shown);
            Difference {
                key: key.clone(),
                old: old.get(key).map(Setting::shown),
                new: if changed_secret { Some("(set to something else)".to_owned()) } else { new },
            }
        })
        .collect()
}

struct Settings(BTreeMap<String, Setting>);

impl Settings {
    fn put(&mut self, key: impl Into<String>, value: impl std::fmt::Display) {
        self.0.insert(key.into(), Setting::Plain(value.to_string()));
    }

    fn hide(&mut self, key: impl Into<String>, value: impl std::fmt::Display) {
        self.0.insert(key.into(), Setting::Secret(value.to_string()));
    }

    fn maybe(&mut self, key: impl Into<String>, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn flatten(config: &Config) -> Settings {
    let mut settings = Settings(BTreeMap::new());
    let s = &mut settings;
    s.put("hostname", &config.hostname);
    s.put("lab", config.lab);
    s.put("message_size_max", write_size(config.message_octets_max));
    s.put("recipients_max", config.recipients_max);
    s.put("spool.path", config.spool.path.display());
    s.put("spool.ballast", write_size(config.spool.ballast_octets));
    s.put("spool.free_min", write_size(config.spool.free_octets_min));
    s.put("spool.sync_slow", write_duration(config.spool.sync_slow));
    s.put("connections.total_max", config.connections.total_max);
    s.put("connections.per_address_max", config.connections.per_address_max);
    if let Some(tls) = &config.tls {
        s.put("tls.certificate", tls.certificate.display());
        s.put("tls.key", tls.key.display());
    }
    config.listeners.iter().for_each(|listener| put_listener(s, listener));
    config.sources.values().for_each(|source| put_source(s, source));
    for key in &config.dkim {
        let path = format!("dkim.{}.{}", key.domain, key.selector);
        s.put(format!("{path}.algorithm"), word(&key.algorithm));
        s.put(format!("{path}.file"), key.file.display());
    }
    config.egresses.iter().for_each(|egress| put_egress(s, egress));
    config.pools.iter().for_each(|pool| put_pool(s, pool));
    config.routes.iter().for_each(|route| put_route(s, route));
    for (class, retry) in &config.retry {
        s.put(format!("retry.{class}.first"), write_duration(retry.first));
        s.put(format!("retry.{class}.longest"), write_duration(retry.longest));
        s.put(format!("retry.{class}.lifetime"), write_duration(retry.lifetime));
        let notice = retry.delay_notice.map_or_else(|| "never".to_owned(), write_duration);
        s.put(format!("retry.{class}.delay_notice"), notice);
    }
    s.put("lanes.connections_first", config.lanes.connections_first);
    s.put("lanes.connections_max", config.lanes.connections_max);
    s.put("lanes.connections_total_max", config.lanes.connections_total_max);
    s.put("lanes.messages_per_connection", config.lanes.messages_per_connection);
    s.maybe("lanes.messages_per_minute", config.lanes.messages_per_minute);
    put_network(s, config);
    config.providers.iter().for_each(|rule| put_provider(s, rule));
    config.replies.iter().enumerate().for_each(|(index, rule)| put_reply(s, index, rule));
    put_trust(s, &config.trust);
    s.put("health.enabled", config.health.is_some());
    s.maybe("health.listener", config.health.map(|health| health.listener));
    s.maybe("health.sink", config.health.map(|health| health.sink));
    s.put("console.privacy", config.console.privacy);
    s.put("console.language", &config.console.language);
    s.put("control.socket", config.control.socket.display());
    s.put("control.viewers", list(&config.control.viewers));
    s.put("control.operators", list(&config.control.operators));
    s.put("control.administrators", list(&config.control.administrators));
    settings
}

/// A keyword as the document has it.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn put_listener(s: &mut Settings, listener: &Listener) {
    let path = format!("listener.{}", listener.name);
    s.put(format!("{path}.address"), listener.address);
    s.put(format!("{path}.kind"), word(&listener.kind));
    s.maybe(format!("{path}.device"), listener.device.as_ref());
    s.put(format!("{path}.network_sources"), listener.network_sources);
    s.put(format!("{path}.clear_text"), listener.clear_text);
}

fn put_source(s: &mut Settings, source: &Source) {
    let path = format!("source.{}", source.name);
    match &source.proof {
        Proof::Password { user, verifiers } => {
            s.put(format!("{path}.proof"), "password");
            s.put(format!("{path}.user"), user);
            for (index, verifier) in verifiers.iter().enumerate() {
                let path = format!("{path}.password[{index}]");
                s.hide(format!("{path}.argon2id"), &verifier.argon2id);
                if let Some(scram) = &verifier.scram_sha256 {
                    s.hide(format!("{path}.scram_sha256"), scram);
                }
                s.maybe(format!("{path}.not_after"), verifier.not_after);
            }
        }
        Proof::Certificate { spki_sha256 } => {
            s.put(format!("{path}.proof"), "certificate");
            s.put(format!("{path}.certificate_spki_sha256"), list(spki_sha256));
        }
        Proof::Network => s.put(format!("{path}.proof"), "network"),
        Proof::Health => s.put(format!("{path}.proof"), "health"),
    }
    s.put(format!("{path}.networks"), list(&source.networks));
    for (index, pair) in source.pairs.iter().enumerate() {
        let reverse_path = pair.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), pattern);
        s.put(format!("{path}.pairs[{index}].reverse_path"), reverse_path);
        s.put(format!("{path}.pairs[{index}].from"), pattern(&pair.from));
    }
    s.put(format!("{path}.state"), source.state);
    s.maybe(format!("{path}.expires"), source.expires);
    s.put(format!("{path}.class"), source.class);
    s.maybe(format!("{path}.message_size_max"), source.message_octets_max.map(write_size));
    s.maybe(format!("{path}.recipients_max"), source.recipients_max);
    s.maybe(format!("{path}.owner"), source.owner.as_ref());
    s.put(format!("{path}.unsigned"), word(&source.unsigned));
    s.maybe(format!("{path}.pool"), source.pool.as_ref());
    s.maybe(format!("{path}.priority_max"), source.priority_max);
    s.put(format!("{path}.deliver_by"), word(&source.deliver_by));
    for (key, words) in [("tags", &source.tags), ("contacts", &source.contacts)] {
        s.maybe(format!("{path}.{key}"), (!words.is_empty()).then(|| list(words)));
    }
    s.maybe(format!("{path}.notes"), (!source.notes.is_empty()).then_some(&source.notes));
}

/// A pattern as the document writes it.
#[must_use]
pub fn pattern(pattern: &MailboxPattern) -> String {
    format!("{}@{}", pattern.local_part.as_deref().unwrap_or("*"), pattern.domain)
}

fn put_egress(s: &mut Settings, egress: &Egress) {
    let path = format!("egress.{}", egress.name);
    s.maybe(format!("{path}.device"), egress.device.as_ref());
    put_link(s, &path, egress);
    s.put(format!("{path}.ehlo"), &egress.ehlo);
    s.put(format!("{path}.resolvers"), list(&egress.resolvers));
    s.put(format!("{path}.allow_networks"), list(&egress.allow_networks));
    s.put(format!("{path}.mx_port"), egress.mx_port);
    s.put(format!("{path}.https_port"), egress.https_port);
    if let Some(warm_up) = &egress.warm_up {
        let first = WallTime(u64::from(warm_up.first_day) * 86_400_000).rfc3339();
        s.put(format!("{path}.warm_up.first_day"), first.get(..10).unwrap_or_default());
        s.put(format!("{path}.warm_up.steps"), list(&warm_up.steps));
    }
}

/// A pool of the document; an egress alone is no setting.
fn put_pool(s: &mut Settings, pool: &Pool) {
    let alone = |member: &Member| member.egress == pool.name;
    if !pool.members.iter().any(alone) {
        let member = |member: &Member| format!("{} (weight {})", member.egress, member.weight);
        let members: Vec<String> = pool.members.iter().map(member).collect();
        s.put(format!("pool.{}.members", pool.name), list(&members));
    }
}

/// Addresses as the document writes them, and what is around them.
fn put_link(s: &mut Settings, path: &str, egress: &Egress) {
    let link = &egress.link;
    let prefix = |length: Option<u8>| length.map_or_else(String::new, |n| format!("/{n}"));
    s.maybe(format!("{path}.ipv4"), egress.ipv4.map(|a| format!("{a}{}", prefix(link.prefix4))));
    s.maybe(format!("{path}.ipv6"), egress.ipv6.map(|a| format!("{a}{}", prefix(link.prefix6))));
    s.maybe(format!("{path}.gateway4"), link.gateway4);
    s.maybe(format!("{path}.gateway6"), link.gateway6);
    if let Some(vlan) = &link.vlan {
        s.put(format!("{path}.vlan.parent"), &vlan.parent);
        s.put(format!("{path}.vlan.id"), vlan.id);
    }
    s.maybe(format!("{path}.bond"), (!link.bond.is_empty()).then(|| list(&link.bond)));
}

/// Checks of the ways out, and the parts of other interfaces.
fn put_network(s: &mut Settings, config: &Config) {
    let (checks, network) = (&config.checks, &config.network);
    let every = checks.every.map_or_else(|| "never".to_owned(), write_duration);
    s.put("checks.every", every);
    s.maybe("checks.probe", checks.probe.as_ref().map(|(host, port)| format!("{host}:{port}")));
    s.maybe("checks.dnsbl", (!checks.dnsbl.is_empty()).then(|| list(&checks.dnsbl)));
    s.maybe("checks.key", checks.key.as_ref().map(|path| path.display()));
    let updates = &config.updates;
    s.maybe("updates.url", updates.url.as_ref());
    s.put("updates.channel", &updates.channel);
    s.maybe("updates.window", updates.window);
    s.maybe("updates.roots", updates.roots.as_ref().map(|path| path.display()));
    for (key, devices) in
        [("manage", &network.manage), ("intake", &network.intake), ("public", &network.public)]
    {
        s.maybe(format!("network.{key}"), (!devices.is_empty()).then(|| list(devices)));
    }
    s.put("network.egress_user", network.egress_user());
    s.put("network.ssh", network.ssh);
    s.put("time.servers", list(&network.time.servers));
    s.put("time.nts", network.time.nts);
    s.maybe("time.roots", network.time.roots.as_ref().map(|path| path.display()));
    s.maybe("setup.key", config.setup.key.as_ref());
    network.interfaces.iter().for_each(|interface| put_interface(s, interface));
    s.maybe("setup.key", config.setup.key.as_ref());
}

fn put_interface(s: &mut Settings, interface: &Interface) {
    let path = format!("interface.{}", interface.name);
    s.put(format!("{path}.role"), interface.role);
    match &interface.hardware {
        Some(Hardware::Mac(address)) => s.put(format!("{path}.mac"), address),
        Some(Hardware::Name(name)) => s.put(format!("{path}.name"), name),
        None => {}
    }
    s.maybe(
        format!("{path}.ipv4"),
        interface.ipv4.map(|way| match way {
            Ipv4Way::Fixed(net) => net.to_string(),
            Ipv4Way::Dhcp => "dhcp".to_owned(),
        }),
    );
    s.maybe(
        format!("{path}.ipv6"),
        interface.ipv6.map(|way| match way {
            Ipv6Way::Fixed(net) => net.to_string(),
            Ipv6Way::Slaac => "slaac".to_owned(),
            Ipv6Way::Dhcp => "dhcp".to_owned(),
        }),
    );
    s.maybe(format!("{path}.gateway4"), interface.gateway4);
    s.maybe(format!("{path}.gateway6"), interface.gateway6);
    s.maybe(format!("{path}.dns"), (!interface.dns.is_empty()).then(|| list(&interface.dns)));
    if let Some((parent, id)) = &interface.vlan {
        s.put(format!("{path}.vlan.parent"), parent);
        s.put(format!("{path}.vlan.id"), id);
    }
    if !interface.bond.is_empty() {
        s.put(format!("{path}.bond"), list(&interface.bond));
        s.put(format!("{path}.bond_mode"), interface.bond_mode);
    }
    s.maybe(format!("{path}.mtu"), interface.mtu);
}

fn put_trust(s: &mut Settings, trust: &TrustConfig) {
    s.put("trust.dane", word(&trust.dane));
    s.put("trust.mta_sts", trust.mta_sts);
    s.put("trust.remember", word(&trust.remember));
    s.maybe("trust.roots", trust.roots.as_ref().map(|path| path.display()));
    s.put("trust.unsigned", list(&trust.unsigned));
    s.maybe("trust.anchors", trust.anchors.as_ref().map(|path| path.display()));
    for one in &trust.overrides {
        let path = format!("trust.override.{}", matched(&one.matches));
        s.put(format!("{path}.tls"), word(&one.tls));
        s.put(format!("{path}.reason"), &one.reason);
        s.put(format!("{path}.expires"), one.expires);
    }
    if let Some(reports) = &trust.reports {
        s.put("trust.reports.from", &reports.from);
        s.put("trust.reports.organization", &reports.organization);
        s.put("trust.reports.except", list(&reports.except));
    }
}

/// A match as the document writes it.
fn matched(matches: &RouteMatch) -> String {
    match matches {
        RouteMatch::Domain(domain) => domain.to_string(),
        RouteMatch::Subdomains(domain) => format!("*.{domain}"),
        RouteMatch::Any => "*".to_owned(),
    }
}

fn put_route(s: &mut Settings, route: &Route) {
    let path = format!("route.{}", matched(&route.matches));
    let host = |(host, port): &(RouteHost, u16)| match host {
        RouteHost::Name(name) => format!("{name}:{port}"),
        RouteHost::Address(address) => std::net::SocketAddr::new(*address, *port).to_string(),
    };
    s.put(format!("{path}.hosts"), list(&route.hosts.iter().map(host).collect::<Vec<_>>()));
    s.maybe(format!("{path}.egress"), route.egress.as_ref());
    s.put(format!("{path}.tls"), word(&route.tls));
}

fn put_provider(s: &mut Settings, rule: &ProviderRule) {
    let path = format!("provider.{}", rule.name);
    s.put(format!("{path}.mx"), list(&rule.mx));
    s.maybe(format!("{path}.connections_max"), rule.connections_max);
    s.maybe(format!("{path}.messages_per_connection"), rule.messages_per_connection);
    s.maybe(format!("{path}.messages_per_minute"), rule.messages_per_minute);
}

fn put_reply(s: &mut Settings, index: usize, rule: &ReplyRule) {
    let path = format!("reply[{index}]");
    s.maybe(format!("{path}.provider"), rule.provider.as_ref());
    s.maybe(format!("{path}.code"), rule.code);
    s.maybe(format!("{path}.status"), rule.status);
    s.maybe(format!("{path}.text"), rule.text.as_ref());
    s.put(format!("{path}.meaning"), rule.meaning);
    s.maybe(format!("{path}.pause"), rule.pause.map(write_duration));
}
