//! The rules, each broken once.
