//! Boot entries: unified kernel images in `EFI/Linux` of the ESP and the tries in their names.
//!
//! | name | meaning (systemd's Automatic Boot Assessment) |
//! |---|---|
//! | `postern_1.2.0.efi` | good: it was blessed |
//! | `postern_1.2.0+3-0.efi` | on trial: three tries left, none used |
//! | `postern_1.2.0+0-3.efi` | bad: all tries used; booted only if there is nothing else |
//! | `postern_1.2.0.staged` | ours: complete, and no boot entry before it is renamed |

use std::fmt;

use super::version::Version;

/// How often a new version is tried before the old one comes back.
pub const TRIES: u32 = 3;

const NAME: &str = "postern_";

/// How a version stands with the boot loader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Complete, but the boot loader does not see it.
    Staged,
    /// No tries are counted any more.
    Good,
    /// Tries left and tries done; bad if none are left.
    Counted {
        /// Tries left.
        left: u32,
        /// Tries done.
        done: u32,
    },
}

/// A boot entry of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Which version it boots.
    pub version: Version,
    /// How it stands.
    pub standing: Standing,
}

impl Entry {
    /// An entry.
    #[must_use]
    pub fn new(version: &Version, standing: Standing) -> Self {
        Self { version: version.clone(), standing }
    }

    /// Reads the name of a file in `EFI/Linux`; none: it is not ours.
    #[must_use]
    pub fn read_name(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(NAME)?;
        if let Some(version) = rest.strip_suffix(".staged") {
            return Some(Self { version: version.parse().ok()?, standing: Standing::Staged });
        }
        let rest = rest.strip_suffix(".efi")?;
        let Some((version, tries)) = rest.split_once('+') else {
            return Some(Self { version: rest.parse().ok()?, standing: Standing::Good });
        };
        let (left, done) = tries.split_once('-').unwrap_or((tries, "0"));
        let standing = Standing::Counted { left: left.parse().ok()?, done: done.parse().ok()? };
        Some(Self { version: version.parse().ok()?, standing })
    }

    /// The boot loader sees it.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.standing != Standing::Staged
    }

    /// The boot loader takes it only if there is nothing else.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(self.standing, Standing::Counted { left: 0, .. })
    }

    /// Tries are being counted and some are left.
    #[must_use]
    pub fn is_on_trial(&self) -> bool {
        matches!(self.standing, Standing::Counted { left: 1.., .. })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = &self.version;
        match self.standing {
            Standing::Staged => write!(f, "{NAME}{version}.staged"),
            Standing::Good => write!(f, "{NAME}{version}.efi"),
            Standing::Counted { left, done } => write!(f, "{NAME}{version}+{left}-{done}.efi"),
        }
    }
}

/// The entry that systemd-boot takes: bad ones last, else the newest version (257's
/// `boot_entry_compare`; all of ours have one sort key).
#[must_use]
pub fn next(entries: &[Entry]) -> Option<&Entry> {
    let seen = entries.iter().filter(|entry| entry.is_seen());
    seen.max_by(|a, b| {
        let good = (!a.is_bad()).cmp(&!b.is_bad());
        good.then_with(|| a.version.cmp(&b.version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "postern_1.2.0.efi",
            "postern_1.2.0-rc.1.efi",
            "postern_1.2.0+3-0.efi",
            "postern_1.2.0+0-3.efi",
            "postern_1.2.0.staged",
        ] {
            assert_eq!(Entry::read_name(name).unwrap().to_string(), name);
        }
        let short = Entry::read_name("postern_1.2.0+3.efi").unwrap();
        assert_eq!(short.standing, Standing::Counted { left: 3, done: 0 });
        for strange in ["postern_1.2.0", "debian.efi", "postern_x.efi", "postern_1.2.0+a.efi", ""] {
            assert_eq!(Entry::read_name(strange), None, "{strange}");
        }
    }

    #[test]
    fn the_boot_loader_takes_the_newest_that_is_not_bad() {
        let pick = |names: &[&str]| {
            let entries: Vec<Entry> = names.iter().filter_map(|n| Entry::read_name(n)).collect();
            next(&entries).map(|entry| entry.version.to_string())
        };
        assert_eq!(pick(&["postern_1.0.0.efi", "postern_1.1.0+3-0.efi"]).unwrap(), "1.1.0");
        assert_eq!(pick(&["postern_1.0.0.efi", "postern_1.1.0+0-3.efi"]).unwrap(), "1.0.0");
        assert_eq!(pick(&["postern_1.0.0.efi", "postern_1.1.0.staged"]).unwrap(), "1.0.0");
        assert_eq!(pick(&["postern_1.0.0+0-3.efi", "postern_1.1.0+0-1.efi"]).unwrap(), "1.1.0");
        assert_eq!(pick(&["postern_1.1.0.staged"]), None);
    }
}
