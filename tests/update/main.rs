//! Updates on a real partition table, by the real systemd-sysupdate, in and out of a real vfat.
//!
//! systemd-sysupdate 257 comes from a tree of tools (`POSTERN_TOOLS`, else `target/image/tools`,
//! which `image/tools` makes); it needs no device: a partition of an image file serves it as well.
//! Without a tree, or without the rights to enter it, what needs it says so and is not shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

mod machine;
mod offers;
mod signers;
mod slots;
