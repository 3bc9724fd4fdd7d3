//! LUKS2: is a partition encrypted, who can open it, and opening it.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::Places;
use super::consoles::News;
use super::programs::{Called, Programs};
use crate::base::fault::Fault;
use crate::base::secret::Secret;

/// The first octets of a LUKS header.
const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// PCR 7: the state of Secure Boot and who signed what ran. Not the kernel itself, or every update
/// would need the recovery key.
pub(super) const PCRS: &str = "--tpm2-pcrs=7";
/// cryptsetup's exit code for a passphrase that opens nothing (cryptsetup(8)).
const WRONG_KEY: i32 = 2;
/// A recovery key has so many letters of the modified hexadecimal alphabet, in groups of eight
/// (systemd-cryptenroll(1)).
const KEY_LETTERS: usize = 64;
const KEY_GROUP: usize = 8;

/// A partition that holds a file system, plain or encrypted.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    /// `state` or `spool`.
    pub(super) name: &'static str,
    /// The partition's node.
    pub(super) node: PathBuf,
    /// Does it begin with a LUKS header?
    pub(super) encrypted: bool,
}

impl Volume {
    /// Looks at the partition.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn at(name: &'static str, node: &str) -> Result<Self, Fault> {
        let mut start = [0; MAGIC.len()];
        File::open(node)
            .and_then(|mut file| file.read_exact(&mut start))
            .map_err(|cause| Fault::new("reading", node, cause))?;
        Ok(Self { name, node: PathBuf::from(node), encrypted: start == MAGIC })
    }

    fn device(&self) -> String {
        self.node.to_string_lossy().into_owned()
    }
}

/// The device with the file system. The TPM opens it; if it refuses (Secure Boot was changed, the
/// disk sits in another machine), whoever stands at the console is asked for the recovery key, once
/// for both disks, and each is sealed to the machine as it is now.
///
/// # Errors
/// It cannot be opened.
pub(super) fn open(
    places: &Places,
    programs: &impl Programs,
    volume: &Volume,
    typed: &mut Option<Secret<String>>,
    news: &mut News,
) -> Result<PathBuf, Fault> {
    if !volume.encrypted {
        return Ok(volume.node.clone());
    }
    let name = format!("postern-{}", volume.name);
    let opened = PathBuf::from("/dev/mapper").join(&name);
    if !places.under_root("/dev/mapper").join(&name).exists() {
        let device = volume.device();
        // Without a question of its own: ours is put once, and what is typed is needed again.
        let options = "luks,tpm2-device=auto,tries=0,headless=yes,discard";
        let words = ["attach", &name, &device, "-", options];
        if programs.call(&Called::new("systemd-cryptsetup", &words))?.code != 0 {
            let key = open_by_key(programs, &name, &device, typed.take())?;
            seal(places, programs, volume, &key, news);
            *typed = Some(key);
        }
    }
    // Does nothing unless the partition has grown.
    programs.call(&Called::new("cryptsetup", &["resize", "--batch-mode", &name]))?;
    Ok(opened)
}

/// Opens a disk by the key that opened the other one, or by what a person types, and gives it.
fn open_by_key(
    programs: &impl Programs,
    name: &str,
    device: &str,
    mut known: Option<Secret<String>>,
) -> Result<Secret<String>, Fault> {
    let mut question = "The TPM does not open the disks of this box. Recovery key:";
    loop {
        let key = match known.take() {
            Some(key) => key,
            None => ask(programs, question)?,
        };
        let options = ["--type=luks2", "--allow-discards", "--batch-mode", "--key-file=-"];
        let words = [&["open"], &options[..], &[device, name]].concat();
        let ended = programs.call(&Called::new("cryptsetup", &words).reading(key.expose()))?;
        match ended.code {
            0 => return Ok(key),
            WRONG_KEY => question = "That key does not open them. Recovery key:",
            _ => return Err(ended.fault()),
        }
    }
}

/// Asks whoever sits at a console.
fn ask(programs: &impl Programs, question: &str) -> Result<Secret<String>, Fault> {
    // No time limit: a box that waits for its key waits until somebody comes.
    let words = ["--timeout=0", "--id=postern-disks", "--icon=drive-harddisk", question];
    loop {
        let said = programs.call(&Called::new("systemd-ask-password", &words))?.well()?;
        let key = normal(Secret::new(said).expose());
        if !key.is_empty() {
            return Ok(Secret::new(key));
        }
    }
}

/// A recovery key as systemd made it, however it was typed; anything else as it was typed, because
/// disks may have a passphrase, too.
fn normal(typed: &str) -> String {
    let typed = typed.trim();
    let letters: Vec<char> = typed.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if letters.len() != KEY_LETTERS || !letters.iter().all(char::is_ascii_alphabetic) {
        return typed.to_owned();
    }
    let group = |letters: &[char]| letters.iter().map(char::to_ascii_lowercase).collect();
    let groups: Vec<String> = letters.chunks(KEY_GROUP).map(group).collect();
    groups.join("-")
}

/// Seals a disk to the TPM as it measures now: whoever has the recovery key says that this machine
/// is right, and the next start asks for nothing. Only told if it fails: the disk is open.
fn seal(
    places: &Places,
    programs: &impl Programs,
    volume: &Volume,
    key: &Secret<String>,
    news: &mut News,
) {
    let name = volume.name;
    let text = if super::has_tpm(places) {
        match seal_anew(programs, &volume.device(), key) {
            Ok(()) => "it is sealed to this machine as it is now".to_owned(),
            Err(fault) => format!("it cannot be sealed anew, each start asks again: {fault}"),
        }
    } else {
        "this machine has no TPM 2.0, each start asks again".to_owned()
    };
    news.tell(places, format!("{name} was opened by the recovery key; {text}"));
}

/// The slot goes first, in a call of its own: systemd-cryptenroll 257 compares the registers with
/// those of the slots that are there, not the TPM, and with another TPM of the same registers it
/// would do nothing ("already enrolled") and report success.
fn seal_anew(programs: &impl Programs, device: &str, key: &Secret<String>) -> Result<(), Fault> {
    programs.call(&Called::new("systemd-cryptenroll", &["--wipe-slot=tpm2", device]))?.well()?;
    let words = ["--tpm2-device=auto", PCRS, device];
    let call = Called::new("systemd-cryptenroll", &words).with("PASSWORD", key.expose());
    programs.call(&call)?.well().map(|_| ())
}

/// Whether a volume has a recovery key.
///
/// # Errors
/// Its header cannot be read.
pub(super) fn has_recovery_key(programs: &impl Programs, volume: &Volume) -> Result<bool, Fault> {
    let slots = programs.call(&Called::new("systemd-cryptenroll", &[&volume.device()]))?.well()?;
    Ok(slots.lines().any(|line| line.ends_with("recovery") || line.ends_with("password")))
}

/// A new recovery key: systemd makes it for the first volume, the others get the same one, so that
/// a person keeps one line of text.
///
/// # Errors
/// The TPM does not open one of them, or a program fails.
pub(super) fn new_recovery_key(
    programs: &impl Programs,
    volumes: &[&Volume],
) -> Result<String, Fault> {
    let mut key = String::new();
    for volume in volumes {
        let device = volume.device();
        let mut words = vec!["--unlock-tpm2-device=auto", "--wipe-slot=recovery,password"];
        if key.is_empty() {
            words.extend(["--recovery-key", &device]);
            let said = programs.call(&Called::new("systemd-cryptenroll", &words))?.well()?;
            said.trim().clone_into(&mut key);
        } else {
            words.extend(["--password", &device]);
            let call = Called::new("systemd-cryptenroll", &words).with("NEWPASSWORD", &key);
            programs.call(&call)?.well()?;
        }
    }
    if key.is_empty() {
        return Err(Fault::new("making", "a recovery key", "systemd-cryptenroll printed none"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_however_it_is_typed() {
        let key = ["cbdefghi"; 8].join("-");
        assert_eq!(normal(&format!(" {}\n", key.to_uppercase())), key);
        assert_eq!(normal(&key.replace('-', "")), key);
        assert_eq!(normal(&key.replace('-', " ")), key);
        assert_eq!(normal("a passphrase - of mine\n"), "a passphrase - of mine");
    }
}
