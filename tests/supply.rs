//! What comes into the house from outside: `.deny.toml` enforced offline.
//!
//! Licences and bans are read from `cargo tree` (what is really built, features resolved),
//! sources from `Cargo.lock` (everything that could be fetched).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use toml::Table;
use toml::Value;

/// One package that is built, and the packages that ask for it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Package {
    licence: String,
    parents: Vec<String>,
}

type Tree = BTreeMap<String, Package>;

fn read(path: &str) -> Table {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    text.parse().unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// What cargo builds for `target`, development and build dependencies included.
fn tree(target: &str) -> Tree {
    let listed = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--no-dedupe", "--prefix", "depth"])
        .args(["--edges", "normal,build,dev", "--format", "\t{p}\t{l}", "--target", target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    planted(&String::from_utf8(listed.stdout).expect("cargo speaks UTF-8"))
}

/// Reads `depth<TAB>name version<TAB>licence` lines.
fn planted(listing: &str) -> Tree {
    let mut tree = Tree::new();
    let mut above: Vec<String> = Vec::new();
    for line in listing.lines() {
        let mut fields = line.split('\t');
        let Some(Ok(depth)) = fields.next().map(str::parse::<usize>) else { continue };
        let name = fields.next().and_then(|package| package.split(' ').next()).unwrap_or_default();
        let package = tree.entry(name.to_owned()).or_default();
        fields.next().unwrap_or_default().clone_into(&mut package.licence);
        above.truncate(depth);
        if let Some(parent) = above.last().filter(|parent| !package.parents.contains(parent)) {
            package.parents.push(parent.clone());
        }
        above.push(name.to_owned());
    }
    tree
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let array = value.and_then(Value::as_array).cloned().unwrap_or_default();
    array.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// True if an SPDX expression can be met with the allowed licences.
fn licensed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = any_of(&words, allowed);
    met && rest.is_empty()
}

fn any_of<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = all_of(words, allowed);
    while rest.first() == Some(&"OR") {
        let (next, after) = all_of(&rest[1..], allowed);
        met |= next;
        rest = after;
    }
    (met, rest)
}

fn all_of<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, allowed);
    while rest.first() == Some(&"AND") {
        let (next, after) = one(&rest[1..], allowed);
        met &= next;
        rest = after;
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inside @ ..] => {
            let (met, rest) = any_of(inside, allowed);
            (met && rest.first() == Some(&")"), rest.get(1..).unwrap_or_default())
        }
        [name, "WITH", exception, rest @ ..] => {
            (allowed.contains(&format!("{name} WITH {exception}")), rest)
        }
        [name, rest @ ..] => (allowed.iter().any(|known| known == name), rest),
        [] => (false, words),
    }
}

fn unlicensed(tree: &Tree, rules: &Table) -> Vec<String> {
    let licences = rules.get("licenses").and_then(Value::as_table).expect("[licenses]");
    let allowed = strings(licences.get("allow"));
    let exceptions = licences.get("exceptions").and_then(Value::as_array);
    let mut bad = Vec::new();
    for (name, package) in tree {
        let mut own = allowed.clone();
        for exception in exceptions.into_iter().flatten() {
            if exception.get("crate").and_then(Value::as_str) == Some(name) {
                own.extend(strings(exception.get("allow")));
            }
        }
        if !licensed(&package.licence, &own) {
            bad.push(format!("{name}: licence `{}` is not in .deny.toml", package.licence));
        }
    }
    bad
}

fn banned(tree: &Tree, rules: &Table) -> Vec<String> {
    let bans = rules.get("bans").and_then(|bans| bans.get("deny")).and_then(Value::as_array);
    let mut bad = Vec::new();
    for ban in bans.expect("[bans] deny") {
        let name = ban.get("crate").and_then(Value::as_str).expect("a banned crate has a name");
        let reason = ban.get("reason").and_then(Value::as_str).expect("a ban has a reason");
        let wrappers = strings(ban.get("wrappers"));
        let Some(package) = tree.get(name) else { continue };
        for parent in package.parents.iter().filter(|parent| !wrappers.contains(parent)) {
            bad.push(format!("{parent} brings {name}: {reason}"));
        }
    }
    bad
}

fn strays(lock: &Table, rules: &Table) -> Vec<String> {
    let sources = rules.get("sources").and_then(Value::as_table).expect("[sources]");
    let allowed = strings(sources.get("allow-registry"));
    let mut bad = Vec::new();
    for package in lock.get("package").and_then(Value::as_array).expect("packages") {
        let text = |key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default();
        let (name, source) = (text("name"), text("source"));
        if name == "postern" && source.is_empty() {
            continue;
        }
        if !allowed.iter().any(|registry| source == format!("registry+{registry}")) {
            bad.push(format!("{name} comes from `{source}`"));
        } else if text("checksum").is_empty() {
            bad.push(format!("{name} has no checksum"));
        }
    }
    bad
}

/// Requirements that any version meets.
fn wildcards(manifest: &Table) -> Vec<String> {
    let mut bad = Vec::new();
    for part in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, want) in manifest.get(part).and_then(Value::as_table).into_iter().flatten() {
            let version = want.as_str().or_else(|| want.get("version").and_then(Value::as_str));
            if version.is_none_or(|version| version.contains('*')) {
                bad.push(format!("{name} in [{part}] asks for no version"));
            }
        }
    }
    bad
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn what_is_built_is_licensed_and_welcome() {
    let rules = read(".deny.toml");
    let targets = strings(rules.get("graph").and_then(|graph| graph.get("targets")));
    assert!(!targets.is_empty(), "[graph] targets");
    for target in targets {
        let tree = tree(&target);
        assert!(tree.len() > 20, "cargo tree shows hardly anything for {target}");
        assert_eq!(unlicensed(&tree, &rules), none(), "{target}");
        assert_eq!(banned(&tree, &rules), none(), "{target}");
    }
}

#[test]
fn everything_comes_from_the_registry() {
    let rules = read(".deny.toml");
    assert_eq!(strays(&read("Cargo.lock"), &rules), none());
    assert_eq!(wildcards(&read("Cargo.toml")), none());
}

#[test]
fn each_rule_can_fail() {
    let rules = read(".deny.toml");
    let bad = planted("0\tpostern v0\tApache-2.0\n1\tring v1\tISC\n1\tgpl v1\tGPL-3.0-only\n");
    assert_eq!(unlicensed(&bad, &rules).len(), 1);
    assert_eq!(banned(&bad, &rules).len(), 1);
    let wrapped = "0\tpostern v0\tMIT\n1\tx509-parser v1\tMIT\n2\ttime v1\tMIT\n";
    assert_eq!(banned(&planted(wrapped), &rules), none());
    assert_eq!(banned(&planted(&format!("{wrapped}1\ttime v1\tMIT\n")), &rules).len(), 1);
    let git: Table =
        "[[package]]\nname = \"a\"\nsource = \"git+https://example.com/a\"".parse().unwrap();
    assert_eq!(strays(&git, &rules).len(), 1);
    let bare = "[[package]]\nname = \"a\"\n\
        source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    assert_eq!(strays(&bare.parse().unwrap(), &rules), ["a has no checksum"]);
    assert_eq!(wildcards(&"[dependencies]\na = \"*\"".parse().unwrap()).len(), 1);
}

#[test]
fn licence_expressions() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned(), "A WITH B".to_owned()];
    for good in ["MIT", "MIT OR GPL", "GPL/MIT", "MIT AND (ISC OR GPL)", "A WITH B OR GPL"] {
        assert!(licensed(good, &allowed), "{good}");
    }
    for bad in ["", "GPL", "MIT AND GPL", "(MIT", "MIT)", "A", "MIT AND (GPL OR A)", "MIT ISC"] {
        assert!(!licensed(bad, &allowed), "{bad}");
    }
}
