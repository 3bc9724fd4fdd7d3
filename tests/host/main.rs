//! The real host role as a process, on a machine that is a folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod an_emergency_has_ways_out;
mod backups_hold;
mod changes_come_back;
mod looks_answer;
mod machine;
mod recovery_key_waits;
mod setup_makes_a_gateway;
mod the_gateway_obeys;
mod visitors_are_told_apart;
