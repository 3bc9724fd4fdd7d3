//! Custody on a real file system: the rows of `manual::custody`, faults, bit rot, a full disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails so")]

mod bench;
mod faults;
mod full;
mod pace;
mod past;
mod rot;
mod rows;
