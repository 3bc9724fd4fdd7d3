//! A machine in memory, for tests: time jumps, and the role dies between any two steps.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::hands::Machine;
use crate::base::fault::Fault;
use crate::host::machine::{Unit, UpdateDeed};
use crate::host::paths::Paths;

/// A document with this word breaks the network.
pub(super) const BREAKS_NETWORK: &str = "# breaks the network";
/// A document with this word breaks the gateway.
pub(super) const BREAKS_GATEWAY: &str = "# breaks the gateway";

pub(super) struct Simulated {
    pub(super) paths: Paths,
    _folder: tempfile::TempDir,
    millis: AtomicU64,
    boots: AtomicU64,
    /// Steps until the role dies; 0: it lives.
    pub(super) dies_in: AtomicU64,
    /// What the network runs by.
    pub(super) network: Mutex<Option<String>>,
    /// What the gateway runs by.
    pub(super) gateway: Mutex<Option<String>>,
    /// It was told to switch itself off.
    pub(super) off: AtomicBool,
}

impl Simulated {
    pub(super) fn new() -> Self {
        // Hundreds of machines live and die in a test: in memory, where a sync costs nothing.
        let memory = std::path::Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(place).unwrap();
        Self {
            paths: Paths::below(folder.path()),
            _folder: folder,
            millis: AtomicU64::new(1_000_000),
            boots: AtomicU64::new(1),
            dies_in: AtomicU64::new(0),
            network: Mutex::new(None),
            gateway: Mutex::new(None),
            off: AtomicBool::new(false),
        }
    }

    pub(super) fn sleep(&self, time: Duration) {
        self.millis.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// The box starts anew: network and gateway run by what is on the disk.
    pub(super) fn restart(&self) {
        self.boots.fetch_add(1, Ordering::SeqCst);
        self.millis.store(5_000, Ordering::SeqCst);
        *self.network.lock().unwrap() = self.document();
        *self.gateway.lock().unwrap() = self.document();
    }

    pub(super) fn document(&self) -> Option<String> {
        std::fs::read_to_string(self.paths.document()).ok()
    }

    fn take(&self, what: &Mutex<Option<String>>, breaks: &str) -> Result<(), Fault> {
        let document = self.document();
        let broken = document.as_ref().is_some_and(|text| text.contains(breaks));
        *what.lock().unwrap() = document;
        if broken { Err(Fault::new("taking", "the document", breaks)) } else { Ok(()) }
    }
}

impl Machine for Simulated {
    fn step(&self, _: &str) {
        if self.dies_in.load(Ordering::SeqCst) == 1 {
            self.dies_in.store(0, Ordering::SeqCst);
            resume_unwind(Box::new("killed"));
        }
        let _ = self.dies_in.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    }

    fn network(&self) -> Result<(), Fault> {
        self.take(&self.network, BREAKS_NETWORK)
    }

    fn gateway(&self) -> Result<(), Fault> {
        self.take(&self.gateway, BREAKS_GATEWAY)
    }

    fn boot_millis(&self) -> u64 {
        self.millis.load(Ordering::SeqCst)
    }

    fn boot_id(&self) -> String {
        self.boots.load(Ordering::SeqCst).to_string()
    }

    fn update(&self, _: &UpdateDeed) -> Result<Value, Fault> {
        Ok(Value::Null)
    }

    fn reboot(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn power_off(&self) -> Result<(), Fault> {
        self.off.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn units(&self) -> Vec<Unit> {
        Vec::new()
    }

    fn looks(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
