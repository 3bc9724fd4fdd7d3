//! Names, asked through an egress.
