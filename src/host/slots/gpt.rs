//! Reads the partition table of a disk (UEFI 2.10 section 5.3), or of an image of one.
//!
//! Our own reader and not lsblk or sysfs: the kernel and udev may not have seen a label that was
//! written a moment ago, and a test has a file and no device.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::base::fault::Fault;
use crate::update::manifest::Uuid;
use crate::update::slots::Partition;

/// Sector sizes that disks have.
const SECTORS: [u64; 2] = [512, 4096];

/// Entries of a table; every tool writes 128.
const ENTRIES_MAX: u32 = 1024;

/// Octets of a header (UEFI 2.10 5.3.2).
const HEADER: usize = 92;

/// The partitions of `disk`, in the order of their numbers.
///
/// # Errors
/// It cannot be read, or neither of its two tables is whole.
pub fn partitions(disk: &Path) -> Result<Vec<Partition>, Fault> {
    let fault = |cause: String| Fault::new("reading the partition table of", disk.display(), cause);
    let file = File::open(disk).map_err(|error| fault(error.to_string()))?;
    for sector in SECTORS {
        if let Some(found) = table(&file, sector, sector) {
            return Ok(found);
        }
        // The second table is in the last sector.
        let octets = octets_of(&file).map_err(|error| fault(error.to_string()))?;
        let last = (octets / sector).saturating_sub(1) * sector;
        if let Some(found) = table(&file, sector, last) {
            return Ok(found);
        }
    }
    Err(fault("there is no whole GPT".to_owned()))
}

/// Octets of a file or a device.
fn octets_of(file: &File) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

/// The table whose header stands at `at`, if it is whole.
fn table(file: &File, sector: u64, at: u64) -> Option<Vec<Partition>> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, at).ok()?;
    let claimed = four(&header, 16)?;
    header[16..20].fill(0);
    let good = header.starts_with(b"EFI PART")
        && four(&header, 12)? as usize == HEADER
        && crc32fast::hash(&header) == claimed
        && eight(&header, 24)?.checked_mul(sector)? == at;
    let (count, size) = (four(&header, 80)?, four(&header, 84)?);
    if !good || count > ENTRIES_MAX || !(128..=4096).contains(&size) {
        return None;
    }
    let mut entries = vec![0; usize::try_from(count.checked_mul(size)?).ok()?];
    file.read_exact_at(&mut entries, eight(&header, 72)?.checked_mul(sector)?).ok()?;
    if crc32fast::hash(&entries) != four(&header, 88)? {
        return None;
    }
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(entries.chunks(usize::try_from(size).ok()?)) {
        if entry[..16].iter().any(|octet| *octet != 0) {
            found.push(partition(number, entry, sector)?);
        }
    }
    Some(found)
}

fn partition(number: u32, entry: &[u8], sector: u64) -> Option<Partition> {
    let (first, last) = (eight(entry, 32)?, eight(entry, 40)?);
    let label = entry.get(56..128)?.chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]]));
    let label: Vec<u16> = label.take_while(|unit| *unit != 0).collect();
    Some(Partition {
        number,
        kind: uuid(entry, 0)?,
        uuid: uuid(entry, 16)?,
        label: String::from_utf16_lossy(&label),
        start: first.checked_mul(sector)?,
        octets: last.checked_sub(first)?.checked_add(1)?.checked_mul(sector)?,
    })
}

fn four(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn eight(octets: &[u8], at: usize) -> Option<u64> {
    octets.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// A GUID: its first three fields are little-endian on the disk (UEFI 2.10 appendix A).
fn uuid(octets: &[u8], at: usize) -> Option<Uuid> {
    let mut uuid: [u8; 16] = octets.get(at..at + 16)?.try_into().ok()?;
    uuid[0..4].reverse();
    uuid[4..6].reverse();
    uuid[6..8].reverse();
    Some(Uuid(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of 64 sectors with one partition.
    fn disk() -> Vec<u8> {
        let mut entries = vec![0; 128 * 128];
        let kind = [0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca];
        entries[..12].copy_from_slice(&kind);
        entries[12..16].copy_from_slice(&[0xf9, 0x84, 0xb7, 0x09]);
        entries[16..32].fill(7);
        entries[32] = 40;
        entries[40] = 47;
        for (at, unit) in "postern_1.0.0".encode_utf16().enumerate() {
            entries[56 + at * 2..58 + at * 2].copy_from_slice(&unit.to_le_bytes());
        }
        let mut disk = vec![0; 64 * 512];
        for (own, array) in [(1_u64, 2_u64), (63, 48)] {
            let mut header = [0; HEADER];
            header[..8].copy_from_slice(b"EFI PART");
            header[12] = 92;
            header[24..32].copy_from_slice(&own.to_le_bytes());
            header[72..80].copy_from_slice(&array.to_le_bytes());
            header[80] = 56;
            header[84] = 128;
            let list = &entries[..56 * 128];
            header[88..92].copy_from_slice(&crc32fast::hash(list).to_le_bytes());
            let sum = crc32fast::hash(&header);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
            let place = |sector: u64| usize::try_from(sector * 512).unwrap();
            disk[place(own)..place(own) + HEADER].copy_from_slice(&header);
            disk[place(array)..place(array) + list.len()].copy_from_slice(list);
        }
        disk
    }

    fn read(disk: &[u8]) -> Result<Vec<Partition>, Fault> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), disk).unwrap();
        partitions(file.path())
    }

    #[test]
    fn a_table_is_read_and_its_copy_stands_in() {
        let good = disk();
        let found = read(&good).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind.to_string(), crate::update::slots::ROOT_TYPE);
        assert_eq!((found[0].start, found[0].octets), (40 * 512, 8 * 512));
        assert_eq!(found[0].label, "postern_1.0.0");
        let mut torn = good.clone();
        torn[512 + 40] ^= 1;
        assert_eq!(read(&torn).unwrap(), found);
        torn[63 * 512 + 40] ^= 1;
        assert!(read(&torn).is_err());
        let mut entries = good;
        entries[2 * 512 + 56] ^= 1;
        assert_eq!(read(&entries).unwrap(), found, "entries with a wrong checksum");
        assert!(read(&[0; 4096]).is_err());
    }
}
