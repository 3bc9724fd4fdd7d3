//! The operating system: descriptors, credentials, children.

pub mod clock;
pub mod disk;
pub mod journal;
pub mod last_words;
pub mod neighbour;
pub mod network;
pub mod notify;
pub mod passed;
pub mod peer;
pub mod plan;
pub mod signals;
pub mod walls;
