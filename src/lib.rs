//! Postern: a hardened, single-purpose gateway for transactional e-mail.
//!
//! # The house
//! Seven floors. A floor looks down, never up, never sideways; rooms meet only in `service/`.
//!
//! ```text
//! 6 faces    console/ cli/ demo/ health/ main.rs
//! 5 service  service/                            tasks: where rooms meet pipes
//! 4 pipes    store/ net/ dns/ host/ control/     the only code that touches the outside
//! 3 rooms    source/ policy/ scan/ sign/ spool/ queue/ route/ outcome/
//!            update/                             pure decisions
//! 2 tongue   smtp/ config/ event/                protocols, settings, facts we tell
//! 1 nouns    mail/                               RFC 5321 / 5322 / 3463 words
//! 0 ground   base/                               time, chance, ids, limits, secrets, faults
//! ```
//!
//! **Invariant:** below floor 4 nothing is async, nothing does I/O, nothing reads a clock.
//!
//! **Invariant:** a room never imports another room. The shared word belongs in `mail/`, the
//! meeting in `service/`.
//!
//! **Invariant:** each foreign crate that can surprise us has one door (`sled` only in `store/`).
//!
//! `tests/tidy.rs` checks all three. The route of one message stands in `service/admit.rs`.

pub mod base;
pub mod config;
pub mod event;
pub mod mail;
pub mod smtp;

pub mod outcome;
pub mod policy;
pub mod queue;
pub mod route;
pub mod scan;
pub mod sign;
pub mod source;
pub mod spool;
pub mod update;

pub mod control;
pub mod dns;
pub mod host;
pub mod net;
pub mod store;

pub mod service;

pub mod cli;
pub mod console;
pub mod demo;
pub mod health;

pub mod manual;
