//! Sockets: listeners, TLS, and the egress broker.

pub mod broker;
pub mod egress;
pub mod https;
pub mod listen;
pub mod papers;
pub mod ping;
pub mod tls;
pub mod tls_client;
pub mod trust;
