//! Reads replies of a peer, line by line, strictly and within bounds (RFC 5321 4.2, RFC 2034).

use memchr::memchr;

use crate::base::limits::{PEER_REPLY_LINE_OCTETS_MAX, PEER_REPLY_LINES_MAX};
use crate::mail::reply::PeerReply;
use crate::mail::status::EnhancedStatus;

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Three digits, 200 to 599.
    pub code: u16,
    /// The enhanced status of the first line, if its class agrees with the code.
    pub status: Option<EnhancedStatus>,
    /// The text without codes and statuses; lines are separated by CRLF.
    pub text: String,
}

impl Heard {
    /// 2xx.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4xx or 5xx.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.code / 100 >= 4
    }

    /// The form that is kept and reported.
    #[must_use]
    pub fn kept(&self) -> PeerReply {
        PeerReply::new(self.code, self.status, &self.text)
    }
}

/// What a peer says that is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAReply {
    /// Beyond `PEER_REPLY_LINE_OCTETS_MAX`.
    #[error("a reply line is too long")]
    LineTooLong,
    /// Beyond `PEER_REPLY_LINES_MAX`.
    #[error("a reply has too many lines")]
    TooManyLines,
    /// Not three digits and a separator, or lines whose codes differ.
    #[error("a reply does not follow RFC 5321 4.2")]
    Malformed,
}

/// Collects octets and gives out replies. Holds at most one unfinished line and one read.
#[derive(Debug, Default)]
pub struct HeardReader {
    buffer: Vec<u8>,
    begin: usize,
    open: Option<Heard>,
    lines: usize,
}

impl HeardReader {
    /// More octets from the peer.
    pub fn push(&mut self, octets: &[u8]) {
        if self.begin == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..self.begin);
        }
        self.begin = 0;
        self.buffer.extend_from_slice(octets);
    }

    /// The next complete reply, if there is one.
    ///
    /// # Errors
    /// The peer does not speak SMTP, or without end; the connection is of no further use.
    pub fn next_reply(&mut self) -> Result<Option<Heard>, NotAReply> {
        loop {
            let rest = &self.buffer[self.begin..];
            let Some(end) = memchr(b'\n', rest) else {
                let fits = rest.len() <= PEER_REPLY_LINE_OCTETS_MAX;
                return if fits { Ok(None) } else { Err(NotAReply::LineTooLong) };
            };
            if end > PEER_REPLY_LINE_OCTETS_MAX {
                return Err(NotAReply::LineTooLong);
            }
            // Old appliances end lines with a bare LF; nothing can be smuggled to a client so.
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            let (code, last, text) = split(line)?;
            let text = String::from_utf8_lossy(text).into_owned();
            self.begin += end + 1;
            if self.line(code, &text)? && last {
                self.lines = 0;
                return Ok(self.open.take());
            }
        }
    }

    /// Nothing is left over: no half line, no further reply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.begin == self.buffer.len() && self.open.is_none()
    }

    /// Adds a line to the open reply.
    fn line(&mut self, code: u16, text: &str) -> Result<bool, NotAReply> {
        self.lines += 1;
        if self.lines > PEER_REPLY_LINES_MAX {
            return Err(NotAReply::TooManyLines);
        }
        let (status, text) = status(code, text);
        match &mut self.open {
            None => self.open = Some(Heard { code, status, text: text.to_owned() }),
            Some(open) if open.code == code => {
                open.text.push_str("\r\n");
                open.text.push_str(text);
            }
            Some(_) => return Err(NotAReply::Malformed),
        }
        Ok(true)
    }
}

/// `Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF`
fn split(line: &[u8]) -> Result<(u16, bool, &[u8]), NotAReply> {
    let (Some(digits), rest) = (line.get(..3), line.get(3..).unwrap_or_default()) else {
        return Err(NotAReply::Malformed);
    };
    let good = (b'2'..=b'5').contains(&digits[0]) && digits.iter().all(u8::is_ascii_digit);
    if !good {
        return Err(NotAReply::Malformed);
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(NotAReply::Malformed),
    }
}

/// Takes the enhanced status off a line. A status whose class contradicts the code is text.
fn status(code: u16, text: &str) -> (Option<EnhancedStatus>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word.parse::<EnhancedStatus>() {
        Ok(status) if u16::from(status.class) == code / 100 => (Some(status), rest.trim_start()),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Result<Option<Heard>, NotAReply> {
        let mut reader = HeardReader::default();
        reader.push(octets);
        reader.next_reply()
    }

    #[test]
    fn replies_are_read_in_any_slices() {
        let wire = b"250-first\r\n250-2.1.0 second\r\n250 2.1.0 third\r\n550 5.7.1 no\r\n";
        for cut in 0..wire.len() {
            let mut reader = HeardReader::default();
            let mut heard = Vec::new();
            for part in [&wire[..cut], &wire[cut..]] {
                reader.push(part);
                while let Some(reply) = reader.next_reply().unwrap() {
                    heard.push(reply);
                }
            }
            assert_eq!(heard.len(), 2, "{cut}");
            assert_eq!(heard[0].text, "first\r\nsecond\r\nthird");
            assert_eq!(heard[1].kept().to_string(), "550 5.7.1 no");
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_code_alone_and_a_contradicting_status_are_understood() {
        assert_eq!(read(b"250\r\n").unwrap().unwrap().text, "");
        let odd = read(b"550 2.0.0 hm\n").unwrap().unwrap();
        assert_eq!((odd.status, odd.text.as_str()), (None, "2.0.0 hm"));
    }

    #[test]
    fn what_is_no_reply_ends_the_conversation() {
        let wrong: [&[u8]; 8] = [
            b"HTTP/1.1 400\r\n",
            b"\r\n",
            b"25\r\n",
            b"2500 x\r\n",
            b"150 x\r\n",
            b"650 x\r\n",
            b"250-a\r\n251 b\r\n",
            b"250\tx\r\n",
        ];
        for octets in wrong {
            assert_eq!(read(octets), Err(NotAReply::Malformed), "{octets:?}");
        }
        assert_eq!(read(&[b'2'; 5000]), Err(NotAReply::LineTooLong));
        let endless = b"250-x\r\n".repeat(PEER_REPLY_LINES_MAX + 1);
        assert_eq!(read(&endless), Err(NotAReply::TooManyLines));
    }

    #[test]
    fn a_ten_megabyte_line_costs_a_few_kilobytes() {
        let mut reader = HeardReader::default();
        for _ in 0..10_000 {
            reader.push(&[b'2'; 1024]);
            if reader.next_reply().is_err() {
                assert!(reader.buffer.capacity() <= 16 * 1024);
                return;
            }
        }
        panic!("an endless line was never refused");
    }
}
