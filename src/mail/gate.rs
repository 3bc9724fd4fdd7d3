//! The health gate's own words: whom its messages are from and for.
//!
//! A message of the gate goes the whole way of a message, and nowhere else: it enters at a listener
//! that nobody else has, is addressed within a domain that nobody else can have, and leaves by
//! loopback.

/// The name of the gate's listener, source, egress and selector.
pub const NAME: &str = "health";

/// The domain of the gate's messages. `.invalid` never exists (RFC 6761 section 6.4).
pub const DOMAIN: &str = "health.invalid";
