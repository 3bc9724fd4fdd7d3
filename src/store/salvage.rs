//! Salvage: every readable message out of damaged segments, without a running spool.
//!
//! Nothing is believed but checksums: names of files may be lost, whole regions may be garbage.
//! Records are looked for by their magic at every octet. A record that a stranger hid in the
//! content of a message has not the salt of the file: that stands in its name, or else is the
//! one that most records of the file carry.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use super::read::write_parcel;
use super::segment::{Segment, Window};
use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::mail::queued::Change;
use crate::spool::record::{HEADER_OCTETS, Header, Kind, MAGIC, Stored, read_head, salt_of};
use crate::spool::scan::Octets;

/// Octets that are searched in one piece.
const PIECE_OCTETS: usize = 1024 * 1024;

/// The largest record that is believed: a message of 128 MiB with its envelope.
const RECORD_OCTETS_MAX: u64 = 192 * 1024 * 1024;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Salvaged {
    /// Files that were read.
    pub files: u64,
    /// Messages that were written to the output folder.
    pub messages: u64,
    /// Messages of which all recipients were settled; they are not written.
    pub complete: u64,
    /// Messages whose envelope could be read and whose content is damaged; written, named so.
    pub damaged: u64,
    /// Records with a good header and a damaged head.
    pub lost: u64,
}

/// Reads every file of `folder` (a spool, its ledger, or loose segments) and writes each message
/// with open recipients to `out` as `ID.eml` and `ID.json`.
///
/// # Errors
/// If the folders cannot be read or written.
pub fn salvage(folder: &Path, out: &Path) -> Result<Salvaged, Fault> {
    let ledger = folder.join("ledger");
    let folder = if ledger.is_dir() { ledger } else { folder.to_owned() };
    let listed = std::fs::read_dir(&folder);
    let listed = listed.map_err(|error| Fault::new("listing", folder.display(), error))?;
    let mut files: Vec<_> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.is_file());
    files.sort();
    std::fs::create_dir_all(out).map_err(|error| Fault::new("making", out.display(), error))?;

    let mut salvaged = Salvaged::default();
    let mut settled: HashSet<(QueueId, u16)> = HashSet::new();
    let mut salts = HashMap::new();
    for path in &files {
        salts.insert(path, salt(path)?);
    }
    for path in &files {
        walk(path, salts[path], &mut |_, header, head, _| {
            let changes = match header.kind {
                Kind::Changes => read_head::<Vec<Change>>(header, head).unwrap_or_default(),
                Kind::Message => {
                    read_head::<Stored>(header, head).map(|s| s.settles).unwrap_or_default()
                }
                _ => Vec::new(),
            };
            for change in changes {
                if let Change::Settled { id, recipient, settlement } = change
                    && settlement.is_final()
                {
                    settled.insert((id, recipient));
                }
            }
            Ok(())
        })?;
    }
    let mut written = HashSet::new();
    for path in &files {
        salvaged.files += 1;
        let mut counts = salvaged;
        walk(path, salts[path], &mut |window, header, head, at| {
            write(window, (header, head, at), out, &settled, &mut written, &mut counts)
        })
        .map(|lost| counts.lost += lost)?;
        salvaged = counts;
    }
    Ok(salvaged)
}

fn write(
    window: &mut Window,
    (header, head, at): (&Header, &[u8], u64),
    out: &Path,
    settled: &HashSet<(QueueId, u16)>,
    written: &mut HashSet<QueueId>,
    counts: &mut Salvaged,
) -> Result<(), Fault> {
    if header.kind != Kind::Message {
        return Ok(());
    }
    let Ok(stored) = read_head::<Stored>(header, head) else {
        counts.lost += 1;
        return Ok(());
    };
    let mut queued = stored.queued(header.id, 0);
    queued.recipients.retain(|r| !settled.contains(&(header.id, r.index)));
    if queued.recipients.is_empty() {
        counts.complete += u64::from(written.insert(header.id));
        return Ok(());
    }
    if written.contains(&header.id) {
        return Ok(());
    }
    let octets = usize::try_from(header.body_octets).unwrap_or(0);
    let content = window.at(at + (HEADER_OCTETS + head.len()) as u64, octets).to_vec();
    let intact = content.len() == octets && crc32fast::hash(&content) == header.body_checksum;
    let parcel = stored.parcel(header.id, content.into());
    let folder = if intact { out.to_owned() } else { out.join("damaged") };
    let made = std::fs::create_dir_all(&folder).and_then(|()| write_parcel(&folder, &parcel));
    made.map_err(|error| Fault::new("writing", folder.display(), error))?;
    if intact {
        counts.messages += 1;
        written.insert(header.id);
    } else {
        counts.damaged += 1;
    }
    Ok(())
}

type Each<'a> = dyn FnMut(&mut Window, &Header, &[u8], u64) -> Result<(), Fault> + 'a;

/// The salt of a file.
fn salt(path: &Path) -> Result<Option<u64>, Fault> {
    let name = path.file_name().and_then(|name| name.to_str());
    if let Some(segment) = name.and_then(Segment::read_name) {
        return Ok(Some(segment.salt));
    }
    let mut votes: HashMap<u64, u32> = HashMap::new();
    walk(path, None, &mut |window, _, _, at| {
        if let Ok(header) = window.at(at, HEADER_OCTETS).try_into() {
            *votes.entry(salt_of(header)).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(salt, _)| salt))
}

/// Shows every record with a whole header and head; returns how many had a damaged head.
fn walk(path: &Path, salt: Option<u64>, each: &mut Each<'_>) -> Result<u64, Fault> {
    let opened = Window::open(path);
    let mut window = opened.map_err(|error| Fault::new("opening", path.display(), error))?;
    let finder = memchr::memmem::Finder::new(&MAGIC);
    let (mut at, mut lost) = (0u64, 0);
    loop {
        let piece = window.at(at, PIECE_OCTETS);
        if piece.len() < HEADER_OCTETS {
            return Ok(lost);
        }
        let Some(hit) = finder.find(piece) else {
            at += (piece.len() - (MAGIC.len() - 1)) as u64;
            continue;
        };
        at += hit as u64;
        let octets: Option<&[u8; HEADER_OCTETS]> = window.at(at, HEADER_OCTETS).try_into().ok();
        let octets = octets.filter(|octets| salt.is_none_or(|salt| salt_of(octets) == salt));
        let header = octets.and_then(Header::decode_any);
        let Some(header) = header.filter(|header| header.octets() <= RECORD_OCTETS_MAX) else {
            at += 1;
            continue;
        };
        let head_octets = usize::try_from(header.head_octets).unwrap_or(0);
        let head = window.at(at + HEADER_OCTETS as u64, head_octets).to_vec();
        if head.len() == head_octets && crc32fast::hash(&head) == header.head_checksum {
            each(&mut window, &header, &head, at)?;
            at += header.octets();
        } else {
            lost += 1;
            at += HEADER_OCTETS as u64;
        }
    }
}
