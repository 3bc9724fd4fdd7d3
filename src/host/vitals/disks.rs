//! The root file system and what is mounted.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// The file system itself is read-only. A unit may see a writable one read-only; that is its
    /// own wall, not the disk's state.
    pub read_only: bool,
}

/// What the root file system lies on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// A dm-verity device.
    pub verity: bool,
    /// Labels of the partitions below it.
    pub partitions: Vec<String>,
}

/// Whether something is mounted at exactly `point`, and whether it can be written to.
#[must_use]
pub fn is_mounted(mounts: &[Mount], point: &str) -> Option<bool> {
    // What is mounted last lies on top.
    let found = mounts.iter().rev().find(|mount| mount.point == Path::new(point))?;
    Some(!found.read_only)
}

pub(super) fn mounts() -> Vec<Mount> {
    read(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// `proc_pid_mountinfo(5)`: the options of the file system itself stand last.
fn read(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        let options = after.split(' ').nth(2)?;
        let read_only = options.split(',').any(|option| option == "ro");
        Some(Mount { point: PathBuf::from(point.replace("\\040", " ")), read_only })
    };
    text.lines().filter_map(mount).collect()
}

pub(super) fn root() -> Root {
    let Ok(found) = fs::metadata("/") else { return Root::default() };
    let device = found.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    below(&PathBuf::from(format!("/sys/dev/block/{major}:{minor}")))
}

/// A device mapper's device names its target in its UUID, its partitions below `slaves`.
fn below(device: &Path) -> Root {
    let uuid = fs::read_to_string(device.join("dm/uuid")).unwrap_or_default();
    let label = |entry: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(entry.ok()?.path().join("uevent")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("PARTNAME=").map(str::to_owned))
    };
    let slaves = fs::read_dir(device.join("slaves"));
    let mut partitions: Vec<String> = slaves.into_iter().flatten().filter_map(label).collect();
    partitions.sort_unstable();
    Root { verity: uuid.starts_with("CRYPT-VERITY-"), partitions }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_read_only_when_it_says_so_itself() {
        let text = "22 1 254:0 / / ro,relatime shared:1 - erofs /dev/dm-0 ro,seclabel\n\
                    30 22 254:1 / /var ro,nosuid - ext4 /dev/dm-1 rw,errors=remount-ro\n\
                    31 30 254:2 / /var/lib/postern rw - ext4 /dev/dm-2 ro\n\
                    32 30 0:40 / /mnt/a\\040b rw - tmpfs tmpfs rw\n";
        let mounts = read(text);
        assert_eq!(is_mounted(&mounts, "/"), Some(false));
        assert_eq!(is_mounted(&mounts, "/var"), Some(true));
        assert_eq!(is_mounted(&mounts, "/var/lib/postern"), Some(false));
        assert_eq!(is_mounted(&mounts, "/mnt/a b"), Some(true));
        assert_eq!(is_mounted(&mounts, "/home"), None);
    }

    #[test]
    fn a_slot_is_known_by_the_partitions_below_verity() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path();
        assert_eq!(below(device), Root::default());
        for (name, label) in [("vda2", "postern_1.2.3"), ("vda3", "postern_1.2.3_verity")] {
            let slave = device.join("slaves").join(name);
            fs::create_dir_all(&slave).unwrap();
            fs::write(slave.join("uevent"), format!("DEVTYPE=partition\nPARTNAME={label}\n"))
                .unwrap();
        }
        fs::create_dir(device.join("dm")).unwrap();
        fs::write(device.join("dm/uuid"), "CRYPT-VERITY-0123-root\n").unwrap();
        let root = below(device);
        assert!(root.verity);
        assert_eq!(root.partitions, ["postern_1.2.3", "postern_1.2.3_verity"]);
    }
}
