//! Every reply of the SMTP server, as constants: never peer input, never a path.
//!
//! Codes follow RFC 5321 4.2.3, enhanced statuses RFC 3463 and RFC 5248.

use super::reply::Reply;

/// QUIT.
pub const QUIT: Reply = Reply::new(221, (2, 0, 0), "Bye");
/// Before the handshake.
pub const START_TLS: Reply = Reply::new(220, (2, 0, 0), "Ready to start TLS");
/// RSET and NOOP.
pub const OK: Reply = Reply::new(250, (2, 0, 0), "Ok");
/// MAIL.
pub const SENDER_OK: Reply = Reply::new(250, (2, 1, 0), "Ok");
/// MAIL, when the priority is not the one that was asked for (RFC 6710 4.1): the text begins with
/// the number that holds.
pub const PRIORITY_CHANGED: Reply =
    Reply::new(250, (2, 3, 6), "is the priority of this message, as granted to this source");
/// RCPT.
pub const RECIPIENT_OK: Reply = Reply::new(250, (2, 1, 5), "Ok");
/// BDAT without LAST.
pub const CHUNK_OK: Reply = Reply::new(250, (2, 0, 0), "Chunk received");
/// AUTH.
pub const AUTH_OK: Reply = Reply::new(235, (2, 7, 0), "Authentication succeeded");
/// VRFY (RFC 5321 3.5.3).
pub const VRFY: Reply =
    Reply::new(252, (2, 1, 5), "Cannot verify; send the message and it will be tried");
/// HELP.
pub const HELP: Reply = Reply::new(
    214,
    (2, 0, 0),
    "Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\n\
     This gateway accepts mail from its registered applications only",
);
/// DATA.
pub const GO_AHEAD: Reply = Reply::bare(354, "End data with <CR><LF>.<CR><LF>");

/// Silence.
pub const TIMEOUT: Reply = Reply::new(421, (4, 4, 2), "Timeout; closing the connection");
/// Shutdown.
pub const SHUTDOWN: Reply = Reply::new(421, (4, 3, 2), "The service is being shut down");
/// Too many connections in all.
pub const BUSY: Reply = Reply::new(421, (4, 3, 2), "Too many connections; try again later");
/// Too many connections of one address.
pub const BUSY_ADDRESS: Reply =
    Reply::new(421, (4, 7, 0), "Too many connections from your address");
/// Refused commands.
pub const TOO_MANY_ERRORS: Reply = Reply::new(421, (4, 7, 0), "Too many errors");
/// NOOP, RSET, VRFY.
pub const TOO_MANY_IDLE: Reply = Reply::new(421, (4, 7, 0), "Too many commands without mail");
/// AUTH.
pub const TOO_MANY_AUTH: Reply = Reply::new(421, (4, 7, 0), "Too many failed authentications");
/// Memory.
pub const SHORTAGE: Reply =
    Reply::new(452, (4, 3, 1), "Insufficient memory for the message; try again later");
/// A verdict that cannot be: our bug, told as our fault.
pub const FAULT: Reply = Reply::new(451, (4, 3, 0), "Local error in processing; try again later");
/// RCPT.
pub const TOO_MANY_RECIPIENTS: Reply = Reply::new(452, (4, 5, 3), "Too many recipients");

/// No such command.
pub const UNKNOWN: Reply = Reply::new(500, (5, 5, 1), "Command not recognized");
/// Control characters, or octets that are not UTF-8.
pub const NOT_TEXT: Reply =
    Reply::new(500, (5, 5, 2), "Control characters and invalid UTF-8 are not allowed in commands");
/// A long line.
pub const LINE_TOO_LONG: Reply = Reply::new(500, (5, 5, 2), "Line too long");
/// Something follows a command that takes nothing.
pub const NO_PARAMETERS: Reply = Reply::new(501, (5, 5, 4), "The command takes no parameters");
/// HELO and EHLO.
pub const BAD_HELLO: Reply =
    Reply::new(501, (5, 5, 4), "Say your host name: letters, digits, dots and hyphens");
/// MAIL.
pub const MAIL_SYNTAX: Reply = Reply::new(501, (5, 5, 4), "Syntax: MAIL FROM:<address>");
/// RCPT.
pub const RCPT_SYNTAX: Reply = Reply::new(501, (5, 5, 4), "Syntax: RCPT TO:<address>");
/// BDAT (RFC 3030).
pub const BDAT_SYNTAX: Reply = Reply::new(501, (5, 5, 4), "Syntax: BDAT octets [LAST]");
/// AUTH (RFC 4954).
pub const AUTH_SYNTAX: Reply =
    Reply::new(501, (5, 5, 4), "Syntax: AUTH mechanism [initial-response]");
/// A reverse-path that is no address.
pub const BAD_SENDER: Reply = Reply::new(501, (5, 1, 7), "The sender's address is not valid");
/// A forward-path that is no address.
pub const BAD_RECIPIENT: Reply = Reply::new(501, (5, 1, 3), "The recipient's address is not valid");
/// RFC 6531 3.5.
pub const NEEDS_UTF8: Reply =
    Reply::new(553, (5, 6, 7), "Addresses beyond ASCII need SMTPUTF8 on MAIL");
/// A parameter that is misspelt, doubled or out of bounds.
pub const BAD_PARAMETER: Reply = Reply::new(501, (5, 5, 4), "A parameter is malformed or doubled");
/// A parameter that nobody offered (RFC 5321 4.1.1.11).
pub const UNKNOWN_PARAMETER: Reply = Reply::new(555, (5, 5, 4), "A parameter is not supported");
/// AUTH with something that nobody offered (RFC 4954 section 4).
pub const UNKNOWN_MECHANISM: Reply =
    Reply::new(504, (5, 5, 4), "The authentication mechanism is not supported");
/// `*` (RFC 4954 section 4).
pub const AUTH_CANCELLED: Reply = Reply::new(501, (5, 7, 0), "Authentication cancelled");
/// No base 64 or no message of the mechanism.
pub const AUTH_MALFORMED: Reply = Reply::new(501, (5, 5, 2), "The response cannot be decoded");
/// Wrong credentials.
pub const AUTH_FAILED: Reply = Reply::new(535, (5, 7, 8), "Authentication credentials invalid");
/// AUTH in clear text (RFC 4954 section 6).
pub const AUTH_NEEDS_TLS: Reply =
    Reply::new(538, (5, 7, 11), "Encryption required for authentication");
/// RFC 3207 section 4.
pub const NEEDS_TLS: Reply = Reply::new(530, (5, 7, 0), "Must issue a STARTTLS command first");
/// RFC 8689 section 2.
pub const REQUIRETLS_NEEDS_TLS: Reply =
    Reply::new(530, (5, 7, 10), "REQUIRETLS needs an encrypted session");
/// EXPN and others that are known and not served.
pub const NOT_IMPLEMENTED: Reply = Reply::new(502, (5, 5, 1), "Command not implemented");
/// STARTTLS where there is no certificate.
pub const TLS_NOT_AVAILABLE: Reply = Reply::new(502, (5, 5, 1), "TLS is not available here");
/// STARTTLS in TLS.
pub const TLS_ALREADY: Reply = Reply::new(503, (5, 5, 1), "TLS is already active");
/// AUTH after AUTH.
pub const AUTH_ALREADY: Reply = Reply::new(503, (5, 5, 1), "Already authenticated");
/// Nobody said EHLO.
pub const HELLO_FIRST: Reply = Reply::new(503, (5, 5, 1), "Say EHLO first");
/// Out of order.
pub const BAD_SEQUENCE: Reply = Reply::new(503, (5, 5, 1), "Bad sequence of commands");
/// RCPT, DATA or BDAT without MAIL.
pub const MAIL_FIRST: Reply = Reply::new(503, (5, 5, 1), "MAIL first");
/// DATA or BDAT after every RCPT was refused.
pub const NO_RECIPIENTS: Reply = Reply::new(554, (5, 5, 1), "No valid recipients");
/// A lone CR or LF in a command.
pub const BARE_LINE_END: Reply =
    Reply::new(521, (5, 5, 2), "A line ends with CR LF; a lone CR or LF ends this session");
/// Commands where none may be (RFC 2920 3.1).
pub const IMPROPER_PIPELINING: Reply =
    Reply::new(554, (5, 5, 0), "Improper pipelining: the last command must be awaited");
/// A command that was smuggled in before the handshake (CVE-2011-0411).
pub const TLS_INJECTION: Reply =
    Reply::new(554, (5, 5, 0), "Nothing may follow STARTTLS before the handshake");
/// HTTP.
pub const FOREIGN_PROTOCOL: Reply = Reply::new(521, (5, 5, 1), "This is a mail server");
/// More octets than a question may wait with.
pub const PIPELINE_FULL: Reply = Reply::new(554, (5, 5, 0), "Too much was sent ahead");
/// SIZE (RFC 1870).
pub const TOO_LARGE: Reply = Reply::new(552, (5, 3, 4), "The message exceeds the size limit");
/// BDAT beyond what can be drained.
pub const CHUNK_TOO_LARGE: Reply = Reply::new(552, (5, 3, 4), "The chunk exceeds every limit");
/// A lone CR or LF in content.
pub const CONTENT_BARE_LINE_END: Reply =
    Reply::new(550, (5, 6, 11), "The message contains a CR without LF or an LF without CR");
/// NUL in content.
pub const CONTENT_NUL: Reply = Reply::new(550, (5, 6, 0), "The message contains a NUL");
/// 998.
pub const CONTENT_LONG_LINE: Reply =
    Reply::new(550, (5, 6, 0), "The message contains a line of more than 998 octets");
