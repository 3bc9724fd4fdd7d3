//! Tasks: where rooms meet pipes, and only here.

pub mod delivery;
pub mod dispatch;
pub mod post;
pub mod reception;
mod wire;
