//! Sockets: listeners, TLS, and the egress broker.
