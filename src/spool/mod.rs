//! Custody: what is stored, in which states, and what a power cut in each means.
