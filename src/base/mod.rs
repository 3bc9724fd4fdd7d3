//! Ground: time, chance, identities, limits, secrets and faults. Knows nothing of mail.
//!
//! **Invariant:** nothing here does I/O, reads a clock or draws chance by itself; time and chance
//! are arguments everywhere below the pipes.

pub mod chance;
pub mod fault;
pub mod id;
pub mod limits;
pub mod secret;
pub mod time;
