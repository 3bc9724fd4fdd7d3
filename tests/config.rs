//! Documents that must be refused, each with what must be said; and the sample that must not.
//!
//! `tests/config/NAME.toml` is a document, `tests/config/NAME.expected` the complaints, one a line,
//! each at least as long as what stands there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use postern::base::time::WallTime;
use postern::config::show::{diff, settings};
use postern::config::{Anywhere, Surroundings, read};
use postern::host::plan::Plan;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn sample() -> String {
    fs::read_to_string(folder("systemd/postern.toml")).unwrap()
}

fn complaints(text: &str) -> Vec<String> {
    match read(text, &Anywhere) {
        Ok(_) => Vec::new(),
        Err(complaints) => complaints.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn bad_documents_hear_everything_that_is_wrong() {
    let mut documents = 0;
    for entry in fs::read_dir(folder("tests/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        documents += 1;
        let said = complaints(&fs::read_to_string(&path).unwrap());
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap();
        let expected: Vec<&str> = expected.lines().map(str::trim_end).collect();
        let all = said.join("\n");
        assert_eq!(said.len(), expected.len(), "{}:\n{all}", path.display());
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{}:\n{said}\n{expected}", path.display());
        }
    }
    assert!(documents >= 7, "only {documents} documents");
}

/// Keys of the sample that are examples, not defaults.
const WITHOUT_DEFAULT: &[&str] = &[
    "device",
    "ipv4",
    "gateway4",
    "gateway6",
    "vlan",
    "bond",
    "manage",
    "intake",
    "public",
    "probe",
    "dnsbl",
    "key",
    "ipv6",
    "expires",
    "viewers",
    "operators",
    "administrators",
    "messages_per_minute",
    "message_size_max",
    "recipients_max",
    "pool",
    "priority_max",
    "status",
];

#[test]
fn the_sample_is_good_and_says_its_defaults_truly() {
    let reading = read(&sample(), &Anywhere).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    assert_eq!(reading.warnings, []);
    // Every commented default is uncommented: nothing may change but what the sample cannot know.
    let mut spoken = String::new();
    for line in sample().lines() {
        let default = line.strip_prefix("# ").filter(|rest| {
            let word = rest.split(' ').next().unwrap_or_default();
            let section = rest.starts_with('[') && rest.ends_with(']');
            section || (rest.contains(" = ") && !WITHOUT_DEFAULT.contains(&word))
        });
        spoken.push_str(default.unwrap_or(line));
        spoken.push('\n');
    }
    let spoken = read(&spoken, &Anywhere).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    assert_eq!(diff(&reading.config, &spoken.config), []);
}

#[test]
fn settings_hide_secrets_and_differences_show_that_they_changed() {
    let one = read(&sample(), &Anywhere).unwrap().config;
    let shown = format!("{:?}", settings(&one));
    assert!(!shown.contains("argon2id$v"), "{shown}");
    assert!(shown.contains("(\"source.billing.password[0].argon2id\", \"(set)\")"), "{shown}");
    let changed = sample()
        .replace("c2FtcGxlc2FtcGxlIQ$BVSS", "c2FtcGxlc2FtcGxlIQ$AVSS")
        .replace("class = \"subscribed\"", "class = \"otp\"")
        .replace("tls = \"encrypted\"", "tls = \"opportunistic\"");
    let two = read(&changed, &Anywhere).unwrap().config;
    let keys: Vec<_> = diff(&one, &two).into_iter().map(|d| (d.key, d.old, d.new)).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        keys,
        [
            ("route.partner.example.tls".to_owned(), some("encrypted"), some("opportunistic")),
            (
                "source.billing.password[0].argon2id".to_owned(),
                some("(set)"),
                some("(set to something else)")
            ),
            ("source.crm.class".to_owned(), some("subscribed"), some("otp")),
        ]
    );
}

#[test]
fn an_override_ends_within_a_year_and_one_that_is_over_is_warned_about() {
    struct Today;
    impl Surroundings for Today {
        fn readable(&self, _: &Path) -> Result<(), String> {
            Ok(())
        }
        fn uid(&self, _: &str) -> Option<u32> {
            None
        }
        fn now(&self) -> Option<WallTime> {
            WallTime::parse_rfc3339("2026-06-01T00:00:00Z")
        }
    }
    let text = |expires: &str| {
        format!(
            "{}\n[trust]\nmta_sts = false\n[[trust.override]]\ndomain = \"*.partner.example\"\n\
             tls = \"authenticated\"\nreason = \"agreed\"\nexpires = \"{expires}\"\n\
             [[trust.override]]\ndomain = \"mail.partner.example\"\ntls = \"opportunistic\"\n\
             reason = \"old\"\nexpires = \"{expires}\"\n",
            sample()
        )
    };
    let good = read(&text("2027-06-02T00:00:00Z"), &Today).unwrap();
    assert_eq!(good.warnings, []);
    let shown = settings(&good.config);
    let value = |key: &str| shown.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    assert_eq!(value("trust.mta_sts"), Some("false"));
    assert_eq!(value("trust.override.*.partner.example.tls"), Some("authenticated"));
    assert_eq!(value("trust.override.mail.partner.example.reason"), Some("old"));
    // The most specific first.
    assert_eq!(good.config.trust.overrides[0].reason, "old");
    let over = read(&text("2026-05-31T00:00:00Z"), &Today).unwrap();
    assert_eq!(over.warnings.len(), 2);
    let far = read(&text("2027-06-03T00:00:00Z"), &Today).unwrap_err();
    assert!(far[0].to_string().contains("is more than a year away"), "{}", far[0]);
}

#[test]
fn files_and_people_must_exist() {
    struct Empty;
    impl Surroundings for Empty {
        fn readable(&self, _: &Path) -> Result<(), String> {
            Err("no such file".to_owned())
        }
        fn uid(&self, name: &str) -> Option<u32> {
            (name == "alice").then_some(1001)
        }
    }
    let text = sample().replace("# operators = [\"alice\"]", "operators = [\"alice\", \"zoe\"]");
    let complaints = read(&text, &Empty).unwrap_err();
    let keys: Vec<_> = complaints.iter().map(|complaint| complaint.key.as_str()).collect();
    let files = ["tls.certificate", "tls.key", "dkim[0].file", "dkim[1].file", "dkim[2].file"];
    assert_eq!(keys, [&files[..], &["control.operators[1]"]].concat());
}

#[test]
fn no_document_is_an_open_relay() {
    let wide = |networks: &str| sample().replace("[\"10.20.9.0/24\"]", networks);
    for networks in [
        "[\"0.0.0.0/0\"]",
        "[\"::/0\"]",
        "[\"10.0.0.0/7\"]",
        "[\"2000::/3\"]",
        "[\"::ffff:0.0.0.0/96\"]",
        "[]",
        "[\"11.0.0.0/8\", \"12.0.0.0/8\", \"13.0.0.0/8\"]",
        "[\"10.20.9.1/24\"]",
    ] {
        assert!(!complaints(&wide(networks)).is_empty(), "{networks}");
    }
    let halves: Vec<String> = (0..256).map(|n| format!("\"{n}.0.0.0/8\"")).collect();
    assert!(!complaints(&wide(&format!("[{}]", halves.join(", ")))).is_empty());
    for from in [
        "*",
        "*@*",
        "@",
        "*@com",
        "*@co.uk",
        "*@*.example.com",
        "a*@example.com",
        "",
        "*@[192.0.2.1]",
        "*@gmail.com.",
        "*example.com",
    ] {
        let text =
            sample().replace("from = \"scanner@example.com\"", &format!("from = \"{from}\""));
        assert!(!complaints(&text).is_empty(), "{from}");
    }
    let text = sample().replace("networks = [\"10.20.9.0/24\"]", "");
    assert!(complaints(&text)[0].contains("open relay"));
}

#[test]
fn no_text_makes_the_check_fall_over() {
    let sample = sample();
    // Every prefix and every document that lacks one line: complaints, never a panic.
    for end in (0..sample.len()).step_by(37) {
        let _ = read(&sample[..end], &Anywhere);
    }
    for skip in 0..sample.lines().count() {
        let text: Vec<&str> =
            sample.lines().enumerate().filter(|(n, _)| *n != skip).map(|(_, l)| l).collect();
        let _ = read(&text.join("\n"), &Anywhere);
    }
    for kind in ["1", "true", "\"x\"", "[]", "{}", "1.5", "2026-01-01", "[[]]", "[{}]"] {
        for key in [
            "version",
            "hostname",
            "lab",
            "spool",
            "listener",
            "tls",
            "source",
            "dkim",
            "egress",
            "route",
            "retry",
            "lanes",
            "provider",
            "reply",
            "control",
            "connections",
            "network",
            "checks",
            "interface",
            "time",
        ] {
            assert!(read(&format!("{key} = {kind}\n"), &Anywhere).is_err());
        }
    }
}

#[test]
fn interfaces_give_parts_and_say_what_an_egress_is_made_of() {
    let described = sample().replace("device = \"eth1\"", "device = \"egress0\"")
        + "[interface.manage0]\nmac = \"52-54-00-12-00-0A\"\nrole = \"manage\"\nipv4 = \"dhcp\"\n\
           ipv6 = \"2001:db8::2/64\"\ngateway6 = \"fe80::1\"\ndns = [\"10.1.0.53\"]\n\
           [interface.intake0]\nname = \"enp2s0\"\nrole = \"intake\"\nipv4 = \"10.20.0.1/16\"\n\
           [interface.egress0]\nrole = \"egress\"\nmtu = 9000\nbond_mode = \"802.3ad\"\n\
           vlan = { parent = \"bond0\", id = 25 }\nbond = [\"52:54:00:12:00:0b\", \"eth3\"]\n\
           [time]\nnts = false\n";
    let reading = read(&described, &Anywhere).unwrap_or_else(|c| panic!("{c:#?}"));
    assert_eq!(reading.warnings, []);
    let config = reading.config;
    assert_eq!(
        (&config.network.manage, &config.network.intake),
        (&vec!["manage0".to_owned()], &vec!["intake0".to_owned()],)
    );
    let link = &config.egresses[0].link;
    assert_eq!(link.vlan.as_ref().unwrap().parent, "bond0");
    assert_eq!(link.bond, ["nic52540012000b", "eth3"]);
    let shown = settings(&config);
    let value = |key: &str| shown.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    for (key, wanted) in [
        ("interface.manage0.mac", "52:54:00:12:00:0a"),
        ("interface.manage0.ipv4", "dhcp"),
        ("interface.manage0.ipv6", "2001:db8::2/64"),
        ("interface.manage0.gateway6", "fe80::1"),
        ("interface.manage0.dns", "10.1.0.53"),
        ("interface.intake0.name", "enp2s0"),
        ("interface.egress0.role", "egress"),
        ("interface.egress0.vlan.parent", "bond0"),
        ("interface.egress0.vlan.id", "25"),
        ("interface.egress0.bond", "52:54:00:12:00:0b, eth3"),
        ("interface.egress0.bond_mode", "802.3ad"),
        ("interface.egress0.mtu", "9000"),
        ("time.nts", "false"),
        ("network.ssh", "false"),
    ] {
        assert_eq!(value(key), Some(wanted), "{key}");
    }
    // An egress on the interface of another part is refused as before.
    let shared =
        described.replace("role = \"egress\"\nmtu", "role = \"public\"\nipv4 = \"dhcp\"\nmtu");
    assert!(read(&shared.replace("public", "intake"), &Anywhere).is_err());
}

#[test]
fn a_pool_whose_members_differ_in_family_is_warned_about() {
    let egress = |name: &str, address: &str, more: &str| {
        format!(
            "[egress.{name}]\ndevice = \"{name}\"\nipv4 = \"{address}\"\nresolvers = \
             [\"9.9.9.9\"]\n{more}\n"
        )
    };
    let pool = "[pool.all]\nmembers = [\"eth7\", { egress = \"eth8.25\", weight = 3 }]\n";
    let text = sample()
        + &egress("eth7", "192.0.2.7", "warm_up = { first_day = 2026-11-20, steps = [5, 10] }")
        + &egress("\"eth8.25\"", "192.0.2.8", "ipv6 = \"2001:db8::8\"").replace("\"\"", "\"")
        + pool;
    let reading = read(&text, &Anywhere).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    let warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("eth8.25 has an IPv6 address and eth7 has none"), "{warnings:?}");
    let config = reading.config;
    let names: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["all", "main", "eth7", "eth8.25"]);
    assert_eq!(config.pool(None).unwrap().members[1].weight, 3);
    let warm_up = config.egresses[1].warm_up.clone().unwrap();
    assert_eq!(warm_up.first_day, 20_777, "2026-11-20");
    assert_eq!(warm_up.allowance(20_776), Some(5), "before the first day, as on the first");
    assert_eq!(warm_up.allowance(20_778), Some(10));
    assert_eq!(warm_up.allowance(20_779), None);
    let shown = settings(&config);
    let value = |key: &str| shown.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    assert_eq!(value("pool.all.members"), Some("eth7 (weight 1), eth8.25 (weight 3)"));
    assert_eq!(value("egress.eth7.warm_up.first_day"), Some("2026-11-20"));
    assert_eq!(value("egress.eth7.warm_up.steps"), Some("5, 10"));
    assert_eq!(value("pool.main.members"), None);
}

/// The health gate's parts are added to the configuration, shown, and no part of what surrounds the
/// machine.
#[test]
fn a_health_gate_changes_nothing_outside() {
    let gate = format!("{}\n[health]\nenabled = true\n", sample());
    let with = read(&gate, &Anywhere).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    assert_eq!(with.warnings, []);
    let without = read(&sample(), &Anywhere).unwrap().config;
    let shown = settings(&with.config);
    for (key, value) in [
        ("health.enabled", "true"),
        ("health.sink", "127.0.0.1:2526"),
        ("listener.health.address", "127.0.0.1:2587"),
        ("listener.health.kind", "health"),
        ("source.health.proof", "health"),
        ("source.health.pairs[0].from", "*@health.invalid"),
        ("egress.health.device", "lo"),
        ("route.health.invalid.hosts", "127.0.0.1:2526"),
        ("dkim.health.invalid.health.file", "/var/lib/postern/spool/health.pem"),
    ] {
        let pair = (key.to_owned(), value.to_owned());
        assert!(shown.contains(&pair), "{pair:?} is not in {shown:#?}");
    }
    // It is neither the default pool nor in any.
    assert_eq!(with.config.pool(None), without.pool(None));
    assert_eq!(*with.config.outward(), without);
    assert_eq!(Plan::of(&with.config), Plan::of(&without));
    assert_eq!(with.config.ways_out().count(), without.egresses.len());
    // An exception for everybody is not for the gate's sink, which speaks no TLS.
    let wide = format!(
        "{gate}[[trust.override]]\ndomain = \"*\"\ntls = \"authenticated\"\n\
         reason = \"r\"\nexpires = \"2027-01-31T00:00:00Z\"\n"
    );
    let wide = read(&wide, &Anywhere).unwrap().config;
    let shown = settings(&wide);
    let own = ("trust.override.health.invalid.tls".to_owned(), "opportunistic".to_owned());
    assert!(shown.contains(&own), "{shown:#?}");
    assert_eq!((wide.trust.overrides.len(), wide.outward().trust.overrides.len()), (2, 1));
    // Switched off, it is not there.
    let off = gate.replace("enabled = true", "enabled = false");
    assert_eq!(read(&off, &Anywhere).unwrap().config, without);
}
