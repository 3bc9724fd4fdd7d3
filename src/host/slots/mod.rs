//! The machine under an update: partitions, the ESP, systemd-sysupdate, and what runs.

pub mod esp;
pub mod gpt;
pub mod loader;
pub mod machine;
pub mod manage;
pub mod running;
pub mod shelf;
pub mod surface;
pub mod sysupdate;
pub mod usb;
