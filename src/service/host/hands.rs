//! The machine around the host role: the real one asks the service manager and the gateway, tests
//! have one in memory.

use serde_json::Value;

use crate::base::fault::Fault;
use crate::config::control_socket;
use crate::control::answer::{Answer, Checked};
use crate::control::call::Line;
use crate::control::request::Request;
use crate::host::machine::{Gateway, System, Unit, UpdateDeed};
use crate::host::paths::Paths;
use crate::host::{disk, facts, notify};

/// What a reload says of settings that only a restart changes.
const NEEDS_RESTART: &str = "cannot be changed by a reload";

/// What the host role has done by others.
pub trait Machine: Send + Sync {
    /// A durable step of a change is done and the next one begins: the service manager hears of
    /// it, so that a change that takes its time is not taken for a hang.
    fn step(&self, what: &str);

    /// Has the network step render and load what the document says; without a document it closes
    /// everything.
    ///
    /// # Errors
    /// It failed; the network may be half changed.
    fn network(&self) -> Result<(), Fault>;

    /// Has the gateway take the document that is there: it reads it again, or starts anew where
    /// only that helps. Without a document it is stopped.
    ///
    /// # Errors
    /// It does not run by the document now.
    fn gateway(&self) -> Result<(), Fault>;

    /// Milliseconds since the machine started.
    fn boot_millis(&self) -> u64;

    /// Which start of the machine this is.
    fn boot_id(&self) -> String;

    /// Has the updater do something.
    ///
    /// # Errors
    /// It failed, with what it said.
    fn update(&self, deed: &UpdateDeed) -> Result<Value, Fault>;

    /// Restarts the machine.
    ///
    /// # Errors
    /// The service manager refuses.
    fn reboot(&self) -> Result<(), Fault>;

    /// Switches the machine off.
    ///
    /// # Errors
    /// The service manager refuses.
    fn power_off(&self) -> Result<(), Fault>;

    /// Units of ours.
    fn units(&self) -> Vec<Unit>;

    /// What a look at the machine says, for the support bundle: a name and a text.
    fn looks(&self) -> Vec<(&'static str, String)>;
}

/// The real machine.
#[derive(Clone, Debug)]
pub struct Real {
    paths: Paths,
    system: System,
}

impl Real {
    /// The machine with these places.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self { system: System::new(paths.clone()), paths }
    }

    /// Asks the gateway itself to read its document again; none if it does not answer.
    fn reload(&self, text: &str) -> Option<Checked> {
        let socket = self.paths.at(control_socket(text));
        match Line::open(&socket).and_then(|mut line| line.ask(&Request::ConfigReload {})) {
            Ok(Answer::Checked(checked)) => Some(checked),
            _ => None,
        }
    }
}

impl Machine for Real {
    fn step(&self, what: &str) {
        notify::busy(what);
    }

    fn network(&self) -> Result<(), Fault> {
        self.system.network()
    }

    fn gateway(&self) -> Result<(), Fault> {
        let document = self.paths.document();
        if !document.exists() {
            return self.system.gateway(Gateway::Stop);
        }
        let text = disk::text(&document)?;
        match self.reload(&text) {
            Some(checked) if checked.good => Ok(()),
            Some(checked) if !checked.complaints.iter().all(|c| c.contains(NEEDS_RESTART)) => {
                let cause = checked.complaints.join("; ");
                Err(Fault::new("having the gateway take", document.display(), cause))
            }
            _ => self.system.gateway(Gateway::Restart),
        }
    }

    fn boot_millis(&self) -> u64 {
        facts::boot_millis()
    }

    fn boot_id(&self) -> String {
        facts::boot_id()
    }

    fn update(&self, deed: &UpdateDeed) -> Result<Value, Fault> {
        self.system.update(deed)
    }

    fn reboot(&self) -> Result<(), Fault> {
        self.system.reboot()
    }

    fn power_off(&self) -> Result<(), Fault> {
        self.system.power_off()
    }

    fn units(&self) -> Vec<Unit> {
        self.system.units()
    }

    fn looks(&self) -> Vec<(&'static str, String)> {
        self.system.looks()
    }
}

/// The machine while it starts: network and gateway come after this step and read the document by
/// themselves.
#[derive(Clone, Debug)]
pub struct Starting(pub Real);

impl Machine for Starting {
    fn step(&self, _: &str) {}

    fn network(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn gateway(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn boot_millis(&self) -> u64 {
        self.0.boot_millis()
    }

    fn boot_id(&self) -> String {
        self.0.boot_id()
    }

    fn update(&self, deed: &UpdateDeed) -> Result<Value, Fault> {
        self.0.update(deed)
    }

    fn reboot(&self) -> Result<(), Fault> {
        self.0.reboot()
    }

    fn power_off(&self) -> Result<(), Fault> {
        self.0.power_off()
    }

    fn units(&self) -> Vec<Unit> {
        self.0.units()
    }

    fn looks(&self) -> Vec<(&'static str, String)> {
        self.0.looks()
    }
}
