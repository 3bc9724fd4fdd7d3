//! The operating system: descriptors, credentials, children.

pub mod clock;
pub mod disk;
pub mod journal;
pub mod peer;
pub mod signals;
pub mod walls;
