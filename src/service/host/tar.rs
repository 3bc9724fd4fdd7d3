//! Small tar archives (POSIX.1-1988 ustar): what every system can open, written and read in
//! memory. Names have at most 100 octets; nothing but plain files.

const BLOCK: usize = 512;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name, with `/`.
    pub(super) name: String,
    /// Its octets.
    pub(super) octets: Vec<u8>,
}

impl Member {
    pub(super) fn new(name: impl Into<String>, octets: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), octets: octets.into() }
    }
}

/// Packs files that only their owner may read.
pub(super) fn pack(members: &[Member], unix_secs: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        out.extend(head(member, unix_secs));
        out.extend(&member.octets);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

fn head(member: &Member, unix_secs: u64) -> [u8; BLOCK] {
    let mut head = [0_u8; BLOCK];
    let mut put = |at: usize, text: &str, room: usize| {
        let octets = &text.as_bytes()[..text.len().min(room)];
        head[at..at + octets.len()].copy_from_slice(octets);
    };
    put(0, &member.name, 100);
    put(100, "0000600\0", 8);
    put(108, "0000000\0", 8);
    put(116, "0000000\0", 8);
    put(124, &format!("{:011o}\0", member.octets.len()), 12);
    put(136, &format!("{unix_secs:011o}\0"), 12);
    put(148, "        ", 8);
    put(156, "0", 1);
    put(257, "ustar\x0000", 8);
    put(265, "root", 32);
    put(297, "root", 32);
    let sum: u32 = head.iter().map(|octet| u32::from(*octet)).sum();
    let sum = format!("{sum:06o}\0 ");
    head[148..156].copy_from_slice(sum.as_bytes());
    head
}

/// Unpacks what [`pack`] packed; anything else is refused.
///
/// # Errors
/// What does not fit.
pub(super) fn unpack(octets: &[u8]) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    let mut rest = octets;
    loop {
        let Some((head, after)) = rest.split_at_checked(BLOCK) else {
            return Err("the archive ends too early".to_owned());
        };
        if head.iter().all(|octet| *octet == 0) {
            return Ok(members);
        }
        if head[156] != b'0' || &head[257..262] != b"ustar" {
            return Err("the archive holds something that is no plain file".to_owned());
        }
        let name = field(&head[..100])?;
        let size = usize::from_str_radix(&field(&head[124..136])?, 8)
            .map_err(|_| "the archive has a file without a size".to_owned())?;
        let room = size.checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX);
        let Some((content, after)) = after.split_at_checked(room) else {
            return Err("the archive ends too early".to_owned());
        };
        members.push(Member { name, octets: content[..size].to_vec() });
        rest = after;
    }
}

fn field(octets: &[u8]) -> Result<String, String> {
    let end = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
    let text = std::str::from_utf8(&octets[..end]).map_err(|_| "a name is no text".to_owned())?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_here_and_by_tar() {
        let members = [Member::new("a.txt", "hello"), Member::new("b/c.bin", vec![7; 1024])];
        let packed = pack(&members, 1_790_000_000);
        assert_eq!(unpack(&packed).unwrap(), members);
        assert!(unpack(&packed[..700]).is_err());
        assert!(unpack(&[1; 512]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        std::fs::write(&path, &packed).unwrap();
        let mut tar = std::process::Command::new("tar");
        let done = tar.arg("-xf").arg(&path).arg("-C").arg(folder.path()).status().unwrap();
        assert!(done.success());
        assert_eq!(std::fs::read(folder.path().join("b/c.bin")).unwrap(), vec![7; 1024]);
    }
}
