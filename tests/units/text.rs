//! Reading unit files as text: sections, settings, and the comments above them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// A setting: section, key, value.
pub(crate) type Setting = (String, String, String);

/// The settings of one file, and what is wrong with its form.
pub(crate) fn settings(text: &str) -> (Vec<Setting>, Vec<String>) {
    let (mut found, mut bad) = (Vec::new(), Vec::new());
    let (mut section, mut above) = (String::new(), "");
    for (at, line) in text.lines().enumerate() {
        let before = std::mem::replace(&mut above, line);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        if !before.starts_with("# ") {
            bad.push(format!("line {}: `{line}` does not say why", at + 1));
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        found.push((section.clone(), key.trim().to_owned(), value.trim().to_owned()));
    }
    (found, bad)
}

/// A unit with its drop-ins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    settings: Vec<Setting>,
}

impl Unit {
    /// All values of a key, as systemd sees them: an empty one resets the list.
    pub(crate) fn all(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for (_, _, value) in self.settings.iter().filter(|(s, k, _)| s == section && k == key) {
            if value.is_empty() {
                values.clear();
            } else {
                values.push(value.as_str());
            }
        }
        values
    }

    /// The last value of a key, also an empty one.
    pub(crate) fn last(&self, section: &str, key: &str) -> Option<&str> {
        let mut found = self.settings.iter().filter(|(s, k, _)| s == section && k == key);
        found.next_back().map(|(_, _, value)| value.as_str())
    }

    /// The words of all values of a key.
    pub(crate) fn words(&self, section: &str, key: &str) -> Vec<&str> {
        self.all(section, key).into_iter().flat_map(str::split_whitespace).collect()
    }

    /// Every value of any section whose key is one of these.
    pub(crate) fn values(&self, keys: &[&str]) -> Vec<&str> {
        let named = self.settings.iter().filter(|(_, key, _)| keys.contains(&key.as_str()));
        named.map(|(_, _, value)| value.as_str()).collect()
    }
}

/// What a machine has: our units by name, with drop-ins for ours and for others.
pub(crate) fn units(folders: &[&Path]) -> BTreeMap<String, Unit> {
    let mut found: BTreeMap<String, Unit> = BTreeMap::new();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let is_unit = |path: &Path| {
        let kinds = ["service", "socket", "slice", "target", "mount", "automount"];
        path.extension().is_some_and(|kind| kinds.contains(&kind.to_str().unwrap()))
    };
    for folder in folders {
        for entry in fs::read_dir(folder).unwrap().flatten().filter(|e| is_unit(&e.path())) {
            let (settings, _) = settings(&fs::read_to_string(entry.path()).unwrap());
            found.entry(name(&entry.path())).or_default().settings.extend(settings);
        }
    }
    for folder in folders {
        let all = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        let mut dropped: Vec<PathBuf> =
            all.filter(|path| path.extension().is_some_and(|kind| kind == "d")).collect();
        dropped.sort();
        for path in dropped.iter().flat_map(|folder| files(folder)) {
            let (settings, _) = settings(&fs::read_to_string(&path).unwrap());
            let unit = name(path.parent().unwrap()).trim_end_matches(".d").to_owned();
            found.entry(unit).or_default().settings.extend(settings);
        }
    }
    found
}
