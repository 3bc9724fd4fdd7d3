//! The setup file (`postern-setup.toml`): everything that makes a new box a gateway, in one file.
//!
//! ```toml
//! version = 1
//! document = '''..the whole postern.toml..'''
//!
//! [administrator]
//! passphrase = "…"                 # or passphrase_argon2id = "$argon2id$…"
//!
//! [disk]
//! recovery_key = "show"            # or "hide"
//!
//! [[file]]
//! path = "tls/chain.pem"           # below /etc/postern, in tls, dkim, keys or trust
//! text = """…"""
//! ```
//!
//! It is read as strictly as the document, all complaints at once, and no complaint repeats a
//! value: any of them may be a secret, also under a key that was misspelt. The document inside is
//! checked as always, by whoever knows the machine.

use std::path::PathBuf;

use super::complaint::Complaint;
use super::file::{Document, Entry, Section};
use crate::base::limits::{
    CREDENTIAL_OCTETS_MAX, PASSPHRASE_CHARS_MIN, SETUP_FILE_OCTETS_MAX, SETUP_FILES_MAX,
};
use crate::base::secret::Secret;

/// Folders below `/etc/postern` that setup files and exports fill.
pub const GIVEN_FOLDERS: [&str; 4] = ["tls", "dkim", "keys", "trust"];

/// The version of the file that this program reads.
const VERSION: u64 = 1;

/// The passphrase of the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Itself.
    Plain(Secret<String>),
    /// What verifies it: a PHC string of Argon2id.
    Hash(Secret<String>),
}

/// A file for `/etc/postern`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenFile {
    /// Below `/etc/postern`: `tls/chain.pem`.
    pub path: PathBuf,
    /// What is in it; may be a private key.
    pub octets: Secret<Vec<u8>>,
}

/// A setup file that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The passphrase of the administrator.
    pub passphrase: Given,
    /// A new recovery key of the disks is kept until the console has shown it, or forgotten.
    pub show_recovery_key: bool,
    /// The document, not checked yet.
    pub document: String,
    /// Files that it brings.
    pub files: Vec<GivenFile>,
}

/// Why a passphrase is not good enough; none: it is.
#[must_use]
pub fn weak(passphrase: &str) -> Option<String> {
    let chars = passphrase.chars().count();
    if chars < PASSPHRASE_CHARS_MIN {
        return Some(format!("has fewer than {PASSPHRASE_CHARS_MIN} characters"));
    }
    if passphrase.len() > CREDENTIAL_OCTETS_MAX {
        return Some(format!("has more than {CREDENTIAL_OCTETS_MAX} octets"));
    }
    if passphrase.chars().any(char::is_control) {
        return Some("has characters that no keyboard types".to_owned());
    }
    let mut seen: Vec<char> = passphrase.chars().collect();
    seen.sort_unstable();
    seen.dedup();
    (seen.len() < 5).then(|| "repeats too few characters".to_owned())
}

/// The document inside a setup file, whatever else is wrong with that.
#[must_use]
pub fn document_of(text: &str) -> Option<String> {
    let file = Document::parse(text);
    let mut top = file.top();
    top.find("document")?.text("").map(str::to_owned)
}

/// Reads a setup file.
///
/// # Errors
/// All complaints at once, in the order of the file, without any value of it.
pub fn read(text: &str) -> Result<Setup, Vec<Complaint>> {
    let file = Document::parse(text);
    file.desk().keep_secret();
    let setup = {
        let mut top = file.top();
        let setup = whole(&mut top);
        top.close();
        setup
    };
    let torn = file.torn();
    let (mut complaints, _) = file.into_desk().close();
    if torn {
        complaints.retain(|complaint| complaint.line.is_some());
    }
    match setup {
        Some(setup) if complaints.is_empty() => Ok(setup),
        _ => Err(complaints),
    }
}

fn whole(top: &mut Section<'_>) -> Option<Setup> {
    let version = "Write version = 1";
    if let Some(entry) = top.need("version", version)
        && let Some(number) = entry.number(version)
        && number != VERSION
    {
        entry.complain("is a version that this program does not know", version);
    }
    let remedy = "Write the whole postern.toml between ''' and ''', above the first [section]";
    let document =
        top.need("document", remedy).and_then(|entry| entry.text(remedy).map(str::to_owned));
    let passphrase = top
        .need("administrator", "Write [administrator] with a passphrase")
        .and_then(|entry| entry.section())
        .and_then(administrator);
    let show_recovery_key = disk(top);
    let files = files(top);
    Some(Setup { passphrase: passphrase?, show_recovery_key, document: document?, files })
}

fn administrator(mut section: Section<'_>) -> Option<Given> {
    let remedy = "Write a passphrase of twelve characters or more; several words are good";
    let plain = section.find("passphrase");
    let hash = section.find("passphrase_argon2id");
    let given = match (&plain, &hash) {
        (Some(_), Some(hash)) => {
            hash.complain("stands beside passphrase", "Give one of the two");
            None
        }
        (Some(plain), None) => plain.text(remedy).and_then(|text| {
            if let Some(problem) = weak(text) {
                plain.complain(problem, remedy);
                return None;
            }
            Some(Given::Plain(Secret::new(text.to_owned())))
        }),
        (None, Some(hash)) => hash_of(hash),
        (None, None) => {
            section.need("passphrase", remedy);
            None
        }
    };
    section.close();
    given
}

fn hash_of(entry: &Entry<'_>) -> Option<Given> {
    let remedy = "Write what `postern passphrase hash` prints: $argon2id$v=19$…";
    let text = entry.text(remedy)?;
    if text.starts_with("$argon2id$v=19$") && text.len() <= CREDENTIAL_OCTETS_MAX {
        return Some(Given::Hash(Secret::new(text.to_owned())));
    }
    entry.complain("is no Argon2id hash", remedy);
    None
}

fn disk(top: &mut Section<'_>) -> bool {
    let Some(mut section) = top.find("disk").and_then(|entry| entry.section()) else {
        return true;
    };
    let remedy = "Write \"show\" or \"hide\"";
    let shown = section.parsed("recovery_key", remedy, |word| match word {
        "show" => Ok(true),
        "hide" => Ok(false),
        _ => Err("is no word that is known here"),
    });
    section.close();
    shown.unwrap_or(true)
}

fn files(top: &mut Section<'_>) -> Vec<GivenFile> {
    let remedy = "Write [[file]] with path and text for each file";
    let Some(entry) = top.find("file") else { return Vec::new() };
    let items = entry.items(remedy);
    if items.len() > SETUP_FILES_MAX {
        entry.complain("has too many files", format!("Give at most {SETUP_FILES_MAX}"));
        return Vec::new();
    }
    let mut files: Vec<GivenFile> = Vec::new();
    for item in items {
        let Some(mut section) = item.section() else { continue };
        let path_remedy = "Write a path such as \"tls/chain.pem\" or \"dkim/p1r.pem\"";
        let path = section.needed("path", path_remedy, given_path);
        let text_remedy = "Write the file's text between \"\"\" and \"\"\"";
        let text = section.need("text", text_remedy).and_then(|entry| {
            let text = entry.text(text_remedy)?;
            if text.len() > SETUP_FILE_OCTETS_MAX {
                entry.complain("is too long", "Certificates and keys are a few KB");
                return None;
            }
            Some(Secret::new(text.as_bytes().to_vec()))
        });
        section.close();
        let (Some(path), Some(octets)) = (path, text) else { continue };
        if files.iter().any(|file| file.path == path) {
            item.complain("gives a file again that stands above", "Give every file once");
            continue;
        }
        files.push(GivenFile { path, octets });
    }
    files
}

/// A path below `/etc/postern` where a setup or an export may write.
///
/// # Errors
/// It leads anywhere else.
pub fn given_path(text: &str) -> Result<PathBuf, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = |name: &str| {
        !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(legal)
    };
    match text.split_once('/') {
        Some((folder, name)) if GIVEN_FOLDERS.contains(&folder) && good(name) => {
            Ok(PathBuf::from(text))
        }
        _ => Err(format!("is no file in one of {}", GIVEN_FOLDERS.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version = 1\ndocument = '''\nversion = 1\n'''\n\
        [administrator]\npassphrase = \"seven brown foxes\"\n\
        [[file]]\npath = \"tls/chain.pem\"\ntext = \"CERT\"\n";

    #[test]
    fn a_setup_file_is_read() {
        let setup = read(GOOD).unwrap();
        assert_eq!(setup.document, "version = 1\n");
        assert_eq!(setup.files[0].path, PathBuf::from("tls/chain.pem"));
        assert!(setup.show_recovery_key);
        assert!(matches!(&setup.passphrase, Given::Plain(p) if p.expose().ends_with("foxes")));
        assert!(!format!("{setup:?}").contains("foxes"));
    }

    #[test]
    fn all_complaints_come_at_once_and_none_shows_a_value() {
        let bad = "version = 2\nsecret_word = \"xyzzy1\"\n\
            [administrator]\npassphrase = \"xyzzy2\"\npasphrase = \"xyzzy3\"\n\
            [disk]\nrecovery_key = \"xyzzy4\"\n\
            [[file]]\npath = \"/etc/xyzzy5\"\ntext = [\"xyzzy6\"]\n\
            [[file]]\npath = \"tls/../xyzzy7\"\ntext = \"a\"\n\
            [[file]]\npath = \"dkim/a.pem\"\ntext = \"a\"\n\
            [[file]]\npath = \"dkim/a.pem\"\ntext = \"b\"\n";
        let complaints = read(bad).unwrap_err();
        let text: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        for key in [
            "version:",
            "secret_word:",
            "administrator.passphrase:",
            "administrator.pasphrase:",
            "disk.recovery_key:",
            "file[0].path:",
            "file[0].text:",
            "file[1].path:",
            "file[3]:",
            "document:",
        ] {
            assert!(text.contains(key), "{key} in\n{text}");
        }
        assert!(!text.contains("xyzzy"), "{text}");
    }

    #[test]
    fn a_passphrase_is_long_enough_and_not_one_letter() {
        assert!(weak("seven brown foxes").is_none());
        assert!(weak("short").is_some());
        assert!(weak("aaaaaaaaaaaaaaaaaaaa").is_some());
        assert!(weak("seven\u{7}brown foxes").is_some());
    }
}
