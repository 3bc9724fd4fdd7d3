//! Where the machine's files are. Everything hangs on one root, so that a test has a machine of
//! its own in a folder.

use std::path::{Path, PathBuf};

use super::disks;

/// The places of one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The machine below `root`; `/` is this one.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// This machine.
    #[must_use]
    pub fn real() -> Self {
        Self::below(Path::new("/"))
    }

    /// Whether it is this machine and not a folder that plays one.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.root == Path::new("/")
    }

    /// An absolute path of the machine, as seen from here. One that leads below the root already
    /// stays as it is.
    #[must_use]
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if path.starts_with(&self.root) {
            return path.to_owned();
        }
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Document, certificates and keys; on the box a link into the state partition.
    #[must_use]
    pub fn etc(&self) -> PathBuf {
        self.at("/etc/postern")
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> PathBuf {
        self.etc().join("postern.toml")
    }

    /// What belongs to the host role alone.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.at("/var/lib/postern-host")
    }

    /// One folder for each configuration that was put in force.
    #[must_use]
    pub fn generations(&self) -> PathBuf {
        self.state().join("generations")
    }

    /// Which generation is in force.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.state().join("current.json")
    }

    /// A change that is under way or waits for its confirmation.
    #[must_use]
    pub fn pending(&self) -> PathBuf {
        self.state().join("pending.json")
    }

    /// The hash of the administrator's passphrase.
    #[must_use]
    pub fn admin(&self) -> PathBuf {
        self.state().join("admin")
    }

    /// Failed logins and when the next one is looked at.
    #[must_use]
    pub fn login(&self) -> PathBuf {
        self.state().join("login.json")
    }

    /// The audit trail of the host role.
    #[must_use]
    pub fn audit(&self) -> PathBuf {
        self.state().join("audit.log")
    }

    /// DNS records to publish.
    #[must_use]
    pub fn dns_records(&self) -> PathBuf {
        self.state().join("dns-records.txt")
    }

    /// Digests of setup files that were taken.
    #[must_use]
    pub fn setups(&self) -> PathBuf {
        self.state().join("setups.json")
    }

    /// Why a setup file was refused, until one is taken or a start finds none to refuse.
    #[must_use]
    pub fn setup_error(&self) -> PathBuf {
        self.state().join("setup-error.txt")
    }

    /// What the health check found last.
    #[must_use]
    pub fn health(&self) -> PathBuf {
        self.state().join("health/last.json")
    }

    /// How the update stands.
    #[must_use]
    pub fn update(&self) -> PathBuf {
        self.state().join("update/state.json")
    }

    /// What is to be tried by an interface.
    #[must_use]
    pub fn diagnose_request(&self) -> PathBuf {
        self.at("/run/postern-host/diagnose-request.json")
    }

    /// What came of it.
    #[must_use]
    pub fn diagnose_answer(&self) -> PathBuf {
        self.at("/run/postern-host/diagnose-answer.json")
    }

    /// What the updater is to do.
    #[must_use]
    pub fn update_request(&self) -> PathBuf {
        self.at("/run/postern-host/update-request.json")
    }

    /// What came of it.
    #[must_use]
    pub fn update_answer(&self) -> PathBuf {
        self.at("/run/postern-host/update-answer.json")
    }

    /// How the disks stand, as their step wrote it.
    #[must_use]
    pub fn disks(&self) -> PathBuf {
        self.at("/run/postern-disks/state.json")
    }

    /// A new recovery key of the disks, until somebody has seen it.
    #[must_use]
    pub fn recovery_key(&self) -> PathBuf {
        self.at("/run/postern-disks/recovery-key")
    }

    /// Somebody has said that he has the recovery key: the disks' step makes no other. On state,
    /// inside the encryption.
    #[must_use]
    pub fn recovery_key_kept(&self) -> PathBuf {
        self.at("/var").join(disks::KEPT_PATH)
    }

    /// The folder of the ESP where people leave files.
    #[must_use]
    pub fn drop_folder(&self) -> PathBuf {
        self.at("/efi/postern")
    }

    /// What the disks' step does at the next start.
    #[must_use]
    pub fn factory_reset(&self) -> PathBuf {
        self.drop_folder().join("factory-reset")
    }

    /// The device of the stick with setup files and exports.
    #[must_use]
    pub fn stick_device(&self) -> PathBuf {
        self.at("/dev/disk/by-label/POSTERNCFG")
    }

    /// Where that stick is mounted while it is needed.
    #[must_use]
    pub fn stick(&self) -> PathBuf {
        self.at("/run/postern-host/stick")
    }

    /// What the system says it is.
    #[must_use]
    pub fn os_release(&self) -> PathBuf {
        self.at("/usr/lib/os-release")
    }

    /// A value of os-release.
    #[must_use]
    pub fn os_release_value(&self, key: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.os_release()).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    }

    /// Whether the machine is the appliance, which is configured by the document alone; any other
    /// machine has a network of its own that is not ours to change.
    #[must_use]
    pub fn is_appliance(&self) -> bool {
        self.os_release_value("IMAGE_ID").as_deref() == Some("postern")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_in_a_folder_keeps_its_files_there() {
        let paths = Paths::below(Path::new("/run/x"));
        assert_eq!(paths.document(), Path::new("/run/x/etc/postern/postern.toml"));
        assert_eq!(paths.at("/run/x/etc/a"), Path::new("/run/x/etc/a"));
        assert_eq!(Paths::real().at("/etc/postern"), Path::new("/etc/postern"));
        assert!(Paths::real().is_real() && !paths.is_real() && !paths.is_appliance());
    }
}
