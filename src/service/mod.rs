//! Tasks: where rooms meet pipes, and only here.

pub mod dispatch;
pub mod post;
