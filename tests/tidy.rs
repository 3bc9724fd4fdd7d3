//! The rules of the house, read from the sources: floors, doors, seals, sizes, words, places.
//!
//! A rule that is not a test is a wish, and a test that cannot fail is one too: each rule here is
//! a function from source text to complaints, and `each_rule_can_fail` feeds every one of them
//! text that breaks it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

#[path = "tidy/text.rs"]
mod text;

use text::{code_of, idents, imports, without_tests, words_of};

/// Floor of each top-level module. A module may use lower floors only.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("mail", 1),
    ("smtp", 2),
    ("config", 2),
    ("event", 2),
    ("source", ROOMS),
    ("policy", ROOMS),
    ("scan", ROOMS),
    ("sign", ROOMS),
    ("spool", ROOMS),
    ("queue", ROOMS),
    ("route", ROOMS),
    ("outcome", ROOMS),
    ("update", ROOMS),
    ("store", PIPES),
    ("net", PIPES),
    ("dns", PIPES),
    ("host", PIPES),
    ("control", PIPES),
    ("service", 5),
    ("cli", 6),
    ("console", 6),
    ("demo", 6),
    ("health", 6),
    ("manual", 6),
    ("main", 7),
];
const ROOMS: u8 = 3;
const PIPES: u8 = 4;

/// A foreign crate that can surprise us, and the only places that may speak to it.
const DOORS: &[(&str, &[&str])] = &[
    ("sled", &["store/"]),
    ("socket2", &["net/"]),
    ("nix", &["host/", "net/", "store/", "control/", "console/term.rs"]),
    ("rustix", &["host/", "net/", "store/", "control/"]),
    ("libc", &["host/"]),
    ("hickory_resolver", &["dns/", "demo/names.rs"]),
    ("hickory_proto", &["dns/"]),
    ("mail_auth", &["sign/"]),
    ("mail_parser", &["scan/", "sign/"]),
    ("rustls", &["net/"]),
    ("tokio_rustls", &["net/"]),
    ("webpki_roots", &["net/"]),
    ("hyper", &["net/"]),
    ("hyper_util", &["net/"]),
    ("http_body_util", &["net/"]),
    ("rcgen", &["demo/", "service/host/certificate.rs"]),
    ("argon2", &["source/"]),
    ("clap", &["cli/", "main.rs"]),
    ("jiff", &["base/"]),
    ("toml", &["config/"]),
    ("tracing", &["event/"]),
    ("tracing_subscriber", &["event/"]),
    ("tracing_journald", &["event/"]),
    ("sd_notify", &["host/"]),
];

/// Proofs of the route, and the only room that may make each (tests excepted).
const SEALS: &[(&str, &str)] = &[
    ("Attributed", "source/"),
    ("Permitted", "policy/"),
    ("Cleared", "scan/"),
    ("Signed", "sign/"),
    ("Custody", "spool/"),
];

/// Words with a better one in this house.
const BANNED_WORDS: &[(&str, &str)] = &[
    ("txn", "transaction"),
    ("rcpt", "forward-path or recipient"),
    ("payload", "content"),
    ("email", "message or mail"),
    ("util", "the name of what it does"),
    ("utils", "the name of what it does"),
    ("helper", "the name of what it does"),
    ("helpers", "the name of what it does"),
    ("manager", "the verb it does"),
    ("common", "the noun it is"),
    ("misc", "the noun it is"),
];

/// What the root of the repository may hold, besides dotfiles.
const ROOT: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "src",
    "tests",
    "systemd",
    "image",
    "buildroot-config",
];

const FILE_LINES_MAX: usize = 600;
const LINE_COLUMNS_MAX: usize = 100;

/// One tracked file: its path from the root with `/`, and its text.
struct Source {
    path: String,
    text: String,
    code: OnceLock<String>,
    production: OnceLock<String>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: OnceLock::new(),
            production: OnceLock::new(),
        }
    }

    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|kind| kind == "rs")
    }

    /// Path below `src/`, for Rust files of the crate.
    fn place(&self) -> Option<&str> {
        self.path.strip_prefix("src/").filter(|_| self.is_rust())
    }

    /// Top-level module that the file belongs to; the crate's own root has none.
    fn module(&self) -> Option<&str> {
        let place = self.place()?;
        let first = place.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        (name != "lib").then_some(name)
    }

    /// True for files that hold only tests.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
            || self.path.strip_prefix("src/").is_some_and(|place| place.contains("/tests/"))
    }

    /// Code without comments and strings; nothing for what is not Rust.
    fn code(&self) -> &str {
        self.code.get_or_init(|| if self.is_rust() { code_of(&self.text) } else { String::new() })
    }

    /// Code without test modules; empty for test files.
    fn production(&self) -> &str {
        let cut = || if self.is_test() { String::new() } else { without_tests(self.code()) };
        self.production.get_or_init(cut)
    }
}

type Rule = fn(&Source) -> Vec<String>;

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// A file uses only lower floors; its neighbours on the same floor are as far away as the roof.
fn floors(source: &Source) -> Vec<String> {
    let Some(module) = source.module() else { return Vec::new() };
    let Some(own) = floor(module) else {
        return vec![format!("module `{module}` stands on no floor: name it in tests/tidy.rs")];
    };
    let mut bad = Vec::new();
    for used in imports(source.place().unwrap_or_default(), source.production()) {
        let Some(other) = floor(&used) else { continue };
        if used != module && other >= own {
            bad.push(format!("floor {own} `{module}` uses `{used}` of floor {other}"));
        }
    }
    bad
}

/// Below the pipes nothing waits, touches the outside, or reads a clock.
fn purity(source: &Source) -> Vec<String> {
    const IMPURE: &[&str] = &[
        "async fn",
        ".await",
        "tokio::",
        "std::fs",
        "std::env",
        "std::process",
        "std::thread",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "SystemTime::now",
        "Instant::now()",
        "thread_rng",
    ];
    let Some(module) = source.module() else { return Vec::new() };
    if floor(module).is_none_or(|floor| floor >= PIPES) {
        return Vec::new();
    }
    let code = source.production();
    IMPURE.iter().filter(|word| code.contains(*word)).map(|word| format!("`{word}`")).collect()
}

/// Each foreign crate has its doors.
fn doors(source: &Source) -> Vec<String> {
    let Some(place) = source.place() else { return Vec::new() };
    let code = text::squeeze(source.production());
    let mut bad = Vec::new();
    for (name, allowed) in DOORS {
        if allowed.iter().any(|door| place.starts_with(door)) {
            continue;
        }
        if text::mentions_crate(&code, name) {
            bad.push(format!("`{name}` has its door in {}", allowed.join(", ")));
        }
    }
    bad
}

/// The proofs of the route are minted only in their rooms.
fn seals(source: &Source) -> Vec<String> {
    let Some(place) = source.place() else { return Vec::new() };
    let code = source.production();
    let mut bad = Vec::new();
    for (seal, room) in SEALS {
        let minted = code.contains(&format!("{seal}::mint"));
        if minted && !place.starts_with(room) {
            bad.push(format!("`{seal}::mint` may be written only in {room}"));
        }
    }
    bad
}

/// Files are short enough to read in one sitting, lines to read without scrolling.
fn sizes(source: &Source) -> Vec<String> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut bad = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        bad.push(format!("{lines} lines, at most {FILE_LINES_MAX}"));
    }
    for (at, line) in source.text.lines().enumerate() {
        // A row of a table in a comment cannot be folded.
        let row = line.trim_start().starts_with("//! |");
        if !row && line.chars().count() > LINE_COLUMNS_MAX {
            bad.push(format!("line {} is wider than {LINE_COLUMNS_MAX} columns", at + 1));
        }
    }
    bad
}

/// Every Rust file says its duty first.
fn module_docs(source: &Source) -> Vec<String> {
    let rust = source.is_rust();
    let said = source.text.lines().find(|line| !line.trim().is_empty());
    match said {
        Some(line) if line.starts_with("//! ") => Vec::new(),
        _ if rust => vec!["does not open with `//! ` and one sentence of duty".to_owned()],
        _ => Vec::new(),
    }
}

/// Identifiers and file names use the words of the house.
fn words(source: &Source) -> Vec<String> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut bad = Vec::new();
    let stem = Path::new(&source.path).with_extension("");
    let mut names = text::own_names(source.code());
    names.extend(stem.to_string_lossy().split('/').map(str::to_owned));
    for name in names.iter().filter(|name| !verb_of_the_protocol(name)) {
        for word in words_of(name) {
            if let Some((_, better)) = BANNED_WORDS.iter().find(|(banned, _)| *banned == word) {
                bad.push(format!("`{name}`: not `{word}`, say {better}"));
            }
        }
    }
    bad.sort();
    bad.dedup();
    bad
}

/// RCPT as the verb of RFC 5321, and names that a foreign crate or RFC has given.
fn verb_of_the_protocol(name: &str) -> bool {
    let constant = !name.chars().any(char::is_lowercase);
    constant && words_of(name).iter().any(|word| word == "rcpt") || matches!(name, "Rcpt" | "rcpt")
}

/// `unsafe` only in `host/`, each with its two comments.
fn danger(source: &Source) -> Vec<String> {
    let Some(place) = source.place() else { return Vec::new() };
    let code = source.code();
    if !idents(code).iter().any(|word| word == "unsafe") {
        return Vec::new();
    }
    if !place.starts_with("host/") {
        return vec!["`unsafe` outside host/".to_owned()];
    }
    let blocks = code.matches("unsafe {").count() + code.matches("unsafe fn").count();
    let said = source.text.matches("// SAFETY:").count();
    let why = source.text.matches("// JUSTIFICATION:").count();
    if said < blocks || why == 0 {
        return vec![format!("{blocks} `unsafe`, {said} SAFETY and {why} JUSTIFICATION comments")];
    }
    Vec::new()
}

/// Every `allow` gives its reason, and no lint is switched off for a whole file.
fn allowances(source: &Source) -> Vec<String> {
    let code = source.code();
    let mut bad = Vec::new();
    for (at, line) in code.lines().enumerate() {
        if line.trim_start().starts_with("#![allow") && source.place().is_some() {
            bad.push(format!("line {}: a whole file is excused", at + 1));
        }
    }
    bad
}

/// No tracked file knows the machine that it was written on.
fn places(source: &Source) -> Vec<String> {
    let strange = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/tmp/", "wt/"),
        concat!("crates", "-mirror"),
        concat!("artifac", "tory"),
        concat!("/simple", "/pip"),
    ];
    let mut bad = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        for word in strange.iter().filter(|word| line.contains(*word)) {
            bad.push(format!("line {}: `{word}`", at + 1));
        }
    }
    bad
}

const RULES: &[(&str, Rule)] = &[
    ("floors", floors),
    ("purity", purity),
    ("doors", doors),
    ("seals", seals),
    ("sizes", sizes),
    ("module docs", module_docs),
    ("words", words),
    ("danger", danger),
    ("allowances", allowances),
    ("places", places),
];

/// Files that git knows or would add: the repository as a reader of it sees it.
fn tracked() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let mut sources = Vec::new();
    for path in String::from_utf8(listed.stdout).expect("paths are UTF-8").split('\0') {
        if path.is_empty() || !root.join(path).is_file() {
            continue;
        }
        let octets = std::fs::read(root.join(path)).expect("a listed file is readable");
        let text = String::from_utf8(octets).unwrap_or_default();
        sources.push(Source::new(path, &text));
    }
    assert!(sources.len() > 20, "git ls-files found hardly anything");
    sources
}

fn complaints(rule: Rule, name: &str, sources: &[Source]) -> String {
    let mut all = String::new();
    for source in sources {
        for complaint in rule(source) {
            let _ = writeln!(all, "{name}: {}: {complaint}", source.path);
        }
    }
    all
}

fn assert_rule(name: &str) {
    let (_, rule) = RULES.iter().find(|(known, _)| *known == name).expect("a known rule");
    let all = complaints(*rule, name, &tracked());
    assert!(all.is_empty(), "\n{all}");
}

#[test]
fn a_floor_looks_down() {
    assert_rule("floors");
}

#[test]
fn below_the_pipes_nothing_waits_or_touches_the_outside() {
    assert_rule("purity");
}

#[test]
fn foreign_crates_keep_to_their_doors() {
    assert_rule("doors");
}

#[test]
fn seals_are_minted_in_their_rooms() {
    assert_rule("seals");
}

#[test]
fn files_and_lines_are_short() {
    assert_rule("sizes");
}

#[test]
fn every_file_says_its_duty() {
    assert_rule("module docs");
}

#[test]
fn the_words_of_the_house() {
    assert_rule("words");
}

#[test]
fn danger_lives_in_host() {
    assert_rule("danger");
}

#[test]
fn no_file_excuses_itself() {
    assert_rule("allowances");
}

#[test]
fn no_file_knows_its_machine() {
    assert_rule("places");
}

#[test]
fn the_root_holds_what_it_should() {
    assert_eq!(strangers(&tracked()), Vec::<String>::new());
}

fn strangers(sources: &[Source]) -> Vec<String> {
    let mut found: Vec<String> = sources
        .iter()
        .filter_map(|source| source.path.split('/').next())
        .filter(|entry| !entry.starts_with('.') && !ROOT.contains(entry))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Which top-level module uses which, by production code.
fn uses(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut graph: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources {
        let Some(module) = source.module() else { continue };
        let used = imports(source.place().unwrap_or_default(), source.production());
        let edges = graph.entry(module.to_owned()).or_default();
        edges.extend(used.into_iter().filter(|other| other != module && floor(other).is_some()));
    }
    graph
}

/// A ring of modules that use each other, if there is one.
fn ring(graph: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    fn walk(
        at: &str,
        graph: &BTreeMap<String, Vec<String>>,
        path: &mut Vec<String>,
        done: &mut Vec<String>,
    ) -> bool {
        if let Some(start) = path.iter().position(|seen| seen == at) {
            path.drain(..start);
            return true;
        }
        if done.iter().any(|seen| seen == at) {
            return false;
        }
        path.push(at.to_owned());
        for next in graph.get(at).into_iter().flatten() {
            if walk(next, graph, path, done) {
                return true;
            }
        }
        done.extend(path.pop());
        false
    }
    let mut done = Vec::new();
    graph.keys().find_map(|start| {
        let mut path = Vec::new();
        walk(start, graph, &mut path, &mut done).then_some(path)
    })
}

#[test]
fn no_module_uses_itself_by_a_detour() {
    assert_eq!(ring(&uses(&tracked())), None);
}

#[test]
fn each_rule_can_fail() {
    let long_file = "//! Long.\n".repeat(FILE_LINES_MAX + 1);
    let wide = format!("//! Wide.\n// {}\n", "x".repeat(LINE_COLUMNS_MAX));
    let bad: &[(&str, &str, &str)] = &[
        ("floors", "src/base/x.rs", "use crate::mail::Envelope;"),
        ("floors", "src/queue/x.rs", "use crate::spool::Record;"),
        ("floors", "src/queue/x.rs", "fn f() { let _ = crate::service::post::P; }"),
        ("floors", "src/mail/x.rs", "use crate::{base::time::Instant, smtp::reply::Reply};"),
        ("floors", "src/route/plan.rs", "use super::super::queue::Lane;"),
        ("floors", "src/smtp/x.rs", "use crate :: config::Checked;"),
        ("floors", "src/attic/x.rs", "fn f() {}"),
        ("purity", "src/queue/x.rs", "async fn f() {}"),
        ("purity", "src/route/x.rs", "fn f() { std::fs::read(p); }"),
        ("purity", "src/base/x.rs", "fn f() { SystemTime::now() }"),
        ("doors", "src/service/x.rs", "use sled::Db;"),
        ("doors", "src/service/x.rs", "fn f() { ::sled::open(p); }"),
        ("doors", "src/queue/x.rs", "fn f() { sled::open(p) }"),
        ("doors", "src/store/x.rs", "use mail_auth::dkim;"),
        ("doors", "src/demo/x.rs", "use clap as c;"),
        ("seals", "src/service/x.rs", "let c = Custody::mint(7);"),
        ("seals", "src/source/x.rs", "let c = mail::stage::Signed::mint(7);"),
        ("seals", "src/service/x.rs", "let make = Attributed::mint;"),
        ("sizes", "src/base/x.rs", &long_file),
        ("sizes", "src/base/x.rs", &wide),
        ("module docs", "src/base/x.rs", "use std::fmt;\n"),
        ("module docs", "src/base/x.rs", ""),
        ("words", "src/base/x.rs", "struct QueueManager;"),
        ("words", "src/base/x.rs", "fn txn_begin() {}"),
        ("words", "src/base/utils.rs", ""),
        ("words", "src/base/x.rs", "fn f(rcpt_count: u8) {}"),
        ("danger", "src/net/x.rs", "fn f() { unsafe { g() } }"),
        ("danger", "src/host/x.rs", "fn f() { unsafe { g() } }"),
        ("allowances", "src/net/x.rs", "#![allow(dead_code, reason = \"later\")]"),
        ("places", "README.md", concat!("see /ho", "me/somebody")),
    ];
    for (name, path, text) in bad {
        let (_, rule) = RULES.iter().find(|(known, _)| known == name).expect("a known rule");
        let found = rule(&Source::new(path, text));
        assert!(!found.is_empty(), "{name} does not see what is wrong with {path}: {text}");
    }
    for (name, _) in RULES {
        assert!(bad.iter().any(|(tried, _, _)| tried == name), "nothing breaks {name}");
    }
    assert_eq!(strangers(&[Source::new("docs/x.md", "")]), ["docs"]);
    let net = Source::new("src/net/x.rs", "use crate::host::clock;");
    let host = Source::new("src/host/x.rs", "use crate::net::dial;");
    assert_eq!(ring(&uses(&[net, host])), Some(vec!["host".to_owned(), "net".to_owned()]));
}

#[test]
fn good_text_passes_each_rule() {
    let good: &[(&str, &str)] = &[
        ("src/queue/x.rs", "//! X.\nuse crate::mail::Envelope;\nuse crate::queue::lane::Lane;\n"),
        ("src/queue/x.rs", "//! X.\n// crate::spool is a neighbour; `sled::Db` too\n"),
        ("src/queue/x.rs", "//! X.\nconst T: &str = \"unsafe sled::open crate::service\";\n"),
        ("src/queue/x.rs", "//! X.\n#[cfg(test)]\nmod tests {\n use crate::spool::R;\n}\n"),
        ("src/source/x.rs", "//! X.\nfn f() { Attributed::mint(1) }\n"),
        ("src/store/x.rs", "//! X.\nuse sled::Db;\nfn f(x: &'static str) { 'x'; }\n"),
        (
            "src/host/x.rs",
            "//! X.\n// JUSTIFICATION: none else.\n// SAFETY: ok.\nfn f() { unsafe { g() } }\n",
        ),
    ];
    for (path, text) in good {
        for (name, rule) in RULES {
            let found = rule(&Source::new(path, text));
            assert!(found.is_empty(), "{name} complains of {text}: {found:?}");
        }
    }
}
