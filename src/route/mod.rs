//! Plan: which hosts, in which order, by which way out.
