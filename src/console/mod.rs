//! The console: set-up and break-glass on a serial line or a screen, for whoever stands before the
//! machine.
//!
//! ```text
//! tty ──octets──► intake ──lines──► console (machine) ──actions──► driver ──► tty
//!                                     ▲                    │
//!                                     └──── told ◄── host role, daemon, chance
//! ```
//!
//! The [`machine`] and the [`wizard`] are pure: no clock, no file, no terminal. The driver reads
//! lines, puts questions to the host role and writes what it is given. In the plain mode there is
//! one line a question, one line an answer, and no cursor is moved; it works at 9600 baud, with a
//! screen reader, and from a script. On a terminal that says how large it is the [`screen`] makes
//! pages of the same: keys become lines, and what is printed becomes a page ([`view`]).
//!
//! **Invariant:** the console is a guest. It has no rights, keeps no files, and may be killed at
//! any moment; what it may do the host role decides on every request.
//!
//! **Invariant:** nothing here starts another program, least of all a shell.

pub mod ask;
mod dialog;
mod draw;
mod driver;
mod form;
pub mod intake;
pub mod machine;
pub mod menu;
pub mod outbox;
pub mod page;
mod pages;
pub mod paper;
pub mod screen;
pub mod status;
pub mod strength;
mod term;
mod told;
mod view;
pub mod wizard;
pub mod words;
mod worker;

pub use driver::{Options, run};
pub use machine::Console;
