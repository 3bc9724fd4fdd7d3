//! What runs: the root hash that the kernel was started with, its disk, the version of the image.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::update::manifest::{Sha256, unhex, uuids};
use crate::update::version::Version;

/// The running system, as far as an update must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// The version of its image.
    pub version: Version,
    /// The root hash of its slot.
    pub root_hash: Sha256,
    /// When the image was made.
    pub made: WallTime,
    /// This boot.
    pub boot: String,
    /// Since the kernel was started.
    pub up: Duration,
}

impl System {
    /// Looks at the machine below `root` (`/`, or a folder in tests).
    ///
    /// # Errors
    /// This is no machine with slots: what is missing.
    pub fn look(root: &Path) -> Result<Self, Fault> {
        let text = |path: &str| {
            let path = root.join(path);
            fs::read_to_string(&path).map_err(|error| Fault::new("reading", path.display(), error))
        };
        let release = text("usr/lib/os-release")?;
        let version = os_release(&release, "IMAGE_VERSION")
            .ok_or_else(|| "it has no IMAGE_VERSION".to_owned())
            .and_then(|text| text.parse().map_err(|error| format!("{error}")))
            .map_err(|cause| Fault::new("reading", "usr/lib/os-release", cause))?;
        let root_hash = root_hash(&text("proc/cmdline")?).ok_or_else(|| {
            let cause = "no roothash=: this system was not started from a slot";
            Fault::new("reading", "/proc/cmdline", cause)
        })?;
        let made = fs::metadata(root.join("usr/lib/os-release"))
            .map_err(|error| Fault::new("reading", "usr/lib/os-release", error))?;
        let made = u64::try_from(made.mtime()).unwrap_or(0).saturating_mul(1000);
        let up = text("proc/uptime")?;
        let up = up.split([' ', '.']).next().and_then(|secs| secs.parse().ok()).unwrap_or(0);
        Ok(Self {
            version,
            root_hash,
            made: WallTime(made),
            boot: text("proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            up: Duration::from_secs(up),
        })
    }

    /// The whole disk that the running slot is on.
    ///
    /// # Errors
    /// The system does not know the partition, or it is on no disk.
    pub fn disk(&self) -> Result<PathBuf, Fault> {
        let link = format!("/dev/disk/by-partuuid/{}", uuids(&self.root_hash).0);
        let fault = |cause: String| Fault::new("looking for the disk of", &link, cause);
        let device = fs::canonicalize(&link).map_err(|error| fault(error.to_string()))?;
        let name = device.file_name().unwrap_or_default();
        let place = fs::canonicalize(Path::new("/sys/class/block").join(name))
            .map_err(|error| fault(error.to_string()))?;
        if !place.join("partition").exists() {
            return Err(fault(format!("{} is no partition", device.display())));
        }
        let disk = place.parent().and_then(Path::file_name);
        let disk = disk.ok_or_else(|| fault("sysfs does not say".to_owned()))?;
        Ok(Path::new("/dev").join(disk))
    }
}

/// A value of os-release(5).
fn os_release(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

fn root_hash(cmdline: &str) -> Option<Sha256> {
    let word = cmdline.split_whitespace().find_map(|word| word.strip_prefix("roothash="))?;
    unhex(word).map(Sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let hash = "00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        put("usr/lib/os-release", "ID=postern\nIMAGE_VERSION=\"1.4.0\"\n");
        put("proc/uptime", "301.22 400.00\n");
        put("proc/sys/kernel/random/boot_id", "b1\n");
        put("proc/cmdline", "quiet ro\n");
        assert!(System::look(root.path()).unwrap_err().to_string().contains("roothash"));
        put("proc/cmdline", &format!("quiet roothash={hash} ro\n"));
        let system = System::look(root.path()).unwrap();
        assert_eq!(system.version.to_string(), "1.4.0");
        assert_eq!(system.root_hash.to_string(), hash);
        assert_eq!((system.boot.as_str(), system.up.as_secs()), ("b1", 301));
        put("usr/lib/os-release", "ID=debian\nVERSION_ID=12\n");
        assert!(System::look(root.path()).is_err());
    }
}
