//! The SMTP language: lines, commands, replies, and the two sans-I/O machines.

pub mod client;
pub mod reply;
pub mod server;
