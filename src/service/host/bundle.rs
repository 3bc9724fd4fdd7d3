//! The support bundle: what somebody who helps from afar wants to see, and no secret.
//!
//! Secrets are kept out twice: nothing that holds them is put in (the document only as settings
//! without secrets), and every text is searched for each secret of this machine before it is
//! packed, whatever program said it.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use super::backup::compress;
use super::generations::Generations;
use super::hands::Machine;
use super::tar::{Member, pack};
use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::config::setup::GIVEN_FOLDERS;
use crate::config::show;
use crate::config::{Anywhere, read};
use crate::control::host::answer::HostStatus;
use crate::host::paths::Paths;

/// What stands where a secret stood.
const REMOVED: &str = "(removed: a secret of this machine)";

/// The shortest text that counts as a secret: a shorter one would tear words out of a journal.
const SECRET_OCTETS_MIN: usize = 12;

/// Octets of one text in the bundle.
const TEXT_OCTETS_MAX: usize = 8 * 1024 * 1024;

/// Files that tell about the machine.
const FACTS: &[(&str, &str)] = &[
    ("os-release.txt", "/usr/lib/os-release"),
    ("kernel.txt", "/proc/version"),
    ("command-line.txt", "/proc/cmdline"),
    ("memory.txt", "/proc/meminfo"),
    ("processor.txt", "/proc/cpuinfo"),
    ("mounts.txt", "/proc/mounts"),
    ("partitions.txt", "/proc/partitions"),
    ("pressure-io.txt", "/proc/pressure/io"),
    ("pressure-memory.txt", "/proc/pressure/memory"),
];

/// Makes the bundle: a `.tar.gz`.
///
/// # Errors
/// It cannot be packed.
pub(super) fn make(
    paths: &Paths,
    machine: &dyn Machine,
    status: &HostStatus,
    gateway: &serde_json::Value,
    now: WallTime,
) -> Result<Vec<u8>, Fault> {
    let mut texts: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, text: String| texts.push((name.to_owned(), text));
    let pretty = |value: &serde_json::Value| format!("{value:#}\n");
    put("status.json", pretty(&json!(status)));
    put("gateway.json", pretty(gateway));
    put("settings.txt", settings(paths));
    put("generations.json", pretty(&json!(Generations::new(paths.clone()).all())));
    put("machine.txt", format!("postern {}\nmade {now}\n", env!("CARGO_PKG_VERSION")));
    for (name, path) in FACTS {
        // The kernel's own files are the same wherever the root is.
        let path = if path.starts_with("/proc") { path.into() } else { paths.at(path) };
        put(name, fs::read_to_string(path).unwrap_or_default());
    }
    for (name, path) in [("health.json", paths.health()), ("update.json", paths.update())] {
        put(name, fs::read_to_string(path).unwrap_or_default());
    }
    put("dns-records.txt", fs::read_to_string(paths.dns_records()).unwrap_or_default());
    put("setup-error.txt", fs::read_to_string(paths.setup_error()).unwrap_or_default());
    for (name, text) in machine.looks() {
        put(name, text);
    }
    let secrets = secrets(paths);
    let members: Vec<Member> = texts
        .into_iter()
        .map(|(name, text)| {
            let text = scrubbed(bounded(text), &secrets);
            Member::new(format!("postern-support/{name}"), text)
        })
        .collect();
    compress(&pack(&members, now.unix_secs()))
        .map_err(|cause| Fault::new("packing", "the support bundle", cause))
}

/// The document as settings without secrets; complaints if it is wrong.
fn settings(paths: &Paths) -> String {
    let Ok(text) = fs::read_to_string(paths.document()) else {
        return "there is no configuration\n".to_owned();
    };
    match read(&text, &Anywhere) {
        Ok(reading) => {
            let rows = show::settings(&reading.config).into_iter();
            let lines: Vec<String> = rows.map(|(key, value)| format!("{key} = {value}")).collect();
            lines.join("\n") + "\n"
        }
        Err(complaints) => {
            let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            lines.join("\n") + "\n"
        }
    }
}

/// The last part of a text that is too long: the end of a journal is what counts.
fn bounded(text: String) -> String {
    let Some(over) = text.len().checked_sub(TEXT_OCTETS_MAX) else { return text };
    let from = (over..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(over);
    format!("(the first {from} octets were left out)\n{}", &text[from..])
}

/// Every secret of this machine, and every piece of it that says enough: lines of private keys,
/// verifiers, and salt and hash of each.
fn secrets(paths: &Paths) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut keep = |text: &str| {
        if text.len() >= SECRET_OCTETS_MIN {
            found.insert(text.to_owned());
        }
    };
    let mut documents = vec![fs::read_to_string(paths.document()).unwrap_or_default()];
    let generations = Generations::new(paths.clone());
    documents
        .extend(generations.all().iter().filter_map(|m| generations.document(m.generation).ok()));
    documents.push(fs::read_to_string(paths.admin()).unwrap_or_default());
    for document in &documents {
        for word in document.split(['"', '\'', '\n', ' ']) {
            if word.contains("$argon2") || word.contains("SCRAM-SHA-256$") {
                keep(word.trim());
                word.split(['$', ':', ',']).for_each(&mut keep);
            }
        }
    }
    let mut folders: Vec<_> = GIVEN_FOLDERS.iter().map(|name| paths.etc().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            if text.contains("PRIVATE KEY") {
                private_lines(&text).for_each(&mut keep);
            }
        }
    }
    for meta in generations.all() {
        for which in ["files", "before"] {
            let folder = paths.generations().join(format!("{:04}", meta.generation)).join(which);
            for path in &meta.files {
                let text = fs::read_to_string(folder.join(path)).unwrap_or_default();
                if text.contains("PRIVATE KEY") {
                    private_lines(&text).for_each(&mut keep);
                }
            }
        }
    }
    // Words that stand in every verifier are no secrets.
    found.retain(|word| !word.starts_with("m=") && !word.starts_with("argon2"));
    found
}

/// The lines between the marks of private keys in a PEM file.
fn private_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        if line.starts_with("-----BEGIN") {
            inside = line.contains("PRIVATE KEY");
            return false;
        }
        inside && !line.starts_with("-----END")
    })
}

fn scrubbed(text: String, secrets: &BTreeSet<String>) -> String {
    // The longest first, or a piece would be taken out of a whole and the rest left.
    let mut order: Vec<&String> = secrets.iter().collect();
    order.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    order.into_iter().fold(text, |text, secret| {
        if text.contains(secret.as_str()) { text.replace(secret.as_str(), REMOVED) } else { text }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_secret_goes_first_and_short_words_stay() {
        let secrets: BTreeSet<String> =
            ["abcdefghijkl".to_owned(), "abcdefghijklmnop".to_owned()].into();
        let text = scrubbed("x abcdefghijklmnop y abcdefghijkl z".to_owned(), &secrets);
        assert_eq!(text, format!("x {REMOVED} y {REMOVED} z"));
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\
                   -----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n";
        assert_eq!(private_lines(pem).collect::<Vec<_>>(), ["BBBB"]);
    }
}
