//! The bundle: a plain tar (POSIX ustar) whose members have a fixed order and nothing but a name,
//! a size and content, so that the same release gives the same octets.
//!
//! ```text
//! manifest.json  manifest.sig.1  manifest.sig.2 ..  UKI  root  hash tree  (two empty blocks)
//! ```
//! The reader is pushed octets and says what they are; the manifest and its signatures come first,
//! so that nothing of a release has to be kept before it is believed.

use super::keys::{SIGNATURE_OCTETS_MAX, SIGNATURES_MAX};
use super::manifest::{FILE_OCTETS_MAX, MANIFEST_OCTETS_MAX};

/// Octets of a block of tar.
pub const BLOCK: usize = 512;

/// The name of the manifest.
pub const MANIFEST: &str = "manifest.json";

/// The name of a signature, counted from 1.
#[must_use]
pub fn signature_name(number: usize) -> String {
    format!("manifest.sig.{number}")
}

/// Why octets are no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoBundle {
    /// No header where one must be.
    #[error("it is no bundle: {0}")]
    Header(&'static str),
    /// A member that does not belong there.
    #[error("it has a member {0:?} where none belongs")]
    Stranger(String),
    /// It ends too early.
    #[error("it is cut short")]
    Short,
}

/// The header of a member.
///
/// # Errors
/// The name is too long for the format, or the size too large.
pub fn header(name: &str, octets: u64, mtime_secs: u64) -> Result<[u8; BLOCK], NoBundle> {
    if name.len() > 100 || octets > FILE_OCTETS_MAX {
        return Err(NoBundle::Header("a name or a size does not fit"));
    }
    let mut block = [0; BLOCK];
    put(&mut block, 0, name.as_bytes());
    put(&mut block, 100, b"0000644\0");
    put(&mut block, 108, b"0000000\0");
    put(&mut block, 116, b"0000000\0");
    put(&mut block, 124, format!("{octets:011o}\0").as_bytes());
    put(&mut block, 136, format!("{mtime_secs:011o}\0").as_bytes());
    put(&mut block, 148, b"        ");
    block[156] = b'0';
    put(&mut block, 257, b"ustar\x0000");
    let sum = format!("{:06o}\0 ", checksum(&block));
    put(&mut block, 148, sum.as_bytes());
    Ok(block)
}

fn put(block: &mut [u8; BLOCK], at: usize, octets: &[u8]) {
    block[at..at + octets.len()].copy_from_slice(octets);
}

/// The sum of a header with its own field taken as blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let own = 148..156;
    let octet =
        |(at, octet): (usize, &u8)| u32::from(if own.contains(&at) { b' ' } else { *octet });
    block.iter().enumerate().map(octet).sum()
}

/// The zeros behind a member.
#[must_use]
pub fn padding(octets: u64) -> usize {
    let over = usize::try_from(octets % BLOCK as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK - over }
}

/// Reads a header; `None` for the empty block at the end.
fn read_header(block: &[u8; BLOCK]) -> Result<Option<(String, u64)>, NoBundle> {
    if block.iter().all(|octet| *octet == 0) {
        return Ok(None);
    }
    if block[257..262] != *b"ustar" || octal(&block[148..156]) != Some(u64::from(checksum(block))) {
        return Err(NoBundle::Header("a header is damaged"));
    }
    // No links, no folders, no extensions: files, and only files.
    if block[156] != b'0' || block[345] != 0 {
        return Err(NoBundle::Header("a member is no plain file"));
    }
    let name = block[..100].split(|octet| *octet == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|_| NoBundle::Header("a name is no text"))?;
    let octets = octal(&block[124..136]).filter(|octets| *octets <= FILE_OCTETS_MAX);
    let octets = octets.ok_or(NoBundle::Header("a size is out of bounds"))?;
    Ok(Some((name.to_owned(), octets)))
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// What the octets of a bundle are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Manifest and signatures are complete: believe them or stop.
    Signed {
        /// The manifest.
        manifest: Vec<u8>,
        /// Its signatures.
        signatures: Vec<Vec<u8>>,
    },
    /// A file begins.
    Begin {
        /// Its name.
        name: String,
        /// Its octets.
        octets: u64,
    },
    /// Octets of it.
    Octets(Vec<u8>),
    /// It is complete.
    End,
}

/// What the reader waits for.
#[derive(Debug)]
enum Waits {
    Header(Vec<u8>),
    Small { name: String, left: u64, octets: Vec<u8> },
    File { left: u64, padding: usize },
    Padding { left: usize },
    Nothing,
}

/// Reads a bundle from octets that are pushed.
#[derive(Debug)]
pub struct Reader {
    waits: Waits,
    manifest: Option<Vec<u8>>,
    signatures: Vec<Vec<u8>>,
    files: usize,
}

/// The files of a release.
const FILES: usize = 3;

impl Default for Reader {
    fn default() -> Self {
        let waits = Waits::Header(Vec::new());
        Self { waits, manifest: None, signatures: Vec::new(), files: 0 }
    }
}

impl Reader {
    /// Takes octets; what they mean is added to `pieces`.
    ///
    /// # Errors
    /// They are no bundle.
    pub fn push(&mut self, mut octets: &[u8], pieces: &mut Vec<Piece>) -> Result<(), NoBundle> {
        while !octets.is_empty() {
            octets = match std::mem::replace(&mut self.waits, Waits::Nothing) {
                Waits::Header(block) => self.header(block, octets, pieces)?,
                Waits::Small { name, left, octets: kept } => self.small(name, left, kept, octets),
                Waits::File { left, padding } => self.file(left, padding, octets, pieces),
                Waits::Padding { left } => self.padding(left, octets)?,
                Waits::Nothing if octets.iter().all(|octet| *octet == 0) => &[],
                Waits::Nothing => {
                    return Err(NoBundle::Header("there is something behind its end"));
                }
            };
        }
        Ok(())
    }

    /// There are no more octets.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(&self) -> Result<(), NoBundle> {
        let whole = self.files == FILES && matches!(self.waits, Waits::Nothing);
        if whole { Ok(()) } else { Err(NoBundle::Short) }
    }

    fn header<'o>(
        &mut self,
        mut block: Vec<u8>,
        octets: &'o [u8],
        pieces: &mut Vec<Piece>,
    ) -> Result<&'o [u8], NoBundle> {
        let (now, rest) = octets.split_at(octets.len().min(BLOCK - block.len()));
        block.extend_from_slice(now);
        self.waits = match <&[u8; BLOCK]>::try_from(block.as_slice()) {
            Ok(whole) => self.member(whole, pieces)?,
            Err(_) => Waits::Header(block),
        };
        Ok(rest)
    }

    /// What comes after a header.
    fn member(&mut self, block: &[u8; BLOCK], pieces: &mut Vec<Piece>) -> Result<Waits, NoBundle> {
        let Some((name, octets)) = read_header(block)? else {
            return if self.files == FILES { Ok(Waits::Nothing) } else { Err(NoBundle::Short) };
        };
        let number = self.signatures.len() + 1;
        let small = if self.manifest.is_none() {
            (name == MANIFEST).then_some(MANIFEST_OCTETS_MAX)
        } else {
            let expected = self.files == 0 && number <= SIGNATURES_MAX;
            (expected && name == signature_name(number)).then_some(SIGNATURE_OCTETS_MAX)
        };
        if let Some(octets_max) = small {
            if octets == 0 || octets > octets_max as u64 {
                return Err(NoBundle::Header("manifest or signature are out of bounds"));
            }
            return Ok(Waits::Small { name, left: octets, octets: Vec::new() });
        }
        if self.manifest.is_none() || self.files == FILES || octets == 0 {
            return Err(NoBundle::Stranger(name.chars().take(100).collect()));
        }
        if self.files == 0 {
            let manifest = self.manifest.clone().unwrap_or_default();
            pieces.push(Piece::Signed { manifest, signatures: self.signatures.clone() });
        }
        self.files += 1;
        pieces.push(Piece::Begin { name, octets });
        Ok(Waits::File { left: octets, padding: padding(octets) })
    }

    fn small<'o>(
        &mut self,
        name: String,
        left: u64,
        mut kept: Vec<u8>,
        octets: &'o [u8],
    ) -> &'o [u8] {
        let (now, rest) = split(octets, left);
        kept.extend_from_slice(now);
        let left = left - now.len() as u64;
        if left > 0 {
            self.waits = Waits::Small { name, left, octets: kept };
            return rest;
        }
        self.waits = behind(padding(kept.len() as u64));
        if name == MANIFEST {
            self.manifest = Some(kept);
        } else {
            self.signatures.push(kept);
        }
        rest
    }

    fn file<'o>(
        &mut self,
        left: u64,
        padding: usize,
        octets: &'o [u8],
        pieces: &mut Vec<Piece>,
    ) -> &'o [u8] {
        let (now, rest) = split(octets, left);
        pieces.push(Piece::Octets(now.to_vec()));
        let left = left - now.len() as u64;
        if left == 0 {
            pieces.push(Piece::End);
        }
        self.waits = if left > 0 { Waits::File { left, padding } } else { behind(padding) };
        rest
    }

    fn padding<'o>(&mut self, left: usize, octets: &'o [u8]) -> Result<&'o [u8], NoBundle> {
        let (now, rest) = octets.split_at(octets.len().min(left));
        if now.iter().any(|octet| *octet != 0) {
            return Err(NoBundle::Header("there is something between members"));
        }
        self.waits = behind(left - now.len());
        Ok(rest)
    }
}

/// What comes behind a member.
fn behind(padding: usize) -> Waits {
    if padding > 0 { Waits::Padding { left: padding } } else { Waits::Header(Vec::new()) }
}

fn split(octets: &[u8], left: u64) -> (&[u8], &[u8]) {
    octets.split_at(octets.len().min(usize::try_from(left).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let octets = content.len() as u64;
        let mut out = header(name, octets, 1_790_000_000).unwrap().to_vec();
        out.extend_from_slice(content);
        out.resize(out.len() + padding(octets), 0);
        out
    }

    fn bundle() -> Vec<u8> {
        let members: [(&str, &[u8]); 6] = [
            (MANIFEST, b"{}"),
            ("manifest.sig.1", b"one"),
            ("manifest.sig.2", b"two"),
            ("a.efi", &[1; 512]),
            ("a.root.raw.xz", &[2; 1000]),
            ("a.verity.raw.xz", b"3"),
        ];
        let mut out: Vec<u8> = members.iter().flat_map(|(n, c)| member(n, c)).collect();
        out.resize(out.len() + 2 * BLOCK, 0);
        out
    }

    /// Pieces with the octets of one file joined.
    fn read(octets: &[u8], step: usize) -> Result<Vec<Piece>, NoBundle> {
        let (mut reader, mut pieces) = (Reader::default(), Vec::new());
        for part in octets.chunks(step) {
            reader.push(part, &mut pieces)?;
        }
        reader.finish()?;
        let mut joined: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (Some(Piece::Octets(before)), Piece::Octets(more)) => before.extend(more),
                (_, piece) => joined.push(piece),
            }
        }
        Ok(joined)
    }

    #[test]
    fn a_bundle_is_read_as_it_was_written_in_pieces_of_any_size() {
        let octets = bundle();
        let whole = read(&octets, octets.len()).unwrap();
        assert_eq!(whole.len(), 10);
        let signatures = vec![b"one".to_vec(), b"two".to_vec()];
        assert_eq!(whole[0], Piece::Signed { manifest: b"{}".to_vec(), signatures });
        assert_eq!(whole[5], Piece::Octets(vec![2; 1000]));
        for step in [1, 7, 511, 512, 513, 4096] {
            assert_eq!(read(&octets, step).unwrap(), whole, "{step}");
        }
    }

    #[test]
    fn a_bundle_that_is_cut_or_altered_is_refused() {
        let octets = bundle();
        let end = octets.len() - 2 * BLOCK;
        for cut in 0..=end {
            assert!(read(&octets[..cut], 4096).is_err(), "cut at {cut}");
        }
        for at in (0..BLOCK).chain(octets.len() - BLOCK..octets.len()) {
            let mut altered = octets.clone();
            altered[at] ^= 0x41;
            assert!(read(&altered, 4096).is_err(), "octet {at}");
        }
    }

    #[test]
    fn only_the_members_of_a_bundle_in_their_order() {
        let wrong: [&[(&str, &[u8])]; 5] = [
            &[("a.efi", b"1"), (MANIFEST, b"{}")],
            &[(MANIFEST, b"{}"), ("manifest.sig.2", b"x")],
            &[(MANIFEST, b"{}"), (MANIFEST, b"{}")],
            &[(MANIFEST, b"")],
            &[
                (MANIFEST, b"{}"),
                ("manifest.sig.1", b"1"),
                ("a", b"1"),
                ("b", b"1"),
                ("c", b"1"),
                ("d", b"1"),
            ],
        ];
        for (at, members) in wrong.into_iter().enumerate() {
            let mut out: Vec<u8> = members.iter().flat_map(|(n, c)| member(n, c)).collect();
            out.resize(out.len() + 2 * BLOCK, 0);
            // Some begin like a bundle: a signature out of turn is taken for the first file.
            assert!(read(&out, 4096).is_err(), "{at}");
        }
        let mut link = member(MANIFEST, b"{}");
        link[156] = b'2';
        assert!(read(&link, 4096).is_err());
    }
}
