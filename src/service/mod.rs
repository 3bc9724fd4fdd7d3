//! Tasks: where rooms meet pipes, and only here.

pub mod admit;
pub mod broker;
mod check;
pub mod custody;
pub mod delivery;
pub mod diagnose;
pub mod dispatch;
mod gate;
pub mod host;
mod names;
pub mod office;
pub mod post;
pub mod receivers;
pub mod reception;
pub mod run;
pub mod serve;
pub mod standing;
pub mod supervise;
pub mod suspects;
mod switchboard;
pub mod tap;
pub mod trust;
pub mod update;
pub mod watchdog;
pub mod ways;
mod wire;
