//! `postern setup --boot`: before the network and the gateway start, an unfinished change is
//! finished or undone, and a setup file is looked for.
//!
//! | where | what |
//! |---|---|
//! | credential `postern.setup` | SMBIOS type 11 or `fw_cfg`; cannot be wiped; at most 1 MiB |
//! | `/efi/postern/postern-setup.toml` | the ESP |
//! | `postern-setup.toml` on a file system with the label POSTERNCFG | a stick |
//!
//! Its signature is beside it, with `.sig` behind its name, for a credential, too. (systemd passes
//! a unit 1 MiB of credentials in all; a signature is 64 octets, or these in base64.)
//!
//! They are looked at in this order until one is taken: one that was taken before, or is refused,
//! does not hide the next. Whatever is wrong with one, the box starts: the wizard on the console
//! must work then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::generations::Generations;
use super::hands::{Machine, Real, Starting};
use super::setup::{self, digest_of, is_known};
use super::trial::Trials;
use crate::base::fault::Fault;
use crate::base::limits::SETUP_OCTETS_MAX;
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::config::{Anywhere, read};
use crate::event::Event;
use crate::event::deed::Deed;
use crate::event::herald::Herald;
use crate::host::clock;
use crate::host::durable::{Readers, remove, replace, wipe};
use crate::host::mount::Stick;
use crate::host::paths::Paths;
use crate::store::audit::Audit;

const NAME: &str = "postern-setup.toml";
const ERROR_NAME: &str = "postern-setup.error.txt";
const CREDENTIAL: &str = "postern.setup";

/// What helps where a stick with the label has no file system that this box knows.
const STICK_REMEDY: &str = "Format the stick as FAT32 or exFAT with the label POSTERNCFG, and copy \
                            the file to it again";

/// How long a box without a configuration waits for a stick that the kernel has not seen yet.
const STICK_PATIENCE: Duration = Duration::from_secs(5);

/// Octets of a signature file: base64 of 64 octets, with room.
const SIGNATURE_OCTETS_MAX: u64 = 4096;

/// A place where a setup file may be.
#[derive(Clone, Copy, Debug)]
enum Place {
    Credential,
    Esp,
    Stick,
}

/// All places, in their order.
const PLACES: [Place; 3] = [Place::Credential, Place::Esp, Place::Stick];

impl Place {
    /// For people.
    fn name(self) -> &'static str {
        match self {
            Self::Credential => "a credential",
            Self::Esp => "the ESP",
            Self::Stick => "a stick",
        }
    }
}

/// A setup file that was found.
struct Found {
    place: Place,
    text: Secret<String>,
    signature: Option<Vec<u8>>,
    /// The file to wipe; a credential has none.
    path: Option<PathBuf>,
    /// Keeps the stick mounted.
    _stick: Option<Stick>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was none.
    Nothing,
    /// It was taken before and is wiped now.
    Known,
    /// It was taken; DNS records to publish.
    Taken(Vec<String>),
    /// It was refused, and why.
    Refused(Vec<String>),
}

/// Does everything that is to be done at boot.
///
/// # Errors
/// The state cannot be written: no disk, no rights.
pub fn run(
    paths: &Paths,
    credentials: Option<&Path>,
    herald: &Arc<Herald>,
) -> Result<Outcome, Fault> {
    let machine: Arc<dyn Machine> = Arc::new(Starting(Real::new(paths.clone())));
    let mut trials = Trials::new(paths.clone(), machine, herald.clone());
    trials.recover()?;
    let configured = paths.document().exists();
    let patience = if configured || !paths.is_real() { Duration::ZERO } else { STICK_PATIENCE };
    let (mut known, mut refused) = (false, Vec::new());
    for place in PLACES {
        let outcome = match look(paths, credentials, place, patience) {
            Ok(None) => continue,
            Ok(Some(found)) => {
                let outcome = consider(paths, &found, configured, &mut trials, herald);
                settle(&found, &outcome, configured, herald);
                outcome
            }
            Err(fault) => Outcome::Refused(vec![format!("{fault}. {STICK_REMEDY}")]),
        };
        record(paths, place, &outcome);
        match outcome {
            Outcome::Taken(dns) => return Ok(Outcome::Taken(dns)),
            Outcome::Known => known = true,
            Outcome::Refused(complaints) => {
                let (place, reason) = (place.name().to_owned(), complaints.join("; "));
                herald.tell(Event::SetupRefused { place, reason });
                refused.extend(complaints);
            }
            Outcome::Nothing => {}
        }
    }
    if refused.is_empty() {
        // What was refused once is not there any more.
        remove(&paths.setup_error())?;
        return Ok(if known { Outcome::Known } else { Outcome::Nothing });
    }
    replace(&paths.setup_error(), lines(&refused).as_bytes(), Readers::Owner)?;
    Ok(Outcome::Refused(refused))
}

/// What is done with the file itself.
fn settle(found: &Found, outcome: &Outcome, configured: bool, herald: &Arc<Herald>) {
    let Some(path) = &found.path else { return };
    match outcome {
        Outcome::Taken(_) | Outcome::Known => {
            let signature = with_suffix(path, ".sig");
            if let Err(fault) = wipe(path).and_then(|()| remove(&signature)) {
                // A stick that cannot be written, for example: it holds a passphrase.
                let fault = format!("the setup file is still there, remove it: {fault}");
                herald.tell(Event::FaultSeen { room: "setup".to_owned(), fault });
            }
            let _ = remove(&path.with_file_name(ERROR_NAME));
        }
        // On a configured box the file is left alone, and so is what is around it.
        Outcome::Refused(complaints) if !configured => {
            let error = path.with_file_name(ERROR_NAME);
            let _ = replace(&error, lines(complaints).as_bytes(), Readers::Owner);
        }
        Outcome::Refused(_) | Outcome::Nothing => {}
    }
}

/// Complaints as the editors of all systems show them.
fn lines(complaints: &[String]) -> String {
    complaints.join("\r\n") + "\r\n"
}

fn consider(
    paths: &Paths,
    found: &Found,
    configured: bool,
    trials: &mut Trials,
    herald: &Arc<Herald>,
) -> Outcome {
    let text = found.text.expose();
    if configured && is_known(paths, &digest_of(text)) {
        return Outcome::Known;
    }
    if configured && let Err(reason) = verify(paths, found) {
        return Outcome::Refused(vec![reason]);
    }
    let now = clock::wall();
    let by = format!("a setup file ({})", found.place.name());
    let prepared = match setup::prepare(paths, text, now) {
        Ok(prepared) => prepared,
        Err(complaints) => return Outcome::Refused(complaints),
    };
    match prepared.take(paths, trials, &by, now, None) {
        Ok(done) => {
            let (place, generation) = (found.place.name().to_owned(), done.generation);
            herald.tell(Event::SetupTaken { place, generation });
            Outcome::Taken(done.dns)
        }
        Err(trouble) => Outcome::Refused(vec![trouble.text]),
    }
}

/// Whether the file was signed by the key that the document in force names.
fn verify(paths: &Paths, found: &Found) -> Result<(), String> {
    let refused = "this box is configured: it takes a setup file only with a signature";
    let generations = Generations::new(paths.clone());
    let document = std::fs::read_to_string(paths.document())
        .or_else(|_| generations.document(generations.current()))
        .map_err(|fault| format!("{refused}, and its own document cannot be read: {fault}"))?;
    let key = read(&document, &Anywhere).ok().and_then(|reading| reading.config.setup.key);
    let Some(key) = key else {
        return Err(format!("{refused}, and its document names no key ([setup] key)"));
    };
    let Some(signature) = &found.signature else {
        return Err(format!("{refused} beside it ({NAME}.sig)"));
    };
    let key = STANDARD.decode(key).map_err(|_| "the key in [setup] is no base64".to_owned())?;
    UnparsedPublicKey::new(&ED25519, key)
        .verify(found.text.expose().as_bytes(), signature)
        .map_err(|_| "the signature of the setup file does not fit".to_owned())
}

/// The setup file in a place; none: there is none.
///
/// # Errors
/// There is a stick, and it cannot be mounted.
fn look(
    paths: &Paths,
    credentials: Option<&Path>,
    place: Place,
    patience: Duration,
) -> Result<Option<Found>, Fault> {
    match place {
        Place::Credential => {
            Ok(credentials.and_then(|folder| take(&folder.join(CREDENTIAL), place, None)))
        }
        Place::Esp => Ok(take(&paths.drop_folder().join(NAME), place, None)),
        Place::Stick => {
            let end = Instant::now() + patience;
            loop {
                if let Some(stick) = Stick::take(paths)? {
                    return Ok(take(&stick.folder().join(NAME), place, Some(stick)));
                }
                if Instant::now() >= end {
                    return Ok(None);
                }
                std::thread::sleep(Duration::from_millis(250));
            }
        }
    }
}

fn take(path: &Path, place: Place, stick: Option<Stick>) -> Option<Found> {
    if !path.exists() {
        return None;
    }
    // Too large to be one, or no file: refused with the complaints about an empty file.
    let text = bounded(path, SETUP_OCTETS_MAX).and_then(|octets| String::from_utf8(octets).ok());
    let text = Secret::new(text.unwrap_or_default());
    let signature = bounded(&with_suffix(path, ".sig"), SIGNATURE_OCTETS_MAX);
    let signature = signature.map(|octets| signature_of(&octets));
    let path = (!matches!(place, Place::Credential)).then(|| path.to_owned());
    Some(Found { place, text, signature, path, _stick: stick })
}

/// The octets of a file, if it is one and has at most so many. A pipe on a stick would wait for
/// somebody who writes into it.
fn bounded(path: &Path, octets_max: u64) -> Option<Vec<u8>> {
    let found = std::fs::metadata(path).ok()?;
    let good = found.is_file() && found.len() <= octets_max;
    if good { std::fs::read(path).ok() } else { None }
}

/// A signature as tools write it: 64 octets, or these in base64.
fn signature_of(octets: &[u8]) -> Vec<u8> {
    if octets.len() == 64 {
        return octets.to_vec();
    }
    let text: String = String::from_utf8_lossy(octets).split_whitespace().collect();
    STANDARD.decode(text).unwrap_or_default()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A setup file is a deed, whoever put it there.
fn record(paths: &Paths, place: Place, outcome: &Outcome) {
    let outcome = match outcome {
        Outcome::Nothing | Outcome::Known => return,
        Outcome::Taken(_) => "done".to_owned(),
        Outcome::Refused(complaints) => format!("refused: {}", complaints.join("; ")),
    };
    let deed = Deed {
        actor: "whoever has the box in his hands".to_owned(),
        origin: format!("a setup file, {}", place.name()),
        action: "setup".to_owned(),
        subject: String::new(),
        outcome: outcome.chars().take(4000).collect(),
    };
    let now: WallTime = clock::wall();
    if let Ok((mut audit, _)) = Audit::open(&paths.audit()) {
        let _ = audit.record(now, deed);
    }
}
