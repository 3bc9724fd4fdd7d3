//! The SMTP language: lines, commands, replies, and the two sans-I/O machines.

pub mod client;
pub mod command;
pub mod dots;
pub mod line;
pub mod parameters;
pub mod replies;
pub mod reply;
pub mod sasl;
pub mod server;
pub mod xtext;
