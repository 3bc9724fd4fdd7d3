//! The control socket: how people and programs on this machine steer the daemon.
//!
//! A Unix socket; the kernel tells who is at the other end, that decides the [`request::Role`].
//! One JSON document on one line is a request, one on one line is its answer:
//!
//! ```text
//! {"verb":"source-disable","name":"billing","dry_run":false}
//! {"answer":"acted","data":{"messages":17,"dry_run":false,"note":""}}
//! ```
//!
//! The server ([`server`]) knows people and lines, the [`keeper`] knows who may do what and writes
//! it down, the [`office::Office`] (a service) does it.

pub mod answer;
pub mod call;
pub mod check;
pub mod diagnose;
pub mod dialogue;
pub mod health;
pub mod host;
pub mod keeper;
pub mod lanes;
pub mod office;
pub mod request;
pub mod server;
