//! The manual: what must be understood before the code is changed.

pub mod custody;
pub mod decisions;
pub mod decisions_appliance;
pub mod decisions_console;
