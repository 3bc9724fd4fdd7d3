//! TLS and HTTPS towards others: every kind of certificate against every kind of demand, over
//! loopback, with real servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod dane;
mod https;
mod openssl;
mod webpki;
mod zoo;
