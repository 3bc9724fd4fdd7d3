//! Every bound of the house, in one place, each with its reason: an RFC section or a measurement.
//!
//! Sections follow the route of the letter. A number that is not here is a bug.

use std::time::Duration;

// ---- reception: the SMTP server ---------------------------------------------------------------

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

/// Address space reserved for content on the word of SIZE= alone: a lie costs no resident memory,
/// and from here on doubling costs at most two copies of 25 MB.
pub const CONTENT_RESERVE_OCTETS_MAX: usize = 256 * 1024;

/// Octets of an over-long command line that are thrown away before the session ends.
pub const SWALLOWED_OCTETS_MAX: usize = 64 * 1024;

/// What one read from a socket takes at most. Half of `PIPELINE_OCTETS_MAX`, so that what waits
/// behind a question always fits.
pub const READ_OCTETS_MAX: usize = 32 * 1024;

/// How long a peer that was told to leave may still talk before the socket is closed: its unread
/// octets would turn our last reply into a reset (RFC 1122 4.2.2.13).
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause after an accept that failed for want of descriptors or memory.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that wait for accept: a burst of a thousand clients must not see a lost SYN.
pub const LISTEN_BACKLOG: i32 = 4096;

// ---- hygiene and screening --------------------------------------------------------------------

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

/// Parameters of one Content-Type field; RFC 2231 continuations of an honest file name are few.
pub const MIME_PARAMETERS_MAX: usize = 64;

// ---- sources ----------------------------------------------------------------------------------

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

/// The same for secrets of 160 random bits, which nobody guesses: the least that RFC 7677 allows.
pub const SCRAM_ITERATIONS_GENERATED: u32 = 4_096;

/// Memory that a verifier may ask for, in KiB: 256 MiB. A typing error must not stop the gateway.
pub const ARGON2_KIB_CEILING: u32 = 256 * 1024;

/// Passes that a verifier may ask for.
pub const ARGON2_ITERATIONS_CEILING: u32 = 16;

/// How long a right password is remembered, so that AUTH per message costs no Argon2id each time.
pub const PASSWORD_MEMORY: Duration = Duration::from_secs(300);

/// Passwords that are remembered: 64 octets each.
pub const PASSWORD_MEMORY_ENTRIES_MAX: usize = 4096;

/// Addresses, accounts and pairs of both that the AUTH throttle knows at a time (about 1 MiB each).
pub const THROTTLE_ENTRIES_MAX: usize = 8192;

/// How long an address that has shown an account's password is let in while others guess.
pub const WELCOME_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// Content that is sealed on the async worker that read it. Hashing and signing 256 KiB takes about
/// a millisecond; larger messages move off the worker so that other sessions are not delayed.
pub const SEAL_INLINE_OCTETS_MAX: usize = 256 * 1024;
// ---- signatures -------------------------------------------------------------------------------

/// How long a DKIM signature is valid at least (`x=`): a week, against replay (RFC 6376 3.5). It
/// is longer only where delivery is tried for longer.
pub const DKIM_LIFETIME_MIN: Duration = Duration::from_secs(7 * 24 * 3600);

// ---- custody ----------------------------------------------------------------------------------

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

/// Cache of the state database; its default is 1 GB. In memory it takes about four times this
/// (measured: 60 MB with 16 MiB and 30,000 messages), and nothing on the way of a message waits
/// for it.
pub const STATE_CACHE_OCTETS: u64 = 2 * 1024 * 1024;

/// Messages that can be marked as being in hand at a time; those beyond it go without a mark.
pub const IN_HAND_MAX: u16 = 1024;

/// Messages that were in hand at a crash and are remembered.
pub const SUSPECTS_MAX: usize = 1024;

/// Crashes after which a message that was in hand at each of them is set aside.
pub const CRASHES_MAX: u8 = 2;

/// Reserved on disk, given up only so that a full disk can still be drained.
pub const BALLAST_OCTETS: u64 = 32 * 1024 * 1024;

/// Content kept in memory between commit and delivery, so that the happy path reads no disk: half a
/// second of the fastest that two cores can take.
pub const FRESH_CONTENT_OCTETS_MAX: usize = 8 * 1024 * 1024;

// ---- queue ------------------------------------------------------------------------------------

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

/// Wait before a destination that could not be reached is probed again, the first time. Short:
/// most outages are restarts. Doubles with each failed probe.
pub const PROBE_FIRST: Duration = Duration::from_secs(15);

/// Longest wait between two probes of a dead destination: one connection in ten minutes costs
/// nobody anything, and mail flows within ten minutes of the repair.
pub const PROBE_LONGEST: Duration = Duration::from_secs(600);

/// A lane is halved at most once in this time: carriers that fail together are one failure.
pub const LANE_HALVING_PAUSE: Duration = Duration::from_secs(5);

/// Answers in a row that ask for less, after which a destination is left alone for a while: one
/// is the end of a long connection, three are a storm that burns attempts.
pub const THROTTLES_BEFORE_PAUSE: u32 = 3;

/// Pauses of a lane that is told to slow down, one step for each time it is told: what providers'
/// own advice comes to (minutes at first, an hour at most), so that mail flows soon after a burst
/// and nobody is asked often who has had enough.
pub const LANE_PAUSES: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(900),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];

/// A one-time password in a lane that pauses is tried all the same, one at a time; if it is put
/// off too, the next one waits so long.
pub const URGENT_PAUSE: Duration = Duration::from_secs(30);

/// How often one message of held mail is tried, to see whether the defect is mended.
pub const HOLD_PROBE: Duration = Duration::from_secs(4 * 3600);

/// The same, after a probe that neither was taken nor met the defect.
pub const HOLD_PROBE_SOON: Duration = Duration::from_secs(300);

/// Holds of lanes at a time; one that would be more is not made, and its mail is put off as any
/// other.
pub const HOLDS_MAX: usize = 4096;

/// A greylisting receiver that does not say when it wants to be asked again.
pub const GREYLIST_WAIT: Duration = Duration::from_secs(60);

/// A mailbox that is full is not emptied in a minute.
pub const MAILBOX_FULL_WAIT: Duration = Duration::from_secs(900);

/// The longest pause that a reply can ask for by its text.
pub const PAUSE_HEARD_LONGEST: Duration = Duration::from_secs(3600);

/// A wall clock that shows less (2026-01-01) has not been set: ages that come from it mean nothing.
pub const WALL_CLOCK_MIN_MILLIS: u64 = 1_767_225_600_000;

/// After the final dot went out and nothing was heard (RFC 1047): the receiver may still be
/// busy with the first copy; its own time limit is ten minutes (RFC 5321 4.5.3.2.6).
pub const IN_DOUBT_WAIT: Duration = Duration::from_secs(600);

/// A destination that is parked because our own way out is down looks again on its own after
/// this time, should nobody tell that the way is back.
pub const EGRESS_RECHECK: Duration = Duration::from_secs(60);

/// Mail that a fault of ours sent back (unreadable ledger, report that could not be stored, a
/// carrier that died) waits this long; no attempt is counted.
pub const FAULT_WAIT: Duration = Duration::from_secs(60);

/// The least time to live of mail that is found at start-up. A wall clock that jumped forward
/// while we were away must not expire mail that was never tried since.
pub const RECOVERY_GRACE: Duration = Duration::from_secs(900);

/// How often a message that may not expire now (it is held, or our own way out is down) is looked
/// at again. A million held messages cost 280 looks a second.
pub const OVERDUE_RECHECK: Duration = Duration::from_secs(3600);

/// How long what was learned about a destination is kept after its last message.
pub const DESTINATION_MEMORY: Duration = Duration::from_secs(600);

/// Timers that one call of the queue handles: it runs under a lock.
pub const QUEUE_TIMERS_AT_ONCE: usize = 512;

/// Share of all connections that only one-time passwords may take: one of sixteen.
pub const URGENT_SHARE: u32 = 16;

/// The largest whole message that a report carries (RET=FULL); beyond it, the header only.
pub const REPORT_CONTENT_OCTETS_MAX: usize = 256 * 1024;

/// The header block that a report carries; what is beyond is cut at a line.
pub const REPORT_HEADER_OCTETS_MAX: usize = 64 * 1024;

/// Messages on one connection; Postfix's limit is time, Google asks for at most 100.
pub const CONNECTION_MESSAGES_MAX: u32 = 100;

// ---- names and routes -------------------------------------------------------------------------

/// MX addresses tried in one attempt (Postfix `smtp_mx_address_limit` 5, doubled for two families).
pub const MX_ADDRESSES_MAX: usize = 10;

/// One question to the name server, all retries included.
pub const DNS_TIMEOUT: Duration = Duration::from_secs(10);

/// Between the first address and the next one of the other family (RFC 8305 section 5).
pub const HAPPY_EYEBALLS_DELAY: Duration = Duration::from_millis(250);

// ---- delivery: the SMTP client ----------------------------------------------------------------
/// The wait for the other family's addresses once one family has answered: a name server that
/// drops AAAA questions must not delay every connection (RFC 8305 section 3 has 50 ms for
/// browsers).
pub const DNS_FAMILY_GRACE: Duration = Duration::from_millis(500);

/// Names in the cache of each egress's resolver. A record is some 300 octets.
pub const DNS_CACHE_RECORDS: u64 = 8192;

/// The longest that a name is believed, whatever its owner says.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(86_400);

/// Proved answers that are kept for each egress, some 300 octets each.
pub const DNS_MEMORY_MAX: usize = 16_384;

/// Proofs of single record sets that are kept for each egress, some 200 octets each: those of
/// keys and delegations are what every new name needs.
pub const DNS_PROOFS_MAX: usize = 16_384;

/// How long "the name servers pass DNSSEC on" is believed.
pub const DNSSEC_GOOD_SPAN: Duration = Duration::from_secs(600);

/// How long the contrary is believed: DANE comes back a minute after the signatures do.
pub const DNSSEC_BAD_SPAN: Duration = Duration::from_secs(60);

/// Before servers that did not answer at all are tried for DNSSEC again.
pub const DNSSEC_DOUBT_SPAN: Duration = Duration::from_secs(10);

/// Hosts that are greeted in one attempt before it counts as failed (Postfix
/// `smtp_mx_session_limit` is 2; each may cost minutes).
pub const MX_SESSIONS_MAX: usize = 3;

/// Sockets that the broker opens at a time.
pub const EGRESS_OPENING_MAX: usize = 1024;

/// How long an address gives a provider a rest that says "listed"; doubled at each repetition.
pub const LISTED_REST: Duration = Duration::from_secs(3600);

/// The longest of these rests, and how long after one it is still remembered.
pub const LISTED_LONGEST: Duration = Duration::from_secs(86_400);

/// So many providers that say "listed" within `LISTED_TOGETHER` rest an address as a whole.
pub const LISTED_WITNESSES: usize = 3;

/// See `LISTED_WITNESSES`.
pub const LISTED_TOGETHER: Duration = Duration::from_secs(3600);

/// Providers that are remembered for one address as having said "listed".
pub const LISTED_PAIRS_MAX: usize = 1000;

/// The beat at which the broker looks at interfaces, addresses and routes.
pub const EGRESS_HEALTH_BEAT: Duration = Duration::from_secs(1);

/// An idle connection is asked for a sign of life after this time: the cable was pulled, or the
/// interface is another one now. Without it a wait for a reply lasts the minutes of RFC 5321
/// 4.5.3.2, and its lane with it.
pub const EGRESS_KEEPALIVE: Duration = Duration::from_secs(20);
/// Between two such questions.
pub const EGRESS_KEEPALIVE_BEAT: Duration = Duration::from_secs(5);
/// So many without an answer end the connection: after 40 s in all. A host that only thinks is not
/// concerned, its kernel answers. Octets on their way are the matter of `tcp_retries2`.
pub const EGRESS_KEEPALIVE_PROBES: u32 = 4;

/// A broker that has said nothing for so long is asked how it is; after the same time without an
/// answer it hangs, and is replaced. One packet in five seconds costs nothing.
pub const EGRESS_SILENCE: Duration = Duration::from_secs(5);

// ---- delivery: the SMTP client ----------------------------------------------------------------

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

// ---- control ----------------------------------------------------------------------------------

/// One request on the control socket.
pub const CONTROL_REQUEST_OCTETS_MAX: usize = 64 * 1024;
/// One answer on the control socket: a page of 1,000 rows of about 1 KB, with room.
pub const CONTROL_ANSWER_OCTETS_MAX: usize = 4 * 1024 * 1024;
/// One request to the host role: a document of 10,000 sources takes 8 MB.
pub const HOST_REQUEST_OCTETS_MAX: usize = 16 * 1024 * 1024;
/// One answer of the host role: a backup or a support bundle in base64.
pub const HOST_ANSWER_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// A deed of the updater, whoever waits for it: a release is fetched over a slow line, and a
/// gigabyte is written and read back. `TimeoutStartSec=` of postern-update.service says the same.
pub const UPDATE_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
/// After its time an updater is ended and told of; so much later nobody waits for it any more.
pub const UPDATE_GRACE: Duration = Duration::from_secs(3 * 60);
/// Connections to the host role at a time: two consoles, a few commands, an updater.
pub const HOST_CONNECTIONS_MAX: usize = 16;
/// Connections of guests among them: whatever a console does, root gets in.
pub const HOST_GUESTS_MAX: usize = 8;
/// Refusals that the host role's audit trail takes in a minute; more of them are only told to the
/// journal, which limits itself. Nobody without a right fills the state partition.
pub const HOST_REFUSALS_PER_MINUTE: u32 = 20;
/// Silence on a connection to the host role before it is closed; a console asks more often.
pub const HOST_IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// The shortest passphrase of an administrator; guesses are slowed down, not forbidden.
pub const PASSPHRASE_CHARS_MIN: usize = 12;
/// Failed logins before the next one must wait.
pub const LOGIN_FREE_TRIES: u32 = 5;
/// The first wait; every further failure doubles it.
pub const LOGIN_WAIT_FIRST: Duration = Duration::from_secs(2);
/// The longest wait: whoever stands before the box is never locked out for good.
pub const LOGIN_WAIT_MAX: Duration = Duration::from_secs(300);
/// Files in one setup file: certificate, key and two DKIM keys for each of 100 domains.
pub const SETUP_FILES_MAX: usize = 256;
/// One of these files.
pub const SETUP_FILE_OCTETS_MAX: usize = 256 * 1024;
/// A setup file: a document, its files, and room.
pub const SETUP_OCTETS_MAX: u64 = 16 * 1024 * 1024;
/// One file in a backup: the authorities that all browsers know are a quarter of it.
pub const BACKUP_FILE_OCTETS_MAX: u64 = 1024 * 1024;
/// A backup unpacked: the largest document, and files for all that it can name.
pub const BACKUP_UNPACKED_OCTETS_MAX: u64 = 64 * 1024 * 1024;
/// A backup as it is kept: in base64, with a passphrase, it is one request to the host role.
pub const BACKUP_OCTETS_MAX: usize = HOST_REQUEST_OCTETS_MAX / 4 * 3 - 4096;
/// Generations of the configuration that are kept.
pub const GENERATIONS_MAX: usize = 50;
/// The longest time that a configuration may be on trial.
pub const CONFIRM_SECS_MAX: u64 = 24 * 3600;
/// The longest that one deed may keep the desk of the host role: a change whose network step
/// (180 s) and gateway (60 s to reload, 330 s to start anew) take all their time, forth and back.
pub const HOST_DEED_MAX: Duration = Duration::from_secs(20 * 60);
/// How often the host role looks whether a trial is over.
pub const TRIAL_BEAT: Duration = Duration::from_millis(500);
/// Connections to the control socket at a time.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// Silence on a control connection before it is closed.
pub const CONTROL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Facts that `message trace` remembers; older ones are in the journal.
pub const FACTS_KEPT_MAX: usize = 50_000;
/// Memory that these facts may take: about 16,000 outcomes.
pub const FACT_OCTETS_KEPT_MAX: usize = 8 * 1024 * 1024;
/// Facts that wait for a slow journal; beyond it they are dropped and counted.
pub const JOURNAL_BACKLOG_MAX: usize = 20_000;
/// The journal's thread collects facts this long before it writes, so that a busy hour costs one
/// wake-up for many of them.
pub const JOURNAL_BEAT: Duration = Duration::from_millis(20);
/// The audit log is continued in a new file at this size.
pub const AUDIT_FILE_OCTETS_MAX: u64 = 64 * 1024 * 1024;
/// Rows of one page of a list.
pub const PAGE_ROWS_MAX: usize = 1000;

/// How long SIGTERM waits for transactions and deliveries in flight. systemd's default patience
/// is 90 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a gateway whose ledger has failed takes to say 421 to its peers before it ends.
pub const FAILED_TIMEOUT: Duration = Duration::from_secs(3);

// ---- trust in transport -----------------------------------------------------------------------

/// A policy of MTA-STS (RFC 8461 3.3 suggests 64 KiB).
pub const STS_POLICY_OCTETS_MAX: usize = 64 * 1024;

/// Fetching a policy (RFC 8461 3.3: one minute).
pub const STS_FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// The same while an older policy still holds: mail goes by that one meanwhile.
pub const STS_REFETCH_WAIT: Duration = Duration::from_secs(10);

/// The longest life of a policy: a leap year and a day (RFC 8461 3.2).
pub const STS_MAX_AGE_SECS_MAX: u64 = 31_557_600;

/// Host patterns of one policy; the largest providers name a dozen.
pub const STS_MX_PATTERNS_MAX: usize = 64;

/// A policy whose record was looked at this recently is used without another look.
pub const STS_RECHECK: Duration = Duration::from_secs(300);

/// After a fetch that failed none is tried for the same domain (RFC 8461 3.3: five minutes).
pub const STS_FETCH_PAUSE: Duration = Duration::from_secs(300);

/// A policy in use is fetched again this often, long before it expires (RFC 8461 3.3: daily).
pub const STS_REFRESH: Duration = Duration::from_secs(24 * 3600);

/// Domains whose policy, or lack of one, is kept.
pub const STS_DOMAINS_MAX: usize = 10_000;

/// Recipient domains whose best TLS is remembered: about 100 octets each.
pub const TLS_MEMORY_DOMAINS_MAX: usize = 50_000;

/// A domain that was seen with TLS on this many days or more is one whose TLS is relied on, if the
/// configuration says so.
pub const TLS_MEMORY_TRUST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A domain is not remembered for longer than this since it was last seen.
pub const TLS_MEMORY_SPAN: Duration = Duration::from_secs(400 * 24 * 3600);

/// An alarm about one domain is not repeated for this long.
pub const TLS_ALARM_PAUSE: Duration = Duration::from_secs(3600);

/// Policy domains of one day that are counted for reports.
pub const TLSRPT_DOMAINS_MAX: usize = 10_000;

/// Kinds of failures of one policy and day that are told apart.
pub const TLSRPT_DETAILS_MAX: usize = 16;

/// Policies of one domain and day that are told apart.
pub const TLSRPT_POLICIES_MAX: usize = 8;

/// Addresses of one record that are served.
pub const TLSRPT_ADDRESSES_MAX: usize = 4;

/// Counts of a day that could not be reported are given up after this (RFC 8460 5.3: 24 hours).
pub const TLSRPT_DAYS_KEPT: u32 = 2;

/// Reports of a day begin somewhere in this span after midnight (RFC 8460 5.1: up to four hours).
pub const TLSRPT_JITTER: Duration = Duration::from_secs(4 * 3600);

/// An override ends at the latest this long after it is read: it is an exception.
pub const TLS_OVERRIDE_SPAN_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

// ---- supervision ------------------------------------------------------------------------------

/// Crashes of one role within `ROLE_CRASH_WINDOW` after which it rests: a fault that comes back at
/// once is not mended by starting faster.
pub const ROLE_CRASHES_MAX: usize = 5;
/// See `ROLE_CRASHES_MAX`.
pub const ROLE_CRASH_WINDOW: Duration = Duration::from_secs(60);
/// Between the end of a role and its next start.
pub const ROLE_RESTART_WAIT: Duration = Duration::from_millis(200);

/// The committer must answer a question within this time, or the watchdog is not fed: a sync that
/// takes longer has met a dying disk.
pub const WATCHDOG_PROOF_TIMEOUT: Duration = Duration::from_secs(10);
