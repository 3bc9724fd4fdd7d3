//! The two slots as partitions: which runs, which may be written.
//!
//! **Invariant:** a slot is the running one by its partition UUIDs, which follow the root hash that
//! the kernel was started with; never by a label or a version, which somebody may have written.

use super::manifest::{Manifest, Sha256, Uuid, uuids};
use super::version::Version;

/// Partition type of a root for this machine (systemd's `root-x86-64`, `root-arm64`).
pub const ROOT_TYPE: &str = if cfg!(target_arch = "aarch64") {
    "b921b045-1df0-41c3-af44-4c6f280d3fae"
} else {
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
};
/// Partition type of its hash tree.
pub const VERITY_TYPE: &str = if cfg!(target_arch = "aarch64") {
    "df3300ce-d69f-4c92-978c-9bfb0f38d820"
} else {
    "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"
};
/// Partition type of an EFI system partition.
pub const ESP_TYPE: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// The label of a partition that holds nothing.
pub const EMPTY: &str = "_empty";

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Counted from 1.
    pub number: u32,
    /// What it is for.
    pub kind: Uuid,
    /// Itself.
    pub uuid: Uuid,
    /// Its label.
    pub label: String,
    /// Where it begins, in octets.
    pub start: u64,
    /// Its octets.
    pub octets: u64,
}

/// One slot: a root and its hash tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The root.
    pub root: Partition,
    /// Its hash tree.
    pub verity: Partition,
}

impl Slot {
    /// The version that its labels name, if both name the same.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        let root = self.root.label.strip_prefix("postern_")?;
        let verity = self.verity.label.strip_prefix("postern_")?.strip_suffix("_verity")?;
        if root == verity { root.parse().ok() } else { None }
    }

    /// Its UUIDs are those of this root hash.
    #[must_use]
    pub fn is(&self, root_hash: &Sha256) -> bool {
        (self.root.uuid, self.verity.uuid) == uuids(root_hash)
    }

    /// It is what the manifest says, by label and UUID.
    #[must_use]
    pub fn holds(&self, manifest: &Manifest) -> bool {
        self.is(&manifest.root_hash) && self.version().as_ref() == Some(&manifest.version)
    }
}

/// Both slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    /// What runs.
    pub running: Slot,
    /// What may be written.
    pub other: Slot,
}

/// Why there are no two slots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSlots {
    /// The layout is another one.
    #[error("the disk has {roots} root partitions and {trees} hash trees; two of each make slots")]
    Layout {
        /// Roots.
        roots: usize,
        /// Hash trees.
        trees: usize,
    },
    /// Nothing on the disk is what runs.
    #[error("no slot of the disk has the root hash that this system was started with")]
    NotRunning,
}

impl Slots {
    /// Finds the slots among the partitions of a disk. A slot is a root with the hash tree that
    /// follows it in the table.
    ///
    /// # Errors
    /// See [`NoSlots`].
    pub fn find(partitions: &[Partition], running: &Sha256) -> Result<Self, NoSlots> {
        let of = |kind: &str| {
            let mut all: Vec<&Partition> =
                partitions.iter().filter(|part| part.kind.to_string() == kind).collect();
            all.sort_by_key(|part| part.number);
            all
        };
        let (roots, trees) = (of(ROOT_TYPE), of(VERITY_TYPE));
        let ([a, b], [c, d]) = (roots.as_slice(), trees.as_slice()) else {
            return Err(NoSlots::Layout { roots: roots.len(), trees: trees.len() });
        };
        let slot = |root: &&Partition, verity: &&Partition| Slot {
            root: (*root).clone(),
            verity: (*verity).clone(),
        };
        let pairs = [(slot(a, c), slot(b, d)), (slot(b, d), slot(a, c))];
        let found = pairs.into_iter().find(|(first, _)| first.is(running));
        found.map(|(running, other)| Self { running, other }).ok_or(NoSlots::NotRunning)
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::manifest;
    use super::super::manifest::unhex;
    use super::*;

    fn kind(text: &str) -> Uuid {
        Uuid(unhex(&text.replace('-', "")).unwrap())
    }

    fn part(number: u32, kind_text: &str, uuid: Uuid, label: &str) -> Partition {
        let start = u64::from(number) << 24;
        let label = label.to_owned();
        Partition { number, kind: kind(kind_text), uuid, label, start, octets: 1 << 24 }
    }

    #[test]
    fn the_running_slot_is_known_by_its_root_hash() {
        let ours = manifest("1.0.0");
        let (root, verity) = uuids(&ours.root_hash);
        let none = Uuid([9; 16]);
        let table = [
            part(1, ESP_TYPE, none, "esp"),
            part(2, ROOT_TYPE, none, "_empty"),
            part(3, VERITY_TYPE, none, "_empty"),
            part(4, ROOT_TYPE, root, "postern_1.0.0"),
            part(5, VERITY_TYPE, verity, "postern_1.0.0_verity"),
        ];
        let slots = Slots::find(&table, &ours.root_hash).unwrap();
        assert_eq!((slots.running.root.number, slots.other.root.number), (4, 2));
        assert!(slots.running.holds(&ours) && !slots.other.holds(&ours));
        assert_eq!(slots.running.version(), Some(ours.version.clone()));
        assert_eq!(slots.other.version(), None);
        let other = manifest("1.1.0").root_hash;
        assert_eq!(Slots::find(&table, &other), Err(NoSlots::NotRunning));
        let few = Slots::find(&table[..3], &ours.root_hash);
        assert_eq!(few, Err(NoSlots::Layout { roots: 1, trees: 1 }));
        let mut mixed = table.clone();
        mixed[4].uuid = none;
        assert_eq!(Slots::find(&mixed, &ours.root_hash), Err(NoSlots::NotRunning));
    }
}
