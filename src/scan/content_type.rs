//! `Content-Type:` as far as the structure depends on it (RFC 2045 5.1, RFC 2046 5.1.1, RFC 2231).
//!
//! Programs disagree about twisted parameters, and what they disagree about hides attachments. So
//! a multipart whose boundary could be read in two ways is an error.

use crate::base::limits::MIME_PARAMETERS_MAX;

/// What a part is, as far as its inside matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Parts between lines of this boundary.
    Multipart(String),
    /// A whole message.
    Message,
    /// Anything else, also what no program would understand.
    Leaf,
}

/// Why a field is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twisted {
    /// No boundary, two, one in pieces or charsets (RFC 2231), or one that RFC 2046 forbids.
    Boundary,
    /// More parameters than anyone needs.
    Parameters,
    /// A comment or a quoted string without end.
    Unbalanced,
}

/// Octets of a boundary (RFC 2046 5.1.1).
const BOUNDARY_OCTETS_MAX: usize = 70;

impl Kind {
    /// Reads the value of a Content-Type field. One pass, no recursion.
    ///
    /// # Errors
    /// What could be read in two ways.
    pub fn read(value: &str) -> Result<Self, Twisted> {
        let pieces = pieces(value)?;
        let (kind, parameters) = pieces.split_first().ok_or(Twisted::Unbalanced)?;
        let kind = kind.to_ascii_lowercase();
        if matches!(kind.as_str(), "message/rfc822" | "message/global") {
            return Ok(Self::Message);
        }
        if !kind.starts_with("multipart/") {
            // Something like `multipart / mixed` is a part to some programs and none to others.
            let doubtful = kind.contains("multipart") || kind.contains("message/rfc822");
            return if doubtful { Err(Twisted::Boundary) } else { Ok(Self::Leaf) };
        }
        let mut boundary = None;
        for parameter in parameters {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = name.trim().to_ascii_lowercase();
            if name == "boundary" && boundary.is_none() {
                boundary = Some(value.trim().to_owned());
            } else if name.starts_with("boundary") {
                return Err(Twisted::Boundary);
            }
        }
        let boundary = boundary.ok_or(Twisted::Boundary)?;
        let legal = (1..=BOUNDARY_OCTETS_MAX).contains(&boundary.len())
            && boundary.bytes().all(|b| (32..=126).contains(&b))
            && !boundary.ends_with(' ');
        if legal { Ok(Self::Multipart(boundary)) } else { Err(Twisted::Boundary) }
    }
}

/// The value cut at its semicolons; comments removed, quotes and backslashes undone.
fn pieces(value: &str) -> Result<Vec<String>, Twisted> {
    let mut pieces = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for c in value.chars() {
        let Some(piece) = pieces.last_mut() else { break };
        match c {
            _ if escaped => {
                escaped = false;
                if depth == 0 {
                    piece.push(c);
                }
            }
            '\\' if quoted || depth > 0 => escaped = true,
            '(' if !quoted => depth = depth.saturating_add(1),
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            '"' => quoted = !quoted,
            '\r' | '\n' => {}
            ';' if !quoted => pieces.push(String::new()),
            _ => piece.push(c),
        }
        if pieces.len() > MIME_PARAMETERS_MAX {
            return Err(Twisted::Parameters);
        }
    }
    if depth > 0 || quoted || escaped {
        return Err(Twisted::Unbalanced);
    }
    for piece in &mut pieces {
        *piece = piece.trim_matches([' ', '\t']).to_owned();
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read() {
        let multipart = |boundary: &str| Ok(Kind::Multipart(boundary.to_owned()));
        for (value, kind) in [
            ("text/plain; charset=utf-8", Ok(Kind::Leaf)),
            ("", Ok(Kind::Leaf)),
            ("nonsense", Ok(Kind::Leaf)),
            ("Message/RFC822", Ok(Kind::Message)),
            (" multipart/mixed; boundary=abc", multipart("abc")),
            ("multipart/mixed;\r\n\tboundary=\"a b;c\"", multipart("a b;c")),
            ("multipart/mixed (x;y); BOUNDARY = \"a\\\"b\"", multipart("a\"b")),
            ("multipart/mixed", Err(Twisted::Boundary)),
            ("multipart/mixed; boundary=", Err(Twisted::Boundary)),
            ("multipart/mixed; boundary=a; boundary=b", Err(Twisted::Boundary)),
            ("multipart/mixed; boundary*0=a; boundary*1=b", Err(Twisted::Boundary)),
            ("multipart/mixed; boundary=a; boundary*=utf-8''b", Err(Twisted::Boundary)),
            ("multipart / mixed; boundary=a", Err(Twisted::Boundary)),
            ("multipart/mixed; boundary=\"a", Err(Twisted::Unbalanced)),
            ("multipart/mixed; (boundary=a", Err(Twisted::Unbalanced)),
        ] {
            assert_eq!(Kind::read(value), kind, "{value:?}");
        }
        let long = format!("multipart/mixed; boundary={}", "x".repeat(71));
        assert_eq!(Kind::read(&long), Err(Twisted::Boundary));
        let many = format!("text/plain{}", "; a=b".repeat(10_000));
        assert_eq!(Kind::read(&many), Err(Twisted::Parameters));
        assert_eq!(Kind::read(&"(".repeat(1_000_000)), Err(Twisted::Unbalanced));
    }
}
