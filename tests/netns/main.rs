//! Names and links as a real kernel and a real name server give them, in a network namespace that
//! each test makes for itself. Without the right to make one (root), the tests say so and end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[allow(dead_code, reason = "the test bed uses all of it")]
#[path = "../bed/space.rs"]
mod bed_space;
mod diagnose;
mod dnssec;
mod links;
mod names;
mod space;
mod vlan;
mod ways;
mod wire;
mod zones;
