//! Every bound of the house, in one place, each with its reason: an RFC section or a measurement.
//!
//! Sections follow the route of the letter. A number that is not here is a bug.

use std::time::Duration;

// ---- reception: the SMTP server -----------------------------------------------------------

/// A command line with its CRLF. RFC 5321 4.5.3.1.4 asks for 512; extensions add to MAIL and
/// RCPT (DSN 500+, SIZE 26, SMTPUTF8 10, AUTH= 500), Postfix allows 2,048.
pub const COMMAND_LINE_OCTETS_MAX: usize = 2048;

/// A line of an AUTH exchange. RFC 4954 section 4 asks for 12,288.
pub const AUTH_LINE_OCTETS_MAX: usize = 12_288;

/// A line of content without its CRLF (RFC 5322 2.1.1).
pub const CONTENT_LINE_OCTETS_MAX: usize = 998;

/// Octets of pipelined commands that are kept while a question is open. A window of 100 RCPT
/// commands of ordinary length is 6 KiB; the rest waits in the kernel's buffer.
pub const PIPELINE_OCTETS_MAX: usize = 64 * 1024;

/// Recipients of one transaction. RFC 5321 4.5.3.1.8 asks for at least 100; Postfix has 1,000.
pub const RECIPIENTS_MAX: usize = 1000;

/// Refused commands after which the session ends (Postfix `smtpd_hard_error_limit`).
pub const SESSION_ERRORS_MAX: u32 = 20;

/// Commands in a row that carry no mail forward (NOOP, RSET, VRFY, HELP, EHLO), as Postfix's
/// `smtpd_junk_command_limit`.
pub const IDLE_COMMANDS_MAX: u32 = 100;

/// Failed AUTH commands after which the session ends; honest clients stop at one.
pub const AUTH_FAILURES_MAX: u32 = 3;

/// Wait for a command from a peer that has shown who it is (RFC 5321 4.5.3.2.7).
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// Wait for a command from a stranger: a stranger holds a connection for a minute, not five.
pub const STRANGER_COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Wait for the next block of content (RFC 5321 4.5.3.2.5 gives three minutes).
pub const CONTENT_TIMEOUT: Duration = Duration::from_secs(180);

/// Slowest honest content, averaged: 500 octets a second is a 4,800 baud modem.
pub const CONTENT_OCTETS_PER_SEC_MIN: u64 = 500;

/// A TLS handshake, from STARTTLS or the connection to the end.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Wait for a peer to take our reply off the socket.
pub const REPLY_WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections of one address at a time (Postfix `smtpd_client_connection_count_limit`).
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 50;

/// Connections in all; the daemon lowers it to what its descriptor limit allows.
pub const CONNECTIONS_MAX: usize = 12_000;

/// Content of one message unless the configuration says otherwise (RFC 1870 SIZE).
pub const MESSAGE_OCTETS_MAX_DEFAULT: u64 = 26_214_400;

/// The largest message that a configuration may allow.
pub const MESSAGE_OCTETS_MAX_CEILING: u64 = 128 * 1024 * 1024;

/// Content of all messages in reception at a time; beyond it DATA hears 452 4.3.1. Forty
/// messages of 25 MB fill it.
pub const RECEPTION_OCTETS_MAX: usize = 1024 * 1024 * 1024;

// ---- hygiene and screening ------------------------------------------------------------------

/// The header block (Postfix `header_size_limit` is 102,400 per field).
pub const HEADER_OCTETS_MAX: usize = 256 * 1024;

/// Fields of one header block.
pub const HEADER_FIELDS_MAX: usize = 1000;

/// One field with its folded lines.
pub const HEADER_FIELD_OCTETS_MAX: usize = 64 * 1024;

/// Received fields that mean a loop (Postfix `hopcount_limit` 50; RFC 5321 6.3 wants >= 100 to be
/// *normal*, yet a message that enters a submission gateway has seen a handful).
pub const HOPS_MAX: usize = 50;

/// Nesting of MIME parts (mail-parser 1.0 allows 64, no honest application exceeds 8).
pub const MIME_DEPTH_MAX: usize = 20;

/// MIME parts of one message.
pub const MIME_PARTS_MAX: usize = 1000;

// ---- sources ---------------------------------------------------------------------------------

/// Passwords that are verified at a time. Argon2id costs 19 MiB and tens of milliseconds.
pub const PASSWORD_CHECKS_AT_ONCE: usize = 2;

/// Octets of a password or a user name; longer ones are refused before any hash is computed.
pub const CREDENTIAL_OCTETS_MAX: usize = 255;

/// Failed AUTH from one address or for one account, after which it must wait.
pub const AUTH_FAILURES_PER_WINDOW: u32 = 10;

/// The window of `AUTH_FAILURES_PER_WINDOW`: together they allow 20 guesses a minute at most.
pub const AUTH_FAILURE_WINDOW: Duration = Duration::from_secs(60);

/// Iterations of PBKDF2 behind SCRAM-SHA-256. RFC 7677 asks for 4,096 at least; 15,000 is the
/// advice of RFC 7804.
pub const SCRAM_ITERATIONS: u32 = 15_000;

// ---- custody -----------------------------------------------------------------------------------

/// A ledger segment. 64 MiB hold 15,000 messages of 4 KiB or two of 25 MB.
pub const SEGMENT_OCTETS: u64 = 64 * 1024 * 1024;

/// The step in which room for a segment is reserved: few enough steps not to be seen (one in
/// 1,900 messages of 4 KiB), small enough for a quiet site.
pub const PREALLOCATE_OCTETS: u64 = 8 * 1024 * 1024;

/// Messages that one sync makes durable at most.
pub const GROUP_MESSAGES_MAX: usize = 256;

/// Octets that one sync makes durable at most, unless one message alone is larger.
pub const GROUP_OCTETS_MAX: usize = 8 * 1024 * 1024;

/// The longest that an outcome waits for a group to join before it is synced on its own.
pub const OUTCOME_SYNC_WAIT: Duration = Duration::from_millis(100);

/// Outcomes that wait for a sync at most; a group of deliveries brings a few dozen.
pub const OUTCOMES_WAITING_MAX: usize = 4096;

/// The beat at which sled follows the ledger.
pub const STATE_BEAT: Duration = Duration::from_secs(1);

/// Survivors of an old segment that are copied on together: a sixteenth of a second of an old
/// disk, so that new mail hardly waits.
pub const COPY_OCTETS_MAX: u64 = 4 * 1024 * 1024;

/// The state database may always be this large; beyond it and 2,048 octets for each message (six
/// times what one needs) it is written anew.
pub const STATE_OCTETS_MIN: u64 = 64 * 1024 * 1024;

/// Cache of the state database; its default is 1 GB.
pub const STATE_CACHE_OCTETS: u64 = 16 * 1024 * 1024;

/// Messages that can be marked as being in hand at a time; those beyond it go without a mark.
pub const IN_HAND_MAX: u16 = 1024;

/// Messages that were in hand at a crash and are remembered.
pub const SUSPECTS_MAX: usize = 1024;

/// Crashes after which a message that was in hand at each of them is set aside.
pub const CRASHES_MAX: u8 = 2;

/// Reserved on disk, given up only so that a full disk can still be drained.
pub const BALLAST_OCTETS: u64 = 32 * 1024 * 1024;

/// Content kept in memory between commit and delivery, so that the happy path reads no disk.
pub const FRESH_CONTENT_OCTETS_MAX: usize = 16 * 1024 * 1024;

// ---- queue ---------------------------------------------------------------------------------------

/// First retry of transactional mail. RFC 5321 4.5.4.1 says 30 minutes *in general*; greylisting
/// receivers ask for 5, and an invoice is worth the second look (Postfix: 300 s).
pub const RETRY_FIRST: Duration = Duration::from_secs(300);

/// Longest wait between two attempts (Postfix `maximal_backoff_time` is 4,000 s).
pub const RETRY_LONGEST: Duration = Duration::from_secs(4000);

/// Jitter of every retry, so that an outage does not end in a stampede.
pub const RETRY_JITTER_PERCENT: u32 = 20;

/// Connections to one provider when it is new, and at most (Postfix: 5 and 20).
pub const LANE_CONNECTIONS_FIRST: u32 = 5;
/// See `LANE_CONNECTIONS_FIRST`.
pub const LANE_CONNECTIONS_MAX: u32 = 20;

/// Messages on one connection; Postfix's limit is time, Google asks for at most 100.
pub const CONNECTION_MESSAGES_MAX: u32 = 100;

// ---- names and routes ----------------------------------------------------------------------------

/// MX addresses tried in one attempt (Postfix `smtp_mx_address_limit` 5, doubled for two families).
pub const MX_ADDRESSES_MAX: usize = 10;

/// One question to the name server, all retries included.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(10);

/// Between the first address and the next one of the other family (RFC 8305 section 5).
pub const HAPPY_EYEBALLS_DELAY: Duration = Duration::from_millis(250);

// ---- delivery: the SMTP client --------------------------------------------------------------------

/// TCP connection (Postfix 30 s).
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The greeting (RFC 5321 4.5.3.2.1).
pub const GREETING_TIMEOUT: Duration = Duration::from_secs(300);
/// Reply to EHLO and STARTTLS; as MAIL.
pub const EHLO_TIMEOUT: Duration = Duration::from_secs(300);
/// Reply to MAIL (RFC 5321 4.5.3.2.2).
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(300);
/// Reply to RCPT (RFC 5321 4.5.3.2.3).
pub const RCPT_TIMEOUT: Duration = Duration::from_secs(300);
/// 354 after DATA (RFC 5321 4.5.3.2.4).
pub const DATA_START_TIMEOUT: Duration = Duration::from_secs(120);
/// One block of content taken by the peer (RFC 5321 4.5.3.2.5).
pub const DATA_BLOCK_TIMEOUT: Duration = Duration::from_secs(180);
/// Reply to the final dot (RFC 5321 4.5.3.2.6): too short a wait makes duplicates.
pub const DATA_DONE_TIMEOUT: Duration = Duration::from_secs(600);
/// Reply to QUIT or RSET; nothing depends on it.
pub const QUIT_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection that is kept for the next message.
pub const CONNECTION_IDLE: Duration = Duration::from_secs(5);

/// One line of a peer's reply (RFC 5321 4.5.3.1.5 says 512; some write more).
pub const PEER_REPLY_LINE_OCTETS_MAX: usize = 4096;
/// Lines of one reply of a peer.
pub const PEER_REPLY_LINES_MAX: usize = 100;
/// Text of a peer's reply that is kept for the journal and for reports.
pub const PEER_REPLY_KEPT_OCTETS_MAX: usize = 512;

// ---- control ----------------------------------------------------------------------------------------

/// One request on the control socket.
pub const CONTROL_REQUEST_OCTETS_MAX: usize = 64 * 1024;
/// Rows of one page of a list.
pub const PAGE_ROWS_MAX: usize = 1000;

/// How long SIGTERM waits for transactions and deliveries in flight. systemd's default patience
/// is 90 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
