//! Commands and their parameters (RFC 5321 4.1.1, with 1870, 2852, 3030, 3461, 4954, 6152,
//! 6531, 6710, 8689).
//!
//! Strict where two readers could differ: angle brackets are required, source routes refused,
//! parameters known, well formed and said once. Two deviations, each for clients that exist:
//! white space at the end of a line is ignored (RFC 5321 4.1.1 asks for it), and one space may
//! follow the colon of `MAIL FROM:` and `RCPT TO:` (printers, old .NET applications).

use super::parameters::{MailParameters, RecipientParameters};
use super::replies;
use super::reply::Reply;
use crate::base::secret::Secret;
use crate::mail::address::{AddressError, Mailbox, ReversePath};

/// Octets of a host name in HELO and EHLO (RFC 5321 4.5.3.1.2).
const HELLO_OCTETS_MAX: usize = 255;

/// A command, read once; nothing of the line is looked at again.
#[derive(Debug)]
pub enum Command {
    /// EHLO.
    Ehlo(Box<str>),
    /// HELO.
    Helo(Box<str>),
    /// MAIL FROM.
    Mail(ReversePath, MailParameters),
    /// RCPT TO.
    Rcpt(Mailbox, RecipientParameters),
    /// DATA.
    Data,
    /// BDAT (RFC 3030 section 2).
    Bdat {
        /// Octets that follow the line.
        octets: u64,
        /// The message ends with them.
        last: bool,
    },
    /// STARTTLS (RFC 3207).
    StartTls,
    /// AUTH (RFC 4954).
    Auth {
        /// The mechanism, if it is one of ours.
        mechanism: Option<Mechanism>,
        /// The initial response in base 64; `=` has become empty.
        initial: Option<Secret<String>>,
    },
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// QUIT.
    Quit,
}

/// SASL mechanisms that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login: what old applications speak.
    Login,
    /// RFC 7677.
    ScramSha256,
}

/// Why a line is no command.
#[derive(Debug, PartialEq, Eq)]
pub enum NotACommand {
    /// To be answered, and the session goes on.
    Refused(Reply),
    /// A refused BDAT whose octets follow all the same.
    RefusedChunk(Reply, u64),
    /// A BDAT whose octets cannot be counted: the session has lost its place.
    Lost(Reply),
    /// Another protocol (a browser that was sent here): the session ends.
    Foreign,
}

impl From<Reply> for NotACommand {
    fn from(reply: Reply) -> Self {
        Self::Refused(reply)
    }
}

/// Reads a line without its CRLF. `utf8` says that the transaction asked for SMTPUTF8.
///
/// # Errors
/// What to answer, or that the session must end; see [`NotACommand`].
pub fn parse(line: &[u8], utf8: bool) -> Result<Command, NotACommand> {
    let text = std::str::from_utf8(line).map_err(|_| replies::NOT_TEXT)?;
    let text = text.trim_end_matches([' ', '\t']);
    if text.chars().any(char::is_control) {
        return Err(replies::NOT_TEXT.into());
    }
    let (verb, rest) = text.split_once(' ').map_or((text, None), |(verb, rest)| (verb, Some(rest)));
    let mut upper = [0; 8];
    let Some(upper) = upper.get_mut(..verb.len()) else {
        return Err(if is_foreign(verb) { NotACommand::Foreign } else { replies::UNKNOWN.into() });
    };
    upper.copy_from_slice(verb.as_bytes());
    upper.make_ascii_uppercase();
    match &*upper {
        b"EHLO" => Ok(Command::Ehlo(hello(rest)?)),
        b"HELO" => Ok(Command::Helo(hello(rest)?)),
        b"MAIL" => mail(rest.unwrap_or_default()),
        b"RCPT" => recipient(rest.unwrap_or_default(), utf8),
        b"DATA" => alone(rest, Command::Data),
        b"BDAT" => bdat(rest.unwrap_or_default()),
        b"STARTTLS" => alone(rest, Command::StartTls),
        b"AUTH" => auth(rest.unwrap_or_default()),
        b"RSET" => alone(rest, Command::Rset),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" => Ok(Command::Vrfy),
        b"HELP" => Ok(Command::Help),
        b"QUIT" => alone(rest, Command::Quit),
        b"EXPN" | b"TURN" | b"ETRN" | b"SEND" | b"SOML" | b"SAML" => {
            Err(replies::NOT_IMPLEMENTED.into())
        }
        _ if is_foreign(verb) => Err(NotACommand::Foreign),
        _ => Err(replies::UNKNOWN.into()),
    }
}

/// Verbs of HTTP (RFC 9110 section 9) and its header fields that come first, SIP and TLS probes.
fn is_foreign(verb: &str) -> bool {
    const VERBS: [&str; 10] =
        ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"];
    VERBS.contains(&verb) || verb.eq_ignore_ascii_case("host:")
}

fn alone(rest: Option<&str>, command: Command) -> Result<Command, NotACommand> {
    if rest.is_some() { Err(replies::NO_PARAMETERS.into()) } else { Ok(command) }
}

/// A host name or an address literal as clients write them. The name appears in Received, so only
/// characters that mean nothing there; underscores are what Windows machines have.
fn hello(rest: Option<&str>) -> Result<Box<str>, Reply> {
    let name = rest.unwrap_or_default().trim_start_matches(' ');
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if name.is_empty() || name.len() > HELLO_OCTETS_MAX || !name.bytes().all(legal) {
        return Err(replies::BAD_HELLO);
    }
    Ok(name.into())
}

fn mail(rest: &str) -> Result<Command, NotACommand> {
    let (path, rest) = path(rest, "FROM:").ok_or(replies::MAIL_SYNTAX)?;
    let parameters = MailParameters::parse(rest)?;
    let reverse_path = if path.is_empty() {
        ReversePath::Null
    } else {
        let mailbox = Mailbox::parse(path, parameters.smtputf8);
        ReversePath::Mailbox(mailbox.map_err(|error| address_reply(error, replies::BAD_SENDER))?)
    };
    Ok(Command::Mail(reverse_path, parameters))
}

fn recipient(rest: &str, utf8: bool) -> Result<Command, NotACommand> {
    let (path, rest) = path(rest, "TO:").ok_or(replies::RCPT_SYNTAX)?;
    let parameters = RecipientParameters::parse(rest, utf8)?;
    let mailbox =
        Mailbox::parse(path, utf8).map_err(|error| address_reply(error, replies::BAD_RECIPIENT))?;
    Ok(Command::Rcpt(mailbox, parameters))
}

fn address_reply(error: AddressError, otherwise: Reply) -> Reply {
    if error == AddressError::NeedsUtf8 { replies::NEEDS_UTF8 } else { otherwise }
}

/// `FROM:<path>` taken apart: the path without its brackets, and the parameters.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = rest.split_at_checked(keyword.len())?;
    let rest = head.eq_ignore_ascii_case(keyword).then_some(rest)?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest).strip_prefix('<')?;
    let end = bracket(rest)?;
    let (path, rest) = (&rest[..end], &rest[end + 1..]);
    (rest.is_empty() || rest.starts_with(' ')).then_some((path, rest))
}

/// The index of the bracket that closes a path: the first one outside a quoted string.
fn bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

fn bdat(rest: &str) -> Result<Command, NotACommand> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let count = words.next().unwrap_or_default();
    let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        // Whatever follows is content of unknown length: reading it as commands would be the
        // very thing that smuggling wants.
        return Err(NotACommand::Lost(replies::BDAT_SYNTAX));
    }
    // 32 bits are far beyond every limit, and cannot be drained in a session's patience.
    let Ok(octets) = count.parse::<u32>().map(u64::from) else {
        return Err(NotACommand::Lost(replies::CHUNK_TOO_LARGE));
    };
    match (words.next(), words.next()) {
        (None, _) => Ok(Command::Bdat { octets, last: false }),
        (Some(word), None) if word.eq_ignore_ascii_case("LAST") => {
            Ok(Command::Bdat { octets, last: true })
        }
        _ => Err(NotACommand::RefusedChunk(replies::BDAT_SYNTAX, octets)),
    }
}

fn auth(rest: &str) -> Result<Command, NotACommand> {
    let mut words = rest.split(' ');
    let name = words.next().unwrap_or_default();
    let initial = words.next();
    if name.is_empty() || words.next().is_some() {
        return Err(replies::AUTH_SYNTAX.into());
    }
    let mechanism = [
        ("PLAIN", Mechanism::Plain),
        ("LOGIN", Mechanism::Login),
        ("SCRAM-SHA-256", Mechanism::ScramSha256),
    ]
    .into_iter()
    .find_map(|(known, mechanism)| name.eq_ignore_ascii_case(known).then_some(mechanism));
    let initial =
        initial.map(|text| Secret::new(if text == "=" { String::new() } else { text.to_owned() }));
    Ok(Command::Auth { mechanism, initial })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> Reply {
        match parse(line.as_bytes(), false) {
            Err(NotACommand::Refused(reply)) => reply,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn paths_are_taken_apart_once() {
        let line = b"mail from:<\"a>b\"@example.org> SIZE=10";
        let Ok(Command::Mail(path, parameters)) = parse(line, false) else { panic!() };
        assert_eq!(path.to_string(), "\"a>b\"@example.org");
        assert_eq!(parameters.size, Some(10));
        assert!(matches!(parse(b"MAIL FROM:<>", false), Ok(Command::Mail(ReversePath::Null, _))));
        assert!(parse(b"RCPT TO: <a@b.example>  ", false).is_ok());
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for rest in ["a@b.c", "<a@b.c", "<a@b.c>x", "<a@b.c>>", "  <a@b.c>", "", "<a@b.c> x=<"] {
            assert!(parse(format!("MAIL FROM:{rest}").as_bytes(), false).is_err(), "{rest}");
        }
        assert_eq!(refusal("MAIL FROM:<@x.org:a@b.org>"), replies::BAD_SENDER);
        assert_eq!(refusal("RCPT TO:<>"), replies::BAD_RECIPIENT);
        assert_eq!(refusal("MAIL FROM <a@b.org>"), replies::MAIL_SYNTAX);
        assert_eq!(refusal("RCPT TO:<jos\u{e9}@b.org>"), replies::NEEDS_UTF8);
    }

    #[test]
    fn foreign_protocols_are_known() {
        for line in ["GET / HTTP/1.1", "POST /x HTTP/1.1", "Host: x", "OPTIONS * HTTP/1.0"] {
            assert_eq!(parse(line.as_bytes(), false).unwrap_err(), NotACommand::Foreign);
        }
        assert_eq!(refusal("get / HTTP/1.1"), replies::UNKNOWN);
    }

    #[test]
    fn control_characters_are_no_command() {
        for line in [&b"NOOP \0"[..], b"NO\tOP", b"NOOP \x1b[2J", b"EHLO \xff"] {
            assert!(matches!(
                parse(line, true),
                Err(NotACommand::Refused(reply)) if reply == replies::NOT_TEXT
            ));
        }
    }

    #[test]
    fn a_chunk_that_cannot_be_counted_loses_the_place() {
        for line in ["BDAT", "BDAT x", "BDAT -1", "BDAT 4294967296", "BDAT +1 LAST"] {
            let error = parse(line.as_bytes(), false).unwrap_err();
            assert!(matches!(error, NotACommand::Lost(_)), "{line}");
        }
        let error = parse(b"BDAT 7 FIRST", false).unwrap_err();
        assert_eq!(error, NotACommand::RefusedChunk(replies::BDAT_SYNTAX, 7));
    }
}
