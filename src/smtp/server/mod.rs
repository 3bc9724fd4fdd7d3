//! The server side of a session: a machine without sockets.

pub mod ask;
