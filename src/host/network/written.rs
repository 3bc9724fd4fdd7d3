//! Files below /run: those of the plan are written, those of older plans are removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Change;
use crate::base::fault::Fault;
use crate::host::plan::listeners::link_of;
use crate::host::plan::{File, GUARD};

/// Folders in which files of ours stand, and what the names of those begin with (after a number
/// that orders them).
const PLACES: [(&str, &str); 8] = [
    ("run/systemd/network", "postern-"),
    ("run/systemd/networkd.conf.d", "postern"),
    ("run/systemd/system", "postern-listener-"),
    ("run/systemd/system", "postern-names."),
    ("run/systemd/system/postern.target.wants", "postern-"),
    ("run/sysctl.d", "postern"),
    ("run/chrony.d", "postern"),
    ("run/systemd/system/chrony.service.d", "postern"),
];
/// Drop-ins for cards: the folder bears the name.
const DROP_INS: (&str, &str) = ("run/systemd/system", "sys-subsystem-net-devices-");

/// Writes `files` below `root` and nothing else; says which were not so already.
///
/// # Errors
/// A file cannot be written.
pub fn write_below(root: &Path, files: &[File]) -> Result<Vec<PathBuf>, Fault> {
    let mut written = Vec::new();
    for file in files {
        let path = root.join(&file.path);
        let fault = |error: io::Error| Fault::new("writing", path.display(), error);
        if put(&path, file).map_err(fault)? {
            written.push(file.path.clone());
        }
    }
    Ok(written)
}

/// Writes a file or makes a link, unless it is so; readers see the old one or the new one.
fn put(path: &Path, file: &File) -> io::Result<bool> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("postern-new");
    if let Some(target) = link_of(file) {
        if fs::read_link(path).is_ok_and(|present| present == target) {
            return Ok(false);
        }
        let _left_over = fs::remove_file(&new);
        std::os::unix::fs::symlink(target, &new)?;
    } else {
        if fs::read_to_string(path).is_ok_and(|present| present == file.text) {
            return Ok(false);
        }
        fs::write(&new, &file.text)?;
    }
    fs::rename(&new, path)?;
    Ok(true)
}

/// Writes `files` below `root`, and removes files of ours that are not among them. The guard has
/// been written by who has loaded it.
pub(super) fn replace(root: &Path, files: &[File]) -> Result<Change, Fault> {
    let kept: BTreeSet<&Path> = files.iter().map(|file| file.path.as_path()).collect();
    let mut removed = Vec::new();
    for path in present(root) {
        if !kept.contains(path.as_path()) {
            let whole = root.join(&path);
            fs::remove_file(&whole)
                .map_err(|error| Fault::new("removing", whole.display(), error))?;
            // The folder of a drop-in goes with it.
            if path.extension().is_some_and(|extension| extension == "conf")
                && let Some(folder) = whole.parent()
            {
                let _not_empty = fs::remove_dir(folder);
            }
            removed.push(path);
        }
    }
    let others: Vec<File> =
        files.iter().filter(|file| file.path != Path::new(GUARD)).cloned().collect();
    Ok(Change { written: write_below(root, &others)?, removed })
}

/// Files of ours below `root`.
fn present(root: &Path) -> Vec<PathBuf> {
    let entries = |folder: &str| -> Vec<String> {
        let names = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        names.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let mut found = Vec::new();
    for (folder, begin) in PLACES {
        let ours = |name: &String| {
            let digits = name.trim_start_matches(|c: char| c.is_ascii_digit());
            digits.strip_prefix('-').unwrap_or(name).starts_with(begin)
        };
        found.extend(entries(folder).iter().filter(|n| ours(n)).map(|n| Path::new(folder).join(n)));
    }
    let (folder, begin) = DROP_INS;
    for card in entries(folder).into_iter().filter(|name| name.starts_with(begin)) {
        let path = Path::new(folder).join(card).join("60-postern.conf");
        if root.join(&path).exists() {
            found.push(path);
        }
    }
    found
}

/// The interface that a file of networkd is about: `20-postern-NAME.network`.
pub(super) fn subject(path: &Path) -> Option<String> {
    let name = path.file_stem()?.to_str()?;
    let (_, name) = name.split_once("-postern-")?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.to_owned() }
    }

    #[test]
    fn what_an_older_plan_has_left_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let drop_in = "run/systemd/system/sys-subsystem-net-devices-a.device.d/60-postern.conf";
        let wants = "run/systemd/system/postern.target.wants/postern-listener-a.socket";
        let old = [
            file("run/systemd/network/20-postern-a.network", "a"),
            file("run/systemd/network/20-postern-b.network", "b"),
            file("run/systemd/system/postern-listener-a.socket", "a"),
            file(wants, "-> ../postern-listener-a.socket\n"),
            file(drop_in, "d"),
        ];
        assert_eq!(replace(root, &old).unwrap().written.len(), old.len());
        assert!(root.join(wants).symlink_metadata().unwrap().is_symlink());
        let theirs = ["run/systemd/network/50-other.network", "run/systemd/system/other.socket"];
        for theirs in theirs {
            fs::write(root.join(theirs), "theirs").unwrap();
        }
        let new = [
            file("run/systemd/network/20-postern-a.network", "a"),
            file("run/systemd/network/20-postern-b.network", "other"),
        ];
        let change = replace(root, &new).unwrap();
        assert_eq!(change.written, [new[1].path.clone()]);
        let mut gone: Vec<_> = change.removed.iter().map(|path| path.to_str().unwrap()).collect();
        gone.sort_unstable();
        assert_eq!(
            gone,
            [wants, drop_in, "run/systemd/system/postern-listener-a.socket"]
                .map(|p| p)
                .iter()
                .copied()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert!(theirs.iter().all(|path| root.join(path).exists()));
        assert!(!root.join(drop_in).parent().unwrap().exists());
        // And back again: exactly what was.
        assert_eq!(replace(root, &old).unwrap().written.len(), 4);
        assert_eq!(fs::read_to_string(root.join(&old[1].path)).unwrap(), "b");
    }

    #[test]
    fn a_file_says_which_interface_it_is_about() {
        let of = |name: &str| subject(Path::new(name));
        assert_eq!(of("run/systemd/network/20-postern-eth0.25.network").unwrap(), "eth0.25");
        assert_eq!(of("run/systemd/network/50-other.network"), None);
    }
}
