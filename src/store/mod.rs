//! The disk: ledger segments, sled behind them, the audit log.
