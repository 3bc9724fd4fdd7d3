//! Sockets: listeners, TLS, and the egress broker.

pub mod broker;
pub mod egress;
pub mod tls_client;
