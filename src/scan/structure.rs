//! The structure of the MIME parts, measured and bounded before anything else reads it.
//!
//! One pass over the content that looks only at lines which begin with `--`, and a stack of at
//! most `MIME_DEPTH_MAX` boundaries: time is linear, memory does not depend on the message. What
//! programs read in two ways (two boundaries alike, an encoded multipart, two Content-Type fields
//! in one part) is refused, because what one program does not see another one opens.

use memchr::{memchr, memmem};

use crate::base::limits::{HEADER_FIELDS_MAX, HEADER_OCTETS_MAX, MIME_DEPTH_MAX, MIME_PARTS_MAX};
use crate::smtp::reply::{Refusal, Reply};

use super::content_type::{Kind, Twisted};

/// What the structure of a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// Parts, the message itself included.
    pub parts: usize,
    /// The deepest nesting; 0 for a message without parts.
    pub depth: usize,
}

/// Measures `content`, header included.
///
/// # Errors
/// `mime-too-deep`, `mime-too-many-parts`, `mime-header-too-large`, `mime-ambiguous`.
pub fn measure(content: &[u8]) -> Result<Structure, Refusal> {
    let mut walk = Walk { content, stack: Vec::new(), found: Structure::default() };
    let mut at = walk.part(0)?;
    let dashes = memmem::Finder::new(b"\n--");
    loop {
        // `at` is always the beginning of a line.
        let start = match content.get(at..at + 2) {
            Some(b"--") => at,
            _ => match dashes.find(&content[at..]) {
                Some(found) => at + found + 1,
                None => return Ok(walk.found),
            },
        };
        let end = line_end(content, start);
        at = match walk.delimiter(&content[start + 2..end]) {
            Some(Delimiter::Open) => walk.part(end)?,
            Some(Delimiter::Close) | None => end,
        };
        if walk.stack.is_empty() || at >= content.len() {
            return Ok(walk.found);
        }
    }
}

/// What a line that begins with `--` is, if it is a boundary.
enum Delimiter {
    Open,
    Close,
}

struct Walk<'a> {
    content: &'a [u8],
    /// Boundaries of the multiparts that are open, `None` for an open message/rfc822.
    stack: Vec<Option<String>>,
    found: Structure,
}

impl Walk<'_> {
    /// Whether `line` (without its two dashes) is a boundary of an open multipart. The innermost
    /// one that matches counts; those inside it are closed by it.
    fn delimiter(&mut self, line: &[u8]) -> Option<Delimiter> {
        let line = line.trim_ascii_end();
        for depth in (0..self.stack.len()).rev() {
            let Some(boundary) = &self.stack[depth] else { continue };
            match line.strip_prefix(boundary.as_bytes()) {
                Some(b"") => {
                    self.stack.truncate(depth + 1);
                    return Some(Delimiter::Open);
                }
                Some(b"--") => {
                    self.stack.truncate(depth);
                    return Some(Delimiter::Close);
                }
                _ => {}
            }
        }
        None
    }

    /// Reads the header of the part (or message) at `at`; returns where its body begins. A
    /// message inside is read at once, so this may take several headers.
    fn part(&mut self, mut at: usize) -> Result<usize, Refusal> {
        loop {
            self.found.parts += 1;
            if self.found.parts > MIME_PARTS_MAX {
                return Err(TOO_MANY_PARTS);
            }
            let header = PartHeader::read(self.content, at)?;
            at = header.body;
            let kind = match &header.kind {
                Some(value) => Kind::read(&String::from_utf8_lossy(value)).map_err(twisted)?,
                None => Kind::Leaf,
            };
            match kind {
                Kind::Leaf => return Ok(at),
                Kind::Message if header.encoded => return Ok(at),
                Kind::Message => self.push(None)?,
                Kind::Multipart(_) if header.encoded => return Err(AMBIGUOUS),
                Kind::Multipart(boundary) => {
                    self.push(Some(boundary))?;
                    return Ok(at);
                }
            }
        }
    }

    fn push(&mut self, boundary: Option<String>) -> Result<(), Refusal> {
        if boundary.is_some() && self.stack.contains(&boundary) {
            return Err(AMBIGUOUS);
        }
        self.stack.push(boundary);
        self.found.depth = self.found.depth.max(self.stack.len());
        if self.stack.len() > MIME_DEPTH_MAX { Err(TOO_DEEP) } else { Ok(()) }
    }
}

/// What matters of the header of a part. Read leniently: a forwarded message has any header.
struct PartHeader {
    /// Value of Content-Type.
    kind: Option<Vec<u8>>,
    /// Base64 or quoted-printable.
    encoded: bool,
    /// Where the body begins.
    body: usize,
}

impl PartHeader {
    fn read(content: &[u8], start: usize) -> Result<Self, Refusal> {
        let mut header = Self { kind: None, encoded: false, body: start };
        let (mut in_kind, mut in_encoding, mut encoding) = (false, false, None::<Vec<u8>>);
        let mut fields = 0;
        while header.body < content.len() {
            let end = line_end(content, header.body);
            let line = content[header.body..end].trim_ascii_end();
            if line.is_empty() {
                header.body = end;
                break;
            }
            if line.starts_with(b"--") {
                break;
            }
            header.body = end;
            if matches!(line[0], b' ' | b'\t') {
                let target = if in_kind { &mut header.kind } else { &mut encoding };
                if let (true, Some(value)) = (in_kind || in_encoding, target) {
                    value.extend_from_slice(line);
                }
                continue;
            }
            fields += 1;
            if fields > HEADER_FIELDS_MAX || end - start > HEADER_OCTETS_MAX {
                return Err(HEADER_TOO_LARGE);
            }
            in_kind = field(line, b"content-type", &mut header.kind)?;
            in_encoding = field(line, b"content-transfer-encoding", &mut encoding)?;
        }
        if header.body - start > HEADER_OCTETS_MAX {
            return Err(HEADER_TOO_LARGE);
        }
        let encoding = encoding.unwrap_or_default().trim_ascii().to_ascii_lowercase();
        header.encoded = encoding.starts_with(b"base64") || encoding.starts_with(b"quoted");
        Ok(header)
    }
}

/// Takes the value if `line` is the field `name`; twice in one part is ambiguous.
fn field(line: &[u8], name: &[u8], value: &mut Option<Vec<u8>>) -> Result<bool, Refusal> {
    let Some(colon) = memchr(b':', line) else { return Ok(false) };
    if !line[..colon].trim_ascii_end().eq_ignore_ascii_case(name) {
        return Ok(false);
    }
    if value.replace(line[colon + 1..].to_vec()).is_some() {
        return Err(AMBIGUOUS);
    }
    Ok(true)
}

/// The index after the line that begins at `start`.
fn line_end(content: &[u8], start: usize) -> usize {
    memchr(b'\n', &content[start..]).map_or(content.len(), |found| start + found + 1)
}

fn twisted(reason: Twisted) -> Refusal {
    match reason {
        Twisted::Boundary | Twisted::Unbalanced => AMBIGUOUS,
        Twisted::Parameters => HEADER_TOO_LARGE,
    }
}

const TOO_DEEP: Refusal = Refusal::new(
    "mime-too-deep",
    Reply::new(554, (5, 6, 0), "MIME parts nest too deeply: flatten them [mime-too-deep]"),
);
const TOO_MANY_PARTS: Refusal = Refusal::new(
    "mime-too-many-parts",
    Reply::new(554, (5, 6, 0), "Too many MIME parts: put them into one file [mime-too-many-parts]"),
);
const HEADER_TOO_LARGE: Refusal = Refusal::new(
    "mime-header-too-large",
    Reply::new(554, (5, 6, 0), "The header of a MIME part is too large [mime-header-too-large]"),
);
const AMBIGUOUS: Refusal = Refusal::new(
    "mime-ambiguous",
    Reply::new(
        554,
        (5, 6, 0),
        "The MIME structure can be read in two ways (boundary, encoding or repeated field): \
         write it plainly [mime-ambiguous]",
    ),
);

#[cfg(test)]
mod tests;
