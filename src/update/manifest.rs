//! The manifest of a release: JSON, typed, strict and bounded. Nothing in it is believed before
//! the signatures over its octets are ([`super::keys`]).

use serde::{Deserialize, Serialize};

use super::version::Version;
use crate::base::time::WallTime;

/// Octets of a manifest. One GiB in chunks of one MiB is 70 KiB of hashes.
pub const MANIFEST_OCTETS_MAX: usize = 1024 * 1024;

/// Octets of a chunk whose hash stands in the manifest.
pub const CHUNK_OCTETS: u64 = 1024 * 1024;

/// Octets of one file of a release, packed or not: a slot is one GiB.
pub const FILE_OCTETS_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The version of the manifest that this program reads.
const FORMAT: u32 = 1;

/// What the software is called.
pub const PRODUCT: &str = "postern";

/// Machines that this program's release runs on.
#[must_use]
pub fn compatible() -> String {
    let kind = if cfg!(target_arch = "aarch64") { "aarch64-uefi" } else { "x86_64-uefi" };
    kind.to_owned()
}

/// A SHA-256, in lower-case hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// The hash of `octets`.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        Hasher::default().finish_with(octets)
    }
}

/// A hash in the making.
#[derive(Clone)]
pub struct Hasher(aws_lc_rs::digest::Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// Takes more octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        Sha256(out)
    }

    fn finish_with(mut self, octets: &[u8]) -> Sha256 {
        self.update(octets);
        self.finish()
    }
}

/// Octets as lower-case hex.
#[must_use]
pub fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, octet| {
        let _never_fails = write!(text, "{octet:02x}");
        text
    })
}

/// Reads lower-case hex of exactly `N` octets.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let legal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() != N * 2 || !text.bytes().all(legal) {
        return None;
    }
    let mut out = [0; N];
    for (at, octet) in out.iter_mut().enumerate() {
        *octet = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(out)
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        unhex(&text).map(Self).ok_or_else(|| "is no SHA-256 in lower-case hex".to_owned())
    }
}

impl From<Sha256> for String {
    fn from(hash: Sha256) -> Self {
        hex(&hash.0)
    }
}

impl std::fmt::Display for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A file of a release: as it travels, and as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name in the bundle; `.xz` at its end: it is packed.
    pub name: String,
    /// Octets as it travels.
    pub octets: u64,
    /// SHA-256 as it travels.
    pub sha256: Sha256,
    /// Octets unpacked.
    pub unpacked_octets: u64,
    /// SHA-256 of each MiB unpacked; the last may be shorter.
    pub chunks: Vec<Sha256>,
}

/// The three files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The unified kernel image.
    pub uki: File,
    /// The root file system.
    pub root: File,
    /// Its hash tree.
    pub verity: File,
}

/// Versions of what the spool holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolFormats {
    /// What the program reads.
    pub reads: Vec<u8>,
    /// What it can write.
    pub writes: Vec<u8>,
}

/// Formats that outlive a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Formats {
    /// The spool's.
    pub spool: SpoolFormats,
    /// Versions of the configuration document that are read.
    pub config: Vec<u8>,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this document.
    pub format: u32,
    /// [`PRODUCT`].
    pub product: String,
    /// Machines that it runs on.
    pub compatible: String,
    /// Its version.
    pub version: Version,
    /// The oldest version that may go to it in one step.
    pub min_version: Version,
    /// Once it is healthy, nothing older than this is taken any more.
    pub floor: Version,
    /// Formats.
    pub formats: Formats,
    /// When it was made.
    pub made: WallTime,
    /// When it is not to be taken any more: an old release cannot be offered for ever.
    pub expires: WallTime,
    /// The root hash of the dm-verity tree: the slot's identity.
    pub root_hash: Sha256,
    /// The files.
    pub files: Files,
    /// SHA-256 of the bill of materials, if there is one.
    pub sbom: Option<Sha256>,
}

/// Why a text is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoManifest {
    /// Too long, or no JSON of this kind.
    #[error("the manifest cannot be read: {0}")]
    Unreadable(String),
    /// It contradicts itself.
    #[error("the manifest contradicts itself: {0}")]
    Contradiction(String),
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(octets: &[u8]) -> Result<Self, NoManifest> {
        if octets.len() > MANIFEST_OCTETS_MAX {
            return Err(NoManifest::Unreadable(format!("{} octets are too many", octets.len())));
        }
        let manifest: Self = serde_json::from_slice(octets)
            .map_err(|error| NoManifest::Unreadable(error.to_string()))?;
        manifest.check().map_err(NoManifest::Contradiction)?;
        Ok(manifest)
    }

    /// The octets that are signed and travel.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text.into_bytes()
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format {} is not known", self.format));
        }
        if self.floor > self.version || self.min_version > self.version {
            return Err("floor and min_version are not above the version".to_owned());
        }
        let formats = &self.formats;
        for known in [&formats.spool.reads, &formats.spool.writes, &formats.config] {
            if known.is_empty() || known.len() > 32 {
                return Err("a list of formats has 1 to 32 numbers".to_owned());
            }
        }
        if formats.spool.writes.iter().any(|written| !formats.spool.reads.contains(written)) {
            return Err("it writes a spool that it cannot read".to_owned());
        }
        let names = Names::of(self);
        let files = &self.files;
        for (file, name) in
            [(&files.uki, names.uki), (&files.root, names.root), (&files.verity, names.verity)]
        {
            if file.name != name {
                return Err(format!("{:?} must be called {name:?}", file.name));
            }
            let chunks = file.unpacked_octets.div_ceil(CHUNK_OCTETS);
            if file.octets == 0 || file.octets > FILE_OCTETS_MAX {
                return Err(format!("{name}: {} octets", file.octets));
            }
            if file.unpacked_octets == 0 || file.unpacked_octets > FILE_OCTETS_MAX {
                return Err(format!("{name}: {} octets unpacked", file.unpacked_octets));
            }
            if file.chunks.len() as u64 != chunks {
                return Err(format!("{name}: {} chunks, not {chunks}", file.chunks.len()));
            }
        }
        if files.uki.octets != files.uki.unpacked_octets {
            return Err("the UKI travels unpacked".to_owned());
        }
        Ok(())
    }

    /// The partition UUID of the root: the first half of the root hash, as
    /// systemd-gpt-auto-generator looks for it.
    #[must_use]
    pub fn root_uuid(&self) -> Uuid {
        uuids(&self.root_hash).0
    }

    /// The partition UUID of the hash tree: the second half.
    #[must_use]
    pub fn verity_uuid(&self) -> Uuid {
        uuids(&self.root_hash).1
    }
}

/// A UUID in the order of its text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = hex(&self.0);
        let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
        f.write_str(&parts.join("-"))
    }
}

impl std::fmt::Debug for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The partition UUIDs of root and hash tree for a root hash.
#[must_use]
pub fn uuids(root_hash: &Sha256) -> (Uuid, Uuid) {
    let (mut root, mut verity) = ([0; 16], [0; 16]);
    root.copy_from_slice(&root_hash.0[..16]);
    verity.copy_from_slice(&root_hash.0[16..]);
    (Uuid(root), Uuid(verity))
}

/// What the files of a release are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The unified kernel image.
    pub uki: String,
    /// The root file system.
    pub root: String,
    /// Its hash tree.
    pub verity: String,
}

impl Names {
    /// The names for a manifest.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        Self::new(&manifest.version, &manifest.root_hash)
    }

    /// The names for a version with this root hash.
    #[must_use]
    pub fn new(version: &Version, root_hash: &Sha256) -> Self {
        let (root, verity) = uuids(root_hash);
        Self {
            uki: format!("postern_{version}.efi"),
            root: format!("postern_{version}_{root}.root.raw.xz"),
            verity: format!("postern_{version}_{verity}.verity.raw.xz"),
        }
    }
}

/// The hashes of the chunks of what is put in, piece by piece.
#[derive(Debug, Default)]
pub struct Chunks {
    hasher: Hasher,
    filled: u64,
    done: Vec<Sha256>,
}

impl Chunks {
    /// Takes more octets.
    pub fn update(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let room = usize::try_from(CHUNK_OCTETS - self.filled).unwrap_or(usize::MAX);
            let (now, rest) = octets.split_at(octets.len().min(room));
            self.hasher.update(now);
            self.filled += now.len() as u64;
            octets = rest;
            if self.filled == CHUNK_OCTETS {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        self.done.push(std::mem::take(&mut self.hasher).finish());
        self.filled = 0;
    }

    /// All hashes.
    #[must_use]
    pub fn finish(mut self) -> Vec<Sha256> {
        if self.filled > 0 {
            self.close();
        }
        self.done
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn file(name: &str, octets: &[u8]) -> File {
        let mut chunks = Chunks::default();
        chunks.update(octets);
        File {
            name: name.to_owned(),
            octets: octets.len() as u64,
            sha256: Sha256::of(octets),
            unpacked_octets: octets.len() as u64,
            chunks: chunks.finish(),
        }
    }

    pub(crate) fn manifest(version: &str) -> Manifest {
        let version: Version = version.parse().unwrap();
        let root_hash = Sha256::of(version.to_string().as_bytes());
        let names = Names::new(&version, &root_hash);
        Manifest {
            format: FORMAT,
            product: PRODUCT.to_owned(),
            compatible: compatible(),
            min_version: "0.1.0".parse().unwrap(),
            floor: "0.1.0".parse().unwrap(),
            formats: Formats {
                spool: SpoolFormats { reads: vec![1, 2], writes: vec![2] },
                config: vec![1],
            },
            made: WallTime(1_790_000_000_000),
            expires: WallTime(1_800_000_000_000),
            files: Files {
                uki: file(&names.uki, b"uki"),
                root: file(&names.root, b"root"),
                verity: file(&names.verity, b"verity"),
            },
            root_hash,
            version,
            sbom: None,
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let good = manifest("1.2.0");
        let octets = good.write();
        assert_eq!(Manifest::read(&octets).unwrap(), good);
        for end in 0..octets.len() - 2 {
            assert!(Manifest::read(&octets[..end]).is_err(), "cut at {end}");
        }
        let text = String::from_utf8(octets).unwrap();
        let extra = text.replacen("\"product\"", "\"odd\": 1, \"product\"", 1);
        assert!(Manifest::read(extra.as_bytes()).is_err(), "a field that nobody knows");
        let twice = text.replacen("\"product\"", "\"product\": \"x\", \"product\"", 1);
        assert!(Manifest::read(twice.as_bytes()).is_err(), "a field that is there twice");
        assert!(Manifest::read(&vec![b' '; MANIFEST_OCTETS_MAX + 1]).is_err());
    }

    #[test]
    fn contradictions_are_found() {
        let wrong: [fn(&mut Manifest); 9] = [
            |m| m.format = 2,
            |m| m.floor = "9.0.0".parse().unwrap(),
            |m| m.min_version = "9.0.0".parse().unwrap(),
            |m| m.formats.spool.writes = vec![3],
            |m| m.formats.config.clear(),
            |m| m.files.root.name = "../../etc/passwd".to_owned(),
            |m| m.files.root.chunks.clear(),
            |m| m.files.verity.unpacked_octets = FILE_OCTETS_MAX + 1,
            |m| m.files.uki.octets += 1,
        ];
        for (at, wrong) in wrong.into_iter().enumerate() {
            let mut manifest = manifest("1.2.0");
            wrong(&mut manifest);
            let read = Manifest::read(&manifest.write());
            assert!(matches!(read, Err(NoManifest::Contradiction(_))), "{at}: {read:?}");
        }
    }

    #[test]
    fn chunks_do_not_depend_on_the_pieces() {
        let octets: Vec<u8> = (0..3 * 1024 * 1024 + 5_u32).map(|n| (n % 251) as u8).collect();
        let mut whole = Chunks::default();
        whole.update(&octets);
        let mut pieces = Chunks::default();
        octets.chunks(70_001).for_each(|piece| pieces.update(piece));
        let (whole, pieces) = (whole.finish(), pieces.finish());
        assert_eq!(whole, pieces);
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[3], Sha256::of(&octets[3 * 1024 * 1024..]));
    }

    #[test]
    fn uuids_are_the_halves_of_the_root_hash() {
        let hash = "00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3d2e1f0";
        let (root, verity) = uuids(&Sha256(unhex(hash).unwrap()));
        assert_eq!(root.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(verity.to_string(), "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
        assert!(unhex::<2>("AABB").is_none() && unhex::<2>("aab").is_none());
    }
}
