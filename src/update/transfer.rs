//! The definitions that systemd-sysupdate (257) gets for one run: which files of the staging
//! folder go into which partitions.
//!
//! They are made for each run and not part of the image: the disk, the running version and the
//! folder are named outright, so that nothing is left to be guessed. See decision 46 for what
//! sysupdate does and what it is not trusted with.

use std::path::Path;

use super::slots::{ROOT_TYPE, VERITY_TYPE};
use super::version::Version;

/// A definition: file name and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// `NN-name.transfer`.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

/// The definitions for writing the slot beside `running` on `disk` from `staging`.
#[must_use]
pub fn definitions(disk: &Path, staging: &Path, running: &Version) -> [Definition; 2] {
    let one = |source: &str, target: &str, kind: &str| {
        format!(
            "[Transfer]\n\
             # Never the slot that runs.\n\
             ProtectVersion={running}\n\
             # Signatures and hashes were checked before, by ours.\n\
             Verify=no\n\n\
             [Source]\n\
             Type=regular-file\n\
             Path={staging}\n\
             MatchPattern={source}\n\n\
             [Target]\n\
             Type=partition\n\
             Path={disk}\n\
             MatchPattern={target}\n\
             MatchPartitionType={kind}\n\
             PartitionFlags=0\n\
             ReadOnly=yes\n\
             InstancesMax=2\n",
            staging = escaped(staging),
            disk = escaped(disk),
        )
    };
    [
        Definition {
            name: "10-verity.transfer",
            text: one("postern_@v_@u.verity.raw.xz", "postern_@v_verity", VERITY_TYPE),
        },
        Definition {
            name: "20-root.transfer",
            text: one("postern_@v_@u.root.raw.xz", "postern_@v", ROOT_TYPE),
        },
    ]
}

/// A path in a definition: `%` begins a specifier.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_name_everything_outright() {
        let running = "1.0.0".parse().unwrap();
        let [verity, root] =
            definitions(Path::new("/dev/vda"), Path::new("/var/lib/x%y"), &running);
        assert!(root.text.contains("ProtectVersion=1.0.0\n"));
        assert!(root.text.contains("Path=/dev/vda\n"));
        assert!(root.text.contains("Path=/var/lib/x%%y\n"));
        assert!(
            root.text.contains("MatchPattern=postern_@v\nMatchPartitionType=4f68")
                || cfg!(target_arch = "aarch64")
        );
        assert!(verity.text.contains("MatchPattern=postern_@v_verity\n"));
        assert!(verity.name < root.name);
    }
}
