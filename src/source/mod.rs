//! Identify: which source does a session speak for?
//!
//! Evidence is a password, a client certificate or, on listeners that allow it, a network. Only
//! this room makes an [`crate::mail::stage::Attributed`]; whoever has none hears 530 at MAIL.
//!
//! | evidence | function | peer hears on failure |
//! |---|---|---|
//! | AUTH PLAIN, LOGIN | [`Directory::recall_password`], [`Directory::identify_password`] | 535 5.7.8 |
//! | AUTH SCRAM-SHA-256 | [`Directory::scram_keys`], [`Directory::identify_scram`] | 535 5.7.8 |
//! | certificate | [`Directory::identify_certificate`] | 550 5.7.1 |
//! | network | [`Directory::identify_network`] | 530 5.7.0 |
//! | a later command | [`Directory::still_welcome`] | 421 4.7.0 |
//!
//! **Invariant:** shared infrastructure is never an identity: a network source is one address
//! range of one application, and its pairs bind as everyone's do.

pub mod directory;
pub mod memory;
pub mod refusals;
pub mod secret;
pub mod throttle;

pub use directory::{Directory, Rotation, Switches};
pub use refusals::unidentified;
pub use secret::{BootSecret, Strength, new_secret, verifier_for};
pub use throttle::Throttle;
