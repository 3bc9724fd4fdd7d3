//! Updates: what a release is, whether it may be taken, and where one stands on its way.
//!
//! ```text
//!                       stage                                      apply
//!  Idle ──> Fetched ──> Verified ──> Written ──> ReadBack ──> Staged ──> Trial ──> Healthy
//!   ▲          │           │            │            │           │         │
//!   │          └───────────┴────────────┴────────────┴───────────┘         └──> RolledBack(why)
//!   └── nothing of it can be booted: begin again (or take it up, when staged)
//! ```
//!
//! Up to `Staged` no boot entry points at what is being written, and the boot entry of the running
//! slot is never touched: a power cut boots what ran before. `apply` is one rename in the ESP, and
//! from there on systemd-boot counts tries.
//!
//! **Invariant:** nothing here reads a disk, a clock or a network; `host/slots/` does, and
//! `service/update/` brings both together.

pub mod bundle;
pub mod entry;
pub mod judge;
pub mod keys;
pub mod loader;
pub mod manifest;
pub mod promise;
pub mod record;
pub mod slots;
pub mod state;
pub mod steps;
pub mod time;
pub mod transfer;
pub mod version;
