//! Every text of the console has a translation in every language, and every translation belongs to
//! a text. The texts are read from the sources: a new one without a translation is found here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use postern::console::menu::{Danger, Enter, Kind, SECTIONS};
use postern::console::paper::ascii;
use postern::console::words::{Language, translated};

/// Files without texts for people: a document, sequences of a terminal, faults of our own.
const SILENT: &[&str] = &[
    "draw.rs",
    "driver/mod.rs",
    "paper.rs",
    "screen/probe.rs",
    "screen/serial.rs",
    "term.rs",
    "wizard/document.rs",
    "wizard/network.rs",
    "words/mod.rs",
    "worker.rs",
];

/// What looks like a text and is none: words of others, of zones and of the keyboard.
const FOREIGN: &[&str] = &[
    "2620:fe::fe 2620:fe::9",
    "DKIM {}._domainkey.{}: {}{age}",
    "another answer came",
    "roll back",
    "see its report",
    "this box is not set up yet",
];

/// Words that come from others and are translated where they are shown.
const STATES: &[&str] =
    &["running", "stopped", "draining", "degraded", "latched", "up", "impaired", "suspended"];

/// Calls whose first literal is a text, however short it is.
const CALLS: &[&str] = &[
    "tr(",
    "fill(",
    "say(",
    "say_with(",
    "prompt(",
    "prompt_with(",
    "prompt_secret(",
    "Said::from(",
    "Said::with(",
    "refuse(",
    "labelled(language,",
    "leave(",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The string literals of a source, each with the code before it.
fn literals(source: &str) -> Vec<(String, String)> {
    let source = source.split("#[cfg(test)]").next().unwrap();
    let letters: Vec<char> = source.chars().collect();
    let (mut found, mut code, mut at) = (Vec::new(), String::new(), 0);
    let rest = |at: usize, text: &str| letters[at..].starts_with(&text.chars().collect::<Vec<_>>());
    while at < letters.len() {
        if rest(at, "//") {
            at += letters[at..].iter().position(|letter| *letter == '\n').unwrap_or(0).max(1);
        } else if rest(at, "#[") || rest(at, "#![") {
            at += letters[at..].iter().position(|letter| *letter == ']').unwrap() + 1;
        } else if letters[at] == '\'' && letters.get(at + 1) == Some(&'\\') {
            at += letters[at + 3..].iter().position(|letter| *letter == '\'').unwrap() + 4;
        } else if letters[at] == '\'' && letters.get(at + 2) == Some(&'\'') {
            at += 3;
        } else if letters[at] == '"' {
            let (text, length) = literal(&letters[at + 1..]);
            found.push((text, code.trim_end().to_owned()));
            at += length + 2;
        } else {
            code.push(letters[at]);
            at += 1;
        }
    }
    found
}

/// A literal without its quotes, and how many letters of the source it takes.
fn literal(letters: &[char]) -> (String, usize) {
    let (mut text, mut at) = (String::new(), 0);
    while letters[at] != '"' {
        if letters[at] != '\\' {
            text.push(letters[at]);
            at += 1;
            continue;
        }
        match letters[at + 1] {
            '\n' => {
                at += 2;
                while letters[at] == ' ' {
                    at += 1;
                }
                continue;
            }
            'n' => text.push('\n'),
            other => text.push(other),
        }
        at += 2;
    }
    (text, at)
}

/// Words of two letters or more, places for values aside.
fn words(text: &str) -> usize {
    let plain: String =
        text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect();
    let long = |word: &&str| word.chars().filter(char::is_ascii_alphabetic).count() > 1;
    plain.split(' ').filter(long).count()
}

/// Every text of the console that is written in its sources.
fn texts() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    assert!(paths.len() > 30, "{} sources", paths.len());
    let mut found = BTreeSet::new();
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if SILENT.contains(&name.as_str()) {
            continue;
        }
        for (text, before) in literals(&fs::read_to_string(&path).unwrap()) {
            let called = CALLS.iter().any(|call| before.ends_with(call)) && words(&text) > 0;
            if (called || words(&text) > 1) && !FOREIGN.contains(&text.as_str()) {
                found.insert(text);
            }
        }
    }
    found
}

/// Texts of the menu that are shorter than a sentence.
fn menu() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for section in SECTIONS {
        found.insert(section.title);
        for entry in section.entries {
            found.extend([entry.title, entry.note]);
            match entry.danger {
                Danger::Said(text, _) | Danger::Counted(text, _) | Danger::Weighed(text, _) => {
                    found.insert(text);
                }
                Danger::None | Danger::Configuration(_) => {}
            }
            for field in entry.fields {
                found.insert(field.prompt);
                if let Kind::One(words) = field.kind {
                    found.extend(words.iter().map(|(_, label)| *label));
                }
                if let Enter::Takes(word) = field.enter {
                    found.insert(word);
                }
            }
        }
    }
    found.into_iter().filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_text_is_translated_and_every_translation_has_a_text() {
    let wanted: BTreeSet<String> = texts().union(&menu()).cloned().collect();
    assert!(wanted.len() > 350, "only {} texts were found", wanted.len());
    let missing: Vec<_> = wanted
        .iter()
        .flat_map(|text| Language::ALL.into_iter().skip(1).map(move |language| (language, text)))
        .filter(|(language, text)| language.translation(text).is_none())
        .collect();
    assert!(missing.is_empty(), "no translation: {missing:#?}");
    let states: BTreeSet<String> = STATES.iter().map(|word| (*word).to_owned()).collect();
    let single = [
        "fair",
        "good",
        "strong",
        "Egress",
        "Mail",
        "Left.",
        "link",
        "Menu",
        "1 message",
        "{} messages",
    ];
    let lost: Vec<_> = translated()
        .into_iter()
        .filter(|text| !wanted.contains(*text) && !states.contains(*text))
        .filter(|text| !single.contains(text))
        .collect();
    assert!(lost.is_empty(), "no text any more: {lost:#?}");
}

#[test]
fn every_translation_can_be_read_on_a_typewriter() {
    for text in translated() {
        for language in Language::ALL {
            let shown = language.tr(text);
            let signs = |text: &str| text.matches('?').count();
            assert_eq!(signs(&ascii(shown)), signs(shown), "{language:?}: {shown}");
        }
    }
}

#[test]
fn the_search_finds_what_it_should() {
    let source =
        "// say(\"no\")\nout.say(\"Yes.\"); let c = '\"'; tr(\"a {} b\", x) \"two \\\n   words\"";
    let found: Vec<String> = literals(source).into_iter().map(|(text, _)| text).collect();
    assert_eq!(found, ["Yes.", "a {} b", "two words"]);
    assert_eq!(words("{}, {name}: ab cd"), 2);
}
