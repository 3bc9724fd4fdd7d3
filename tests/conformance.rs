//! The law: every MUST that concerns us names its test, or an exception with a reason.
//!
//! `tests/conformance/*.toml` holds the laws in our own words. A test is named by its function
//! (`fn NAME` under a test attribute, anywhere in `src/` or `tests/`) or, for a transcript, as
//! `transcripts/FILE`; a named test that does not exist fails here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

#[derive(Debug)]
struct Law {
    place: String,
    shown: Vec<String>,
    exception: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(listed) = fs::read_dir(folder) else { return found };
    for entry in listed {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, kind));
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The laws of one file, or what is wrong with it.
fn laws(name: &str, text: &str) -> Result<Vec<Law>, String> {
    let table: Table = text.parse().map_err(|why| format!("{name}: {why}"))?;
    let mut laws = Vec::new();
    for law in table.get("law").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| law.get(key).and_then(Value::as_str).map(str::to_owned);
        let place = format!("{name} {}", text("section").ok_or(format!("{name}: no section"))?);
        if text("must").is_none_or(|must| must.len() < 10) {
            return Err(format!("{place}: `must` says what is demanded"));
        }
        let shown = law.get("shown").and_then(Value::as_array).cloned();
        let exception = text("exception");
        if shown.is_some() == exception.is_some() {
            return Err(format!("{place}: either `shown` or `exception`"));
        }
        if exception.as_ref().is_some_and(|reason| reason.len() < 20) {
            return Err(format!("{place}: an exception gives its reason"));
        }
        let shown = shown.into_iter().flatten();
        let shown = shown.filter_map(|test| test.as_str().map(str::to_owned)).collect();
        laws.push(Law { place, shown, exception });
    }
    if laws.is_empty() { Err(format!("{name}: holds no law")) } else { Ok(laws) }
}

/// Names of the functions under a test attribute.
fn tests_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        let attribute = line.starts_with("#[") || line.starts_with("//");
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, name)) = line.split_once("fn ").filter(|_| marked) {
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
            found.insert(name[..end.unwrap_or(name.len())].to_owned());
            marked = false;
        } else if !attribute {
            // Inside `proptest!` the arguments follow on lines of their own.
            marked = marked && line.is_empty();
        }
    }
    found
}

fn all_tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests"] {
        for path in files(&root().join(folder), "rs") {
            tests.extend(tests_of(&fs::read_to_string(path).unwrap()));
        }
    }
    for path in files(&root().join("tests/transcripts"), "smtp") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        tests.insert(format!("transcripts/{name}"));
    }
    tests
}

fn all_laws() -> Vec<Law> {
    let mut all = Vec::new();
    for path in files(&root().join("tests/conformance"), "toml") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        all.extend(laws(&name, &fs::read_to_string(&path).unwrap()).unwrap());
    }
    all
}

#[test]
fn every_named_test_exists() {
    let tests = all_tests();
    assert!(tests.len() > 20, "hardly any test was found");
    let missing: Vec<_> = all_laws()
        .into_iter()
        .flat_map(|law| law.shown.into_iter().map(move |test| (law.place.clone(), test)))
        .filter(|(_, test)| !tests.contains(test))
        .collect();
    assert!(missing.is_empty(), "named and not there: {missing:#?}");
}

#[test]
fn every_law_is_shown_or_excepted() {
    let laws = all_laws();
    let unshown: Vec<_> = laws
        .iter()
        .filter(|law| law.shown.is_empty() && law.exception.is_none())
        .map(|law| law.place.as_str())
        .collect();
    assert!(unshown.is_empty(), "{} laws name no test: {unshown:#?}", unshown.len());
}

#[test]
fn the_reader_of_laws_can_complain() {
    for bad in [
        "",
        "[[law]]\nmust = \"something is done\"\nshown = []",
        "[[law]]\nsection = \"1\"\nshown = []",
        "[[law]]\nsection = \"1\"\nmust = \"something is done\"",
        "[[law]]\nsection = \"1\"\nmust = \"something is done\"\nexception = \"no\"",
        "[[law]]\nsection = \"1\"\nmust = \"something is done\"\nshown = []\nexception = \"no\"",
    ] {
        assert!(laws("bad", bad).is_err(), "{bad}");
    }
    let text = "#[test]\nfn first() {}\nfn second() {}\n#[tokio::test]\n// why\nasync fn third() {";
    let found: Vec<_> = tests_of(text).into_iter().collect();
    assert_eq!(found, ["first", "third"]);
}
