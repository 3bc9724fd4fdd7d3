//! The disk: ledger segments, sled behind them, the audit log.

mod active;
pub mod audit;
mod committer;
pub mod disk;
mod fresh;
mod gauge;
mod hands;
mod keeper;
mod read;
mod recover;
mod replay;
pub mod salvage;
pub mod segment;
mod shared;
pub mod spool;
mod state;
pub mod switches;
pub mod trust;
pub mod warmth;

pub use gauge::Health;
pub use hands::InHand;
pub use shared::Tell;
