//! Custody: what is stored, in which states, and what a power cut in each means.
//!
//! Pure: formats, decisions and tables; the octets are moved by the store. The legal states of a
//! stored message stand in [`crate::manual::custody`].

pub mod custody;
pub mod index;
pub mod past;
pub mod record;
pub mod scan;
pub mod state;
