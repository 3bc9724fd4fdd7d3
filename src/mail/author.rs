//! Mailboxes of originator fields: From, Sender, Reply-To (RFC 5322 3.4, RFC 6854, RFC 6532).
//!
//! ```text
//! address-list = address *("," address)
//! address      = [phrase] "<" addr-spec ">"  |  addr-spec  |  phrase ":" [mailbox-list] ";"
//! ```
//!
//! Every mailbox is found, or the field is an error: no source route, no white space or comment
//! inside an address, no address in an unquoted phrase, no encoded word in an address, no empty
//! list element. Of the obsolete syntax only the unquoted dot in a phrase (`John Q. Public`) is
//! read, because every program reads it alike. One pass, no recursion.

use super::address::{AddressError, Mailbox};

/// Nesting of comments; honest software writes one.
const COMMENT_DEPTH_MAX: usize = 8;
/// Mailboxes in one field.
const MAILBOXES_MAX: usize = 100;

/// Why a field holds no list of addresses. The words are for the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorError {
    /// The grammar of RFC 5322 3.4 without its obsolete part does not fit.
    #[error("not an address list of RFC 5322 3.4")]
    Syntax,
    /// A comment or a quoted string has no end, or comments nest too deeply.
    #[error("a comment or a quoted string has no end or nests too deeply")]
    Unbalanced,
    /// An address is none.
    #[error("an address is none: {0}")]
    Address(#[from] AddressError),
    /// An encoded word stands where an address must stand (RFC 2047 section 5).
    #[error("an encoded word inside an address")]
    EncodedAddress,
    /// More mailboxes than anyone needs.
    #[error("too many mailboxes")]
    TooMany,
}

/// The mailboxes of a field, and what a reader sees beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authors {
    /// Every mailbox, in order; those of groups too.
    pub mailboxes: Vec<Mailbox>,
    /// Group syntax was used.
    pub group: bool,
    /// Display names and comments as they were written (quotes undone, encoded words not).
    pub shown: Vec<String>,
}

impl Authors {
    /// Reads the value of an originator field. `utf8` allows what RFC 6532 added.
    ///
    /// # Errors
    /// What is wrong with it; then no mailbox of it may be trusted.
    pub fn parse(value: &str, utf8: bool) -> Result<Self, AuthorError> {
        if !utf8 && !value.is_ascii() {
            return Err(AddressError::NeedsUtf8.into());
        }
        let mut reader = Reader { rest: value, utf8, found: Self::default() };
        reader.list()?;
        Ok(reader.found)
    }
}

/// A cursor over the value.
struct Reader<'a> {
    rest: &'a str,
    utf8: bool,
    found: Authors,
}

impl Reader<'_> {
    /// address-list, groups included.
    fn list(&mut self) -> Result<(), AuthorError> {
        let mut in_group = false;
        loop {
            self.skip()?;
            if in_group && self.take(';') && self.after_group()? {
                return Ok(());
            }
            let opened = self.address(in_group)?;
            self.skip()?;
            if opened {
                in_group = true;
                if self.take(';') {
                    in_group = false;
                    if self.after_group()? {
                        return Ok(());
                    }
                }
                continue;
            }
            if in_group && self.take(';') {
                in_group = false;
                if self.after_group()? {
                    return Ok(());
                }
            } else if self.rest.is_empty() && !in_group {
                return Ok(());
            } else if !self.take(',') {
                return Err(AuthorError::Syntax);
            }
        }
    }

    /// After `;`: the end (true), or a comma and the next address.
    fn after_group(&mut self) -> Result<bool, AuthorError> {
        self.skip()?;
        if self.rest.is_empty() {
            return Ok(true);
        }
        if self.take(',') { Ok(false) } else { Err(AuthorError::Syntax) }
    }

    /// One mailbox, or the opening of a group (true).
    fn address(&mut self, in_group: bool) -> Result<bool, AuthorError> {
        let mut phrase = String::new();
        let start = self.rest;
        let mut words = 0;
        loop {
            self.skip()?;
            match self.rest.chars().next() {
                Some('<') => return self.angle(&phrase),
                Some('@') if words == 1 => return self.bare(start),
                Some(':') if words > 0 && !in_group => {
                    self.take(':');
                    self.found.group = true;
                    self.show(&phrase);
                    return Ok(true);
                }
                Some('"') => {
                    let text = self.quoted()?;
                    join(&mut phrase, &text);
                }
                Some(c) if is_phrase(c) => {
                    let end = self.rest.find(|c| !is_phrase(c)).unwrap_or(self.rest.len());
                    let (word, rest) = self.rest.split_at(end);
                    join(&mut phrase, word);
                    self.rest = rest;
                }
                _ => return Err(AuthorError::Syntax),
            }
            words += 1;
        }
    }

    /// `<addr-spec>`.
    fn angle(&mut self, phrase: &str) -> Result<bool, AuthorError> {
        self.take('<');
        let end = addr_spec_end(self.rest, '>').ok_or(AuthorError::Syntax)?;
        let (address, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        self.show(phrase);
        self.keep(address)
    }

    /// An addr-spec without brackets that began at `start`.
    fn bare(&mut self, start: &str) -> Result<bool, AuthorError> {
        let ends = |c: char| " \t\r\n,;(".contains(c);
        let at = start.len() - self.rest.len();
        let tail = self.rest.find(ends).unwrap_or(self.rest.len());
        // White space or a comment before the @ is obsolete: then this is no address.
        let address = &start[..at + tail];
        let address = address.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest = &self.rest[tail..];
        self.keep(address)
    }

    /// Keeps one address.
    fn keep(&mut self, address: &str) -> Result<bool, AuthorError> {
        if looks_encoded(address) {
            return Err(AuthorError::EncodedAddress);
        }
        if self.found.mailboxes.len() == MAILBOXES_MAX {
            return Err(AuthorError::TooMany);
        }
        self.found.mailboxes.push(Mailbox::parse(address, self.utf8)?);
        Ok(false)
    }

    /// A quoted-string, its quotes and backslashes undone.
    fn quoted(&mut self) -> Result<String, AuthorError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[index + 1..];
                    return Ok(text);
                }
                '\\' => text.push(chars.next().ok_or(AuthorError::Unbalanced)?.1),
                '\r' | '\n' => {}
                c => text.push(c),
            }
        }
        Err(AuthorError::Unbalanced)
    }

    /// White space and comments; what a comment says is shown to readers, so it is kept.
    fn skip(&mut self) -> Result<(), AuthorError> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if !self.rest.starts_with('(') {
                return Ok(());
            }
            let end = comment_end(self.rest)?;
            let (comment, rest) = self.rest.split_at(end);
            let comment = comment[1..end - 1].to_owned();
            self.rest = rest;
            self.show(&comment);
        }
    }

    fn show(&mut self, text: &str) {
        if !text.is_empty() {
            self.found.shown.push(text.to_owned());
        }
    }

    fn take(&mut self, c: char) -> bool {
        self.rest.strip_prefix(c).inspect(|rest| self.rest = rest).is_some()
    }
}

/// Whether an RFC 2047 encoded word could be seen in `address`: some programs decode it there,
/// and the address that they see is another one.
#[must_use]
pub fn looks_encoded(address: &str) -> bool {
    address.contains("=?")
}

/// Where an addr-spec ends: at `stop` outside a quoted local part.
fn addr_spec_end(text: &str, stop: char) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == stop && !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

/// The index after the comment at the start of `text`. Depth is counted, not recursed.
fn comment_end(text: &str) -> Result<usize, AuthorError> {
    let (mut depth, mut escaped) = (0_usize, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(index + 1);
        }
        if depth > COMMENT_DEPTH_MAX {
            return Err(AuthorError::Unbalanced);
        }
    }
    Err(AuthorError::Unbalanced)
}

/// Atext (RFC 5322 3.2.3, RFC 6532 3.2) and the dot of obs-phrase.
fn is_phrase(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~.".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace())
}

fn join(phrase: &mut String, word: &str) {
    if !phrase.is_empty() {
        phrase.push(' ');
    }
    phrase.push_str(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailboxes(value: &str) -> Result<Vec<String>, AuthorError> {
        let authors = Authors::parse(value, true)?;
        Ok(authors.mailboxes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_mailbox_is_found() {
        for (value, expected) in [
            (" a@b.example", vec!["a@b.example"]),
            ("<a@b.example>", vec!["a@b.example"]),
            ("Name <a@b.example>", vec!["a@b.example"]),
            ("John Q. Public <a@b.example>", vec!["a@b.example"]),
            ("\"x, y <z@w.example>\" <a@b.example>", vec!["a@b.example"]),
            ("a@b.example (Cron Daemon)", vec!["a@b.example"]),
            ("(c) a@b.example, \"q\"@d.example", vec!["a@b.example", "\"q\"@d.example"]),
            ("=?utf-8?Q?J=C3=BCrgen?= <a@b.example>", vec!["a@b.example"]),
            ("Jürgen <a@bücher.example>", vec!["a@bücher.example"]),
            ("Team: a@b.example, C <c@d.example>;", vec!["a@b.example", "c@d.example"]),
            ("undisclosed-recipients:;", vec![]),
            ("G:;, a@b.example", vec!["a@b.example"]),
            ("x@y.example, G: a@b.example;", vec!["x@y.example", "a@b.example"]),
            ("Folded\r\n name\r\n <a@b.example>", vec!["a@b.example"]),
            ("\"a>b\" <\"a>b\"@b.example>", vec!["\"a>b\"@b.example"]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(mailboxes(value), Ok(expected), "{value:?}");
        }
        assert!(Authors::parse("G: a@b.example;", true).unwrap().group);
        let shown = Authors::parse("\"x\\\"y\" z <a@b.example> (c (d))", true).unwrap().shown;
        assert_eq!(shown, ["x\"y z", "c (d)"]);
    }

    #[test]
    fn whatever_could_be_read_otherwise_is_refused() {
        for bad in [
            "",
            " ",
            ",",
            "a@b.example,",
            ",a@b.example",
            "a@b.example,,c@d.example",
            "a@b.example c@d.example",
            "a@b.example <c@d.example>",
            "<a@b.example",
            "a@b.example>",
            "<<a@b.example>>",
            "<a@b.example><c@d.example>",
            "< a@b.example>",
            "<a@b.example >",
            "a @b.example",
            "a@ b.example",
            "a(x)@b.example",
            "a@(x)b.example",
            "<@x.example:a@b.example>",
            "<@x.example,@y.example:a@b.example>",
            "a@b@c.example",
            "Name",
            "\"a@b.example",
            "(a@b.example",
            "a@b.example)",
            "a@b.example;",
            "G: a@b.example",
            "G: H: a@b.example;;",
            "G: a@b.example;;",
            "=?utf-8?q?a=40b.example?=",
            "=?utf-8?q?a?=@b.example",
            "<=?utf-8?q?a=40b.example=3e?=@c.example>",
            "Name, More <a@b.example>",
            "a@b.example\\",
            "[a@b.example]",
            "a@b.example.",
            "<>",
            "Name <>",
            "a@@b.example",
            "<a@b.example> tail",
            "a b@c.example",
            "\"a\" b@c.example",
            "<(x)a@b.example>",
        ] {
            assert!(Authors::parse(bad, true).is_err(), "{bad:?}: {:?}", mailboxes(bad));
        }
    }

    #[test]
    fn a_comment_bomb_costs_nothing() {
        let bomb = "(".repeat(1_000_000);
        assert_eq!(Authors::parse(&bomb, false), Err(AuthorError::Unbalanced));
        let long = format!("{} a@b.example", "(x)".repeat(20_000));
        assert_eq!(Authors::parse(&long, false).unwrap().mailboxes.len(), 1);
    }
}
