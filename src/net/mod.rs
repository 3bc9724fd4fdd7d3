//! Sockets: listeners, TLS, and the egress broker.

pub mod listen;
pub mod tls;
