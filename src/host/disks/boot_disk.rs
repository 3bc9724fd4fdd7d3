//! Which disk the box runs from: the one whose partition has the verified root.

use std::fs;
use std::path::PathBuf;

use super::Places;
use crate::base::fault::Fault;

/// The disk's device node. The root hash on the kernel's command line names the partition: its UUID
/// is the first half of the hash (systemd's convention for verity).
///
/// # Errors
/// The command line has no root hash, or the kernel knows no such partition.
pub(super) fn find(places: &Places) -> Result<PathBuf, Fault> {
    let fault = |cause: &str| Fault::new("looking for", "the boot disk", cause);
    let line = fs::read_to_string(places.under_root("/proc/cmdline"))
        .map_err(|cause| Fault::new("reading", "/proc/cmdline", cause))?;
    let uuid = root_uuid(&line).ok_or_else(|| fault("the command line has no root hash"))?;
    let by_uuid = places.under_root("/dev/disk/by-partuuid").join(&uuid);
    let node = fs::read_link(&by_uuid)
        .map_err(|cause| Fault::new("looking for partition", &uuid, cause))?;
    let name = node.file_name().ok_or_else(|| fault("the partition's link leads nowhere"))?;
    // /sys/class/block/vda2 is a link to …/block/vda/vda2: the folder above is the disk.
    let place = fs::canonicalize(places.under_root("/sys/class/block").join(name))
        .map_err(|cause| Fault::new("looking up", name.to_string_lossy(), cause))?;
    let disk = place
        .parent()
        .and_then(|disk| disk.file_name())
        .ok_or_else(|| fault("the partition is on no disk"))?;
    Ok(PathBuf::from("/dev").join(disk))
}

/// The first half of the root hash, written as a UUID.
fn root_uuid(line: &str) -> Option<String> {
    let hash = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("roothash="))?;
    let half = hash.get(..32).filter(|half| half.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &half[range]);
    Some(parts.join("-").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_is_the_first_half_of_the_hash() {
        let line =
            "quiet roothash=4005e754ea7982fb00371c02264ca0427f7f2176cf5e043a0b4b234a301ee1b5 ro";
        assert_eq!(root_uuid(line).as_deref(), Some("4005e754-ea79-82fb-0037-1c02264ca042"));
        assert_eq!(root_uuid("quiet"), None);
        assert_eq!(root_uuid("roothash=4005e754"), None);
        assert_eq!(root_uuid(&format!("roothash={}", "zz".repeat(32))), None);
    }
}
