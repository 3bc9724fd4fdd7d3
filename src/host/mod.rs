//! The operating system: descriptors, credentials, children.

pub mod clock;
