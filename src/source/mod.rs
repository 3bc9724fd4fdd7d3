//! Identify: which source does a session speak for?
