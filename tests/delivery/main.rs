//! The delivery side against scripted hosts on loopback: every socket comes from a real broker
//! through a real channel; names come from a table.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod desk;
mod faults;
mod happy;
mod peer;
mod tls;
mod trust;
mod walls;
