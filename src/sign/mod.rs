//! Seal: trace fields, missing fields, and DKIM last. What leaves this room is the octets on the
//! wire; nobody touches them again.
//!
//! ```text
//! DKIM-Signature: …        one per key of the From: domain (RFC 6376, 8301, 8463)
//! Received: …              ours (RFC 5321 4.4, 3848)
//! Date:, Message-ID:       if they were missing (RFC 6409 8.2, 8.3)
//! …the author's fields…    without Bcc, Return-Path, Content-Length and results in our name
//!
//! body                     octet for octet
//! ```
//!
//! **Invariant:** a message whose From: domain has no key is refused unless its source says
//! `unsigned = "allow"`. Signing fails closed: a fault is a 451, never an unsigned message.

pub mod dkim;
pub mod keyring;
pub mod keys;
pub mod records;
pub mod seal;
pub mod spf;
pub mod statement;
pub mod trace;
pub mod verify;

pub use keyring::{KeyProblem, Keyring};
pub use seal::{SealError, SealFacts, Sealed, seal, seal_notification, seal_report};
pub use verify::{Verified, verify};
