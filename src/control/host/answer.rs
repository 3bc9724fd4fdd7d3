//! What the host role answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::time::WallTime;
use crate::control::answer::{Checked, DifferenceRow, Page, Status, Trouble};
use crate::control::diagnose::Diagnosis;
use crate::event::deed::{Recorded, Verification};

/// Who the caller is to the host role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// May do everything: root, or after `login`.
    pub administrator: bool,
    /// The box has neither passphrase nor configuration: the caller may set it up.
    pub unclaimed: bool,
    /// A passphrase is set, so `login` can succeed.
    pub passphrase_set: bool,
    /// Seconds before the next `login` is looked at.
    pub login_wait_secs: u64,
    /// Version of the program.
    pub version: String,
    /// The name of the box.
    pub hostname: String,
}

/// A generation that waits for its confirmation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRow {
    /// The generation on trial.
    pub generation: u64,
    /// What comes back if nobody confirms; 0: no configuration.
    pub previous: u64,
    /// Seconds that are left.
    pub left_secs: u64,
    /// Who applied it.
    pub by: String,
}

/// A unit of the service manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRow {
    /// `postern.service`.
    pub name: String,
    /// `active`, `inactive`, `failed`, ...
    pub active: String,
    /// `running`, `listening`, `dead`, ...
    pub sub: String,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRow {
    /// `manage0`.
    pub name: String,
    /// Its hardware address.
    pub mac: String,
    /// `up`, `down`, ... as the kernel says.
    pub state: String,
    /// Addresses, without link-local ones.
    pub addresses: Vec<String>,
    /// The kernel's driver, if there is a device behind it.
    #[serde(default)]
    pub driver: Option<String>,
    /// Megabits a second, if there is a link that says so.
    #[serde(default)]
    pub speed_mbit: Option<u32>,
    /// The role that the configuration gives it.
    #[serde(default)]
    pub role: Option<String>,
    /// There is a link: a cable is in it, and somebody at its other end.
    #[serde(default)]
    pub carrier: bool,
}

/// How the machine is.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own on the wire")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Version of the program.
    pub version: String,
    /// Version of the image; none: no appliance but a machine with Postern on it.
    pub image_version: Option<String>,
    /// The name of the box.
    pub hostname: String,
    /// There is a configuration.
    pub configured: bool,
    /// There is an administrator's passphrase.
    pub passphrase_set: bool,
    /// The generation in force; 0: none.
    pub generation: u64,
    /// The document on disk is not the one of that generation: somebody edited it by hand.
    pub edited_by_hand: bool,
    /// What waits for its confirmation.
    pub pending: Option<PendingRow>,
    /// Units of ours.
    pub units: Vec<UnitRow>,
    /// Interfaces.
    pub links: Vec<LinkRow>,
    /// The gateway's own state by its control socket: `running`, ..; or why there is none.
    pub gateway: String,
    /// Messages that wait in the spool, if the gateway answers.
    pub queued: Option<u64>,
    /// Seconds since the machine started.
    pub uptime_secs: u64,
    /// Average load of the last minute, in hundredths.
    pub load_hundredths: u64,
    /// Octets of memory that are available, and all.
    pub memory_available_octets: u64,
    /// All memory.
    pub memory_octets: u64,
    /// Octets free on the state partition.
    pub state_free_octets: u64,
    /// Octets free on the spool's partition.
    pub spool_free_octets: u64,
    /// What the health check found last, as it wrote it.
    pub health: Option<Value>,
    /// How the update stands, as the updater wrote it.
    pub update: Option<Value>,
    /// What somebody should know: no passphrase, refused setup file, disk without encryption.
    pub notices: Vec<String>,
    /// Now, by the machine's clock.
    pub now: WallTime,
    /// All of the state partition; 0: not known.
    #[serde(default)]
    pub state_octets: u64,
    /// All of the spool's partition; 0: not known.
    #[serde(default)]
    pub spool_octets: u64,
    /// The gateway's own status, if it answers: what everybody may see who stands before the box.
    #[serde(default)]
    pub mail: Option<Box<Status>>,
    /// Age of the message that waits longest.
    #[serde(default)]
    pub oldest_secs: Option<u64>,
    /// The console shows strangers only whether the box is healthy.
    #[serde(default)]
    pub privacy: bool,
    /// The console's language, `en`, `de`, ..; empty: not configured.
    #[serde(default)]
    pub language: String,
    /// The warmest sensor in degrees Celsius; none: there is none.
    #[serde(default)]
    pub temperature_celsius: Option<i32>,
    /// The slot of the image that runs, by its label; none: no appliance.
    #[serde(default)]
    pub slot: Option<String>,
    /// The certificate that ends first.
    #[serde(default)]
    pub certificate_soonest: Option<CertificateSoonest>,
}

/// The certificate that ends first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSoonest {
    /// What it is for.
    pub name: String,
    /// Days that are left; below zero: since so many days it is over.
    pub days_left: i64,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRow {
    /// What it is for: the listeners that show it.
    pub purpose: String,
    /// Its file.
    pub path: String,
    /// Whose it is.
    pub subject: String,
    /// The names that it is for.
    pub names: Vec<String>,
    /// When it ends.
    pub not_after: WallTime,
    /// Days that are left; below zero: since so many days it is over.
    pub days_left: i64,
    /// `ECDSA P-256`, `RSA 2048`, ...
    pub key: String,
}

/// A DKIM key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DkimRow {
    /// The domain that signs.
    pub domain: String,
    /// Its selector.
    pub selector: String,
    /// `rsa-sha256`, `ed25519-sha256`.
    pub algorithm: String,
    /// Days since the file of the key was written.
    pub age_days: Option<u64>,
}

/// Certificates and keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Papers {
    /// Certificates, the one that ends first before the others.
    pub certificates: Vec<CertificateRow>,
    /// DKIM keys.
    pub dkim: Vec<DkimRow>,
    /// What cannot be read, and why.
    pub notes: Vec<String>,
}

/// A generation of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRow {
    /// Its number.
    pub generation: u64,
    /// When it was applied.
    pub at: WallTime,
    /// Who did it.
    pub by: String,
    /// Why.
    pub comment: String,
    /// `in force`, `on trial`, `taken back`, or nothing.
    pub state: String,
}

/// A document that was put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The new generation.
    pub generation: u64,
    /// The one before; 0: none.
    pub previous: u64,
    /// Must be confirmed within so many seconds; none: final.
    pub confirm_secs: Option<u64>,
    /// What was done and what should be known.
    pub notes: Vec<String>,
}

/// What setup did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetUp {
    /// It is good.
    pub good: bool,
    /// Why not, all at once.
    pub complaints: Vec<String>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<String>,
    /// The generation that was made; 0: none.
    pub generation: u64,
    /// Files that were made because nobody gave them.
    pub made: Vec<String>,
    /// DNS records to publish, a zone line each.
    pub dns: Vec<String>,
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The name to store it under.
    pub name: String,
    /// Its octets in base64; none: it is on the stick.
    pub data: Option<String>,
    /// Octets of the file.
    pub octets: u64,
}

/// What came of bringing an export back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// What it changes in the document.
    pub differences: Vec<DifferenceRow>,
    /// Files that it brings.
    pub files: Vec<String>,
    /// What was applied; none: only checked.
    pub applied: Option<Applied>,
}

/// The name of the box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// As the kernel has it.
    pub kernel: String,
    /// As the document has it.
    pub document: Option<String>,
}

/// An answer. The form on the wire is `{"answer": "status", "data": {..}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "data", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the types say it")]
pub enum HostAnswer {
    Welcome(Welcome),
    Status(Box<HostStatus>),
    /// Done; a word about it.
    Done(String),
    /// A text: a document, DNS records.
    Text(String),
    SetUp(SetUp),
    Checked(Checked),
    Differences(Vec<DifferenceRow>),
    Applied(Applied),
    History(Vec<GenerationRow>),
    /// What the updater said.
    Update(Value),
    Delivered(Delivered),
    Imported(Imported),
    Names(Names),
    Ports(Vec<LinkRow>),
    Certificates(Papers),
    Diagnosed(Diagnosis),
    Audit(Page<Recorded>),
    Verified(Verification),
    /// The gateway's own answer, as the control socket gave it.
    Relayed(Value),
    Trouble(Trouble),
}
