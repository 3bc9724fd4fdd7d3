//! The disk: ledger segments, sled behind them, the audit log.

pub mod audit;
pub mod switches;
