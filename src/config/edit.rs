//! A document with some of its values changed: comments, order and everything else stay as they
//! are. Whether the result makes sense is for the checks.

use std::net::IpAddr;

use toml_edit::{DocumentMut, Item, Key, Table, Value};

/// One value that is to be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The path to it: `interface.manage0.ipv4`.
    pub key: String,
    /// The value as the document has it, or words that become a text; none: it is taken out.
    pub value: Option<String>,
}

/// The document with these values.
///
/// # Errors
/// Why a value cannot be put in its place, and what to do.
pub fn with(document: &str, settings: &[Setting]) -> Result<String, String> {
    let mut edited = parse(document)?;
    for setting in settings {
        set(&mut edited, setting)?;
    }
    Ok(edited.to_string())
}

fn parse(document: &str) -> Result<DocumentMut, String> {
    document.parse().map_err(|cause| format!("the document in force cannot be read: {cause}"))
}

fn set(document: &mut DocumentMut, setting: &Setting) -> Result<(), String> {
    let path = setting.key.trim();
    let keys = Key::parse(path)
        .map_err(|_| format!("{path} is no key; one looks like interface.manage0.ipv4"))?;
    let Some((last, sections)) = keys.split_last() else {
        return Err("no key was given".to_owned());
    };
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    for section in sections {
        if setting.value.is_none() && !table.contains_key(section.get()) {
            return Ok(());
        }
        let inner = table.entry(section.get()).or_insert_with(|| {
            let mut made = Table::new();
            // Its line stands only if something is in it.
            made.set_implicit(true);
            Item::Table(made)
        });
        table = inner.as_table_like_mut().ok_or_else(|| {
            format!("{} of {path} is no section: bring a whole document for that", section.get())
        })?;
    }
    let Some(text) = &setting.value else {
        if table.get(last.get()).is_some_and(|item| !item.is_value()) {
            return Err(format!(
                "{path} is a section, not a value: bring a whole document for that"
            ));
        }
        table.remove(last.get());
        return Ok(());
    };
    let mut value = value(text);
    match table.get_mut(last.get()) {
        Some(Item::Value(old)) => {
            // What stands behind it on its line stays there.
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        Some(_) => {
            return Err(format!(
                "{path} is a section, not a value: bring a whole document for that"
            ));
        }
        None => {
            table.insert(last.get(), Item::Value(value));
        }
    }
    Ok(())
}

/// What reads as a value is one; everything else is a text, so that people need no quotes.
fn value(text: &str) -> Value {
    let text = text.trim();
    text.parse().unwrap_or_else(|_| Value::from(text))
}

/// A new address of an interface; none: it stays as it is, `none`: there is none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// `10.1.0.2/24` or `dhcp`.
    pub ipv4: Option<String>,
    /// Its router.
    pub gateway4: Option<String>,
    /// `2001:db8::2/64`, `slaac` or `dhcp`.
    pub ipv6: Option<String>,
    /// Its router.
    pub gateway6: Option<String>,
}

/// What is to be set so that an interface has another address: the addresses of a way out stand
/// with the way out, those of other interfaces with the interface.
///
/// # Errors
/// There is no such interface, or a router is no address.
pub fn address(document: &str, name: &str, wanted: &Address) -> Result<Vec<Setting>, String> {
    let edited = parse(document)?;
    let section = section_of(&edited, name)
        .ok_or_else(|| format!("there is no interface {name}; `network show` lists them"))?;
    let mut settings = Vec::new();
    for (key, value) in [
        ("ipv4", &wanted.ipv4),
        ("gateway4", &wanted.gateway4),
        ("ipv6", &wanted.ipv6),
        ("gateway6", &wanted.gateway6),
    ] {
        let Some(value) = value.as_deref().map(str::trim) else { continue };
        if key.starts_with("gateway") && value != "none" && value.parse::<IpAddr>().is_err() {
            return Err(format!("the router {value} is no address; none: there is no router"));
        }
        let value = (value != "none").then(|| value.to_owned());
        settings.push(Setting { key: format!("{section}.{key}"), value });
    }
    Ok(settings)
}

/// Where the addresses of an interface, or of a way out, stand.
fn section_of(document: &DocumentMut, name: &str) -> Option<String> {
    let section = |kind: &str| document.get(kind).and_then(Item::as_table_like);
    let path = |kind: &str, name: &str| {
        let keys = [Key::new(kind), Key::new(name)];
        keys.map(|key| key.display_repr().into_owned()).join(".")
    };
    let egresses = section("egress");
    if egresses.is_some_and(|egresses| egresses.contains_key(name)) {
        return Some(path("egress", name));
    }
    let by_device = egresses.and_then(|egresses| {
        egresses.iter().find(|(_, egress)| {
            egress.get("device").and_then(Item::as_str).is_some_and(|device| device == name)
        })
    });
    if let Some((egress, _)) = by_device {
        return Some(path("egress", egress));
    }
    let interfaces = section("interface")?;
    interfaces.contains_key(name).then(|| path("interface", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"# Ours.
hostname = "relay.example.com"   # as in DNS

[egress.main]
device = "egress0"
ipv4 = "192.0.2.25/24"           # the old provider's
gateway4 = "192.0.2.1"

[interface.manage0]
role = "manage"
ipv4 = "10.1.0.2/24"

[[dkim]]
domain = "example.com"
"#;

    fn set_to(key: &str, value: Option<&str>) -> Result<String, String> {
        with(DOCUMENT, &[Setting { key: key.to_owned(), value: value.map(str::to_owned) }])
    }

    #[test]
    fn only_what_is_changed_changes() {
        let edited = set_to("egress.main.ipv4", Some("198.51.100.9/24")).unwrap();
        let wanted = DOCUMENT.replace("192.0.2.25/24", "198.51.100.9/24");
        assert_eq!(edited, wanted);
        let edited = set_to("egress.main.gateway4", None).unwrap();
        assert_eq!(edited, DOCUMENT.replace("gateway4 = \"192.0.2.1\"\n", ""));
        assert_eq!(set_to("egress.other.ipv4", None).unwrap(), DOCUMENT);
    }

    #[test]
    fn values_keep_their_kind_and_words_are_text() {
        let edited = set_to("interface.manage0.mtu", Some("1400")).unwrap();
        assert!(edited.contains("ipv4 = \"10.1.0.2/24\"\nmtu = 1400\n"), "{edited}");
        let edited = set_to("time.servers", Some(r#"["ptbtime1.ptb.de"]"#)).unwrap();
        assert!(edited.contains("[time]\nservers = [\"ptbtime1.ptb.de\"]\n"), "{edited}");
        let edited = set_to("interface.manage0.ipv4", Some("dhcp")).unwrap();
        assert!(edited.contains("ipv4 = \"dhcp\"\n"), "{edited}");
    }

    #[test]
    fn what_is_no_value_is_refused_with_its_name() {
        for (key, word) in [
            ("dkim.domain", "is no section"),
            ("egress.main", "is a section"),
            ("egress..ipv4", "is no key"),
            ("hostname.x", "is no section"),
        ] {
            let refused = set_to(key, Some("x")).unwrap_err();
            assert!(refused.contains(word), "{key}: {refused}");
        }
    }

    #[test]
    fn the_address_of_a_way_out_stands_with_the_way_out() {
        let wanted = Address {
            ipv4: Some("198.51.100.9/24".to_owned()),
            gateway4: Some("none".to_owned()),
            ..Address::default()
        };
        for (name, section) in
            [("egress0", "egress.main"), ("main", "egress.main"), ("manage0", "interface.manage0")]
        {
            let settings = address(DOCUMENT, name, &wanted).unwrap();
            let keys: Vec<_> = settings.iter().map(|setting| setting.key.as_str()).collect();
            assert_eq!(keys, [format!("{section}.ipv4"), format!("{section}.gateway4")]);
            assert_eq!(settings.last().unwrap().value, None);
        }
        assert!(address(DOCUMENT, "intake0", &wanted).unwrap_err().contains("no interface"));
        let wrong = Address { gateway4: Some("192.0.2".to_owned()), ..Address::default() };
        assert!(address(DOCUMENT, "manage0", &wrong).unwrap_err().contains("no address"));
    }
}
