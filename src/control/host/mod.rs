//! The host role's socket: how the console, the command line and other roles steer the machine.
//!
//! As the control socket: one JSON document on one line is a request, one on one line its answer.
//!
//! ```text
//! {"verb":"config-apply","document":"version = 1 ..","confirm_secs":600}
//! {"answer":"applied","data":{"generation":7,"previous":6,"confirm_secs":600,"notes":[]}}
//! ```
//!
//! Root may do everything. The console's user is nobody until it has said the administrator's
//! passphrase on the same connection; on a box that has neither passphrase nor configuration it
//! may set one up, because whoever stands before such a box owns it.

pub mod answer;
pub mod call;
pub mod request;

pub use answer::{HostAnswer, HostStatus};
pub use call::HostLine;
pub use request::{HostRequest, Passphrase};
