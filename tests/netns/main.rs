//! Names and links as a real kernel and a real name server give them, in a network namespace that
//! each test makes for itself. Without the right to make one (root), the tests say so and end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod dnssec;
mod links;
mod names;
mod space;
mod vlan;
mod wire;
mod zones;
