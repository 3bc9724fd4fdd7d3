//! Seal: trace fields, missing fields, and DKIM last.
