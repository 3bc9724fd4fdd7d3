//! `postern host`: the machine's own side. Root with narrow verbs; everything else asks it.
//!
//! ```text
//! console, command line ── host.sock ──► desk ──┬─ trial        generations, commit-confirm
//!                                               ├─ setup        a new box, one file
//!                                               ├─ backup       export and import, encrypted
//!                                               ├─ bundle       what a supporter wants to see
//!                                               └─ hands        systemctl, network step, updater
//! ```
//!
//! **Invariant:** everything that changes something is in the audit trail before it is done.
//!
//! **Invariant:** a change of the configuration is written down (`pending.json`) before its first
//! step; whatever ends the role in the middle, its next start knows how to go on or back.

pub mod backup;
pub mod boot;
mod bundle;
mod certificate;
mod container;
pub mod desk;
mod door;
pub mod generations;
pub mod hands;
mod papers;
mod records;
mod recovery;
pub mod run;
mod server;
pub mod setup;
mod stage;
mod status;
mod tar;
pub mod trial;

#[cfg(test)]
mod simulated;
