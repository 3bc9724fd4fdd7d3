//! Tasks: where rooms meet pipes, and only here.

pub mod post;
pub mod reception;
mod wire;
