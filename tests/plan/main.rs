//! The plan for the host: its text, and what a kernel, nft and networkd make of it in network
//! namespaces that each test makes for itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod checks;
mod faces;
mod golden;
mod guard;
mod kernel;
mod networkd;
mod space;
mod whole;
