//! Salvage.
