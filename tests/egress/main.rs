//! The way out in a bed of network namespaces: every packet of the mail path leaves by its egress
//! with its source, or not at all. Without the right to make namespaces (root), these tests fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "../bed/mod.rs"]
mod bed;

mod chaos;
mod matrix;
mod plan;
mod policies;
mod reports;
mod storm;
mod town;
mod walls;
