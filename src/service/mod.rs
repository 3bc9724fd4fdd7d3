//! Tasks: where rooms meet pipes, and only here.

pub mod delivery;
mod names;
pub mod post;
