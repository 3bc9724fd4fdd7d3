//! Nouns: the words of RFC 5321, 5322, 3463 and 5598 that every room shares.
//!
//! **Invariant:** a value of these types is already well-formed. Nothing here decides, does I/O or
//! knows where a value came from.

pub mod address;
pub mod answer;
pub mod author;
pub mod class;
pub mod envelope;
pub mod gate;
pub mod header;
pub mod meaning;
pub mod queued;
pub mod reply;
pub mod source;
pub mod stage;
pub mod status;
pub mod trust;
pub mod way;
