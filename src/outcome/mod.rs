//! Classify and report: what an answer means, and who is told.
//!
//! An answer is classified where it is known what was being asked ([`classify`]); the sender is
//! told in words that say what to do ([`advice`]) inside a report that machines read ([`dsn`]).
//! Domains that ask for it are told about TLS ([`tlsrpt`]).

pub mod advice;
pub mod classify;
pub mod dsn;
mod fields;
pub mod replies;
pub mod tlsrpt;
