//! Settings, read twice: as written and as meant.
//!
//! `file.rs` is what was written (unknown keys refused, no opinions), `checked.rs` is what it means
//! (typed, cross-checked, immutable), `complaint.rs` collects *all* problems between them.
//!
//! **Invariant:** nothing else in the house reads the document or the environment.

pub mod checked;
