//! The operating system: descriptors, credentials, children.

pub mod disk;
pub mod journal;
pub mod peer;

pub mod clock;
