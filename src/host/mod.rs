//! The operating system: descriptors, credentials, children.

pub mod button;
pub mod clock;
pub mod disk;
pub mod disks;
pub mod durable;
pub mod facts;
pub mod failures;
pub mod journal;
pub mod last_words;
pub mod log;
pub mod machine;
pub mod mount;
pub mod neighbour;
pub mod network;
pub mod notify;
pub mod passed;
pub mod paths;
pub mod peer;
pub mod plan;
pub mod ports;
pub mod signals;
pub mod slots;
pub mod timekeeping;
pub mod tty;
pub mod vitals;
pub mod walls;
