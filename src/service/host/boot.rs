//! `postern setup --boot`: before the network and the gateway start, an unfinished change is
//! finished or undone, and a setup file is looked for.
//!
//! | where | what |
//! |---|---|
//! | credential `postern.setup` | SMBIOS type 11 or `fw_cfg`; cannot be wiped |
//! | `/efi/postern/postern-setup.toml` | the ESP |
//! | `postern-setup.toml` on a file system with the label POSTERNCFG | a stick |
//!
//! The first that is there counts. Whatever is wrong with it, the box starts: the wizard on the
//! console must work then.

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

/// How long a box without a configuration waits for a stick that the kernel has not seen yet.
const STICK_PATIENCE: Duration = Duration::from_secs(5);

/// A setup file that was found.
struct Found {
    /// For people: `the ESP`.
    place: &'static str,
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
    let Some(found) = look(paths, credentials, patience) else { return Ok(Outcome::Nothing) };
    let outcome = consider(paths, &found, configured, &mut trials, herald);
    record(paths, found.place, &outcome);
    match &outcome {
        Outcome::Taken(_) | Outcome::Known => {
            if let Some(path) = &found.path {
                let signature = with_suffix(path, ".sig");
                if let Err(fault) = wipe(path).and_then(|()| remove(&signature)) {
                    // A stick that cannot be written, for example: it holds a passphrase.
                    let fault = format!("the setup file is still there, remove it: {fault}");
                    herald.tell(Event::FaultSeen { room: "setup".to_owned(), fault });
                }
                let _ = remove(&path.with_file_name(ERROR_NAME));
            }
        }
        Outcome::Refused(complaints) => {
            let reason = complaints.join("; ");
            herald.tell(Event::SetupRefused { place: found.place.to_owned(), reason });
            let text = complaints.join("\r\n") + "\r\n";
            replace(&paths.setup_error(), text.as_bytes(), Readers::Owner)?;
            // On a configured box the file is left alone, and so is what is around it.
            if let Some(path) = found.path.as_ref().filter(|_| !configured) {
                let _ = replace(&path.with_file_name(ERROR_NAME), text.as_bytes(), Readers::Owner);
            }
        }
        Outcome::Nothing => {}
    }
    Ok(outcome)
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
    let by = format!("a setup file ({})", found.place);
    let prepared = match setup::prepare(paths, text, now) {
        Ok(prepared) => prepared,
        Err(complaints) => return Outcome::Refused(complaints),
    };
    match prepared.take(paths, trials, &by, now, None) {
        Ok(done) => {
            let (place, generation) = (found.place.to_owned(), done.generation);
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

/// The first setup file that is there.
fn look(paths: &Paths, credentials: Option<&Path>, patience: Duration) -> Option<Found> {
    let credential = credentials.map(|folder| folder.join(CREDENTIAL));
    if let Some(path) = credential.filter(|path| path.exists()) {
        return take(&path, "a credential", false, None);
    }
    let esp = paths.drop_folder().join(NAME);
    if esp.exists() {
        return take(&esp, "the ESP", true, None);
    }
    let end = Instant::now() + patience;
    loop {
        if let Ok(Some(stick)) = Stick::take(paths) {
            let path = stick.folder().join(NAME);
            return if path.exists() { take(&path, "a stick", true, Some(stick)) } else { None };
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

fn take(path: &Path, place: &'static str, wiped: bool, stick: Option<Stick>) -> Option<Found> {
    let octets = std::fs::metadata(path).ok()?.len();
    let text = if octets > SETUP_OCTETS_MAX {
        // Too large to be one: refused with the complaints about an empty file.
        String::new()
    } else {
        std::fs::read_to_string(path).unwrap_or_default()
    };
    let signature = std::fs::read(with_suffix(path, ".sig")).ok().map(|octets| signature(&octets));
    let path = wiped.then(|| path.to_owned());
    Some(Found { place, text: Secret::new(text), signature, path, _stick: stick })
}

/// A signature as tools write it: 64 octets, or these in base64.
fn signature(octets: &[u8]) -> Vec<u8> {
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
fn record(paths: &Paths, place: &str, outcome: &Outcome) {
    let outcome = match outcome {
        Outcome::Nothing | Outcome::Known => return,
        Outcome::Taken(_) => "done".to_owned(),
        Outcome::Refused(complaints) => format!("refused: {}", complaints.join("; ")),
    };
    let deed = Deed {
        actor: "whoever has the box in his hands".to_owned(),
        origin: format!("a setup file, {place}"),
        action: "setup".to_owned(),
        subject: String::new(),
        outcome: outcome.chars().take(4000).collect(),
    };
    let now: WallTime = clock::wall();
    if let Ok((mut audit, _)) = Audit::open(&paths.audit()) {
        let _ = audit.record(now, deed);
    }
}
