//! The manual.

pub mod custody;
