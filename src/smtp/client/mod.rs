//! The client side of a session: a machine without sockets.
//!
//! ```text
//! Greeting ─ Ehlo ─┬─ StartTls ─ Handshake ─ Ehlo ─┬─ Ready ◄──► Exchange
//!             Helo ┴───────────────────────────────┘     └─ Quitting ─ Closed
//! ```
//!
//! `Conversation` speaks four verbs (`handle_*`, `poll_action`, `poll_timeout`, getters). One
//! transaction is an [`exchange::Exchange`]: two cursors, sent and answered, over one ordered list
//! of commands; the cursors never go back. Laws: RFC 5321, 2920 (pipelining), 3207 (STARTTLS), 1870
//! (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3461 (DSN), 8689 (REQUIRETLS), 2852 (DELIVERBY), 6710
//! (MT-PRIORITY).

pub mod content;
pub mod conversation;
pub mod exchange;
pub mod heard;
pub mod offer;
pub mod preflight;

pub use conversation::{Action, Conversation, Patience, Settings};
