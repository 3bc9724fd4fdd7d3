//! The operating system: descriptors, credentials, children.
