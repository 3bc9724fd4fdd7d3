//! The builder's side of updates: release keys and signed bundles.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::BundleArguments;
use super::{Ending, complain, print};
use crate::base::fault::Fault;
use crate::base::time::WallTime;
use crate::host::clock;
use crate::host::slots::shelf::member;
use crate::service::update::formats;
use crate::update::bundle::{BLOCK, MANIFEST, header, padding, signature_name};
use crate::update::keys::{SIGNATURES_NEEDED, SecretKey, add};
use crate::update::manifest::{Files, Manifest, Names, PRODUCT, Sha256, compatible, unhex};

/// Keys of a set: one may be lost, and one may be stolen.
const KEYS: usize = 3;

/// How long a release is offered unless the builder says otherwise.
const OFFERED_MILLIS: u64 = 365 * 86_400 * 1000;

/// `postern update keygen DIR`.
pub(super) fn keygen(dir: &Path, json: bool) -> Ending {
    let fault = |error: io::Error| Fault::new("writing", dir.display(), error);
    let written = || {
        fs::create_dir_all(dir).map_err(fault)?;
        let mut made = Vec::new();
        for number in 1..=KEYS {
            let secret =
                SecretKey::generate().map_err(|why| Fault::new("making", "a release key", why))?;
            let pem = secret.expose().as_bytes();
            let public = SecretKey::read(pem)
                .map_err(|why| Fault::new("reading", "a release key", why))?
                .public();
            let mut open = OpenOptions::new();
            let path = dir.join(format!("release-{number}.pem"));
            let mut file =
                open.write(true).create_new(true).mode(0o600).open(&path).map_err(fault)?;
            file.write_all(pem).and_then(|()| file.sync_all()).map_err(fault)?;
            fs::write(path.with_extension("pub"), public.pem()).map_err(fault)?;
            made.push((path, public.id().to_string()));
        }
        Ok(made)
    };
    let keys: Result<Vec<(PathBuf, String)>, Fault> = written();
    match keys {
        Err(fault) => failed(&fault),
        Ok(keys) if json => {
            let rows: Vec<_> =
                keys.iter().map(|(path, id)| json!({ "file": path, "key": id })).collect();
            print(&format!("{:#}\n", json!(rows)));
            Ending::Done
        }
        Ok(keys) => {
            for (path, id) in keys {
                print(&format!("{}  {id}\n", path.display()));
            }
            print("Keep each in another place; two of them make a release.\n");
            Ending::Done
        }
    }
}

/// `postern update bundle ..`.
pub(super) fn bundle(arguments: &BundleArguments, json: bool) -> Ending {
    match made(arguments) {
        Err(fault) => failed(&fault),
        Ok((manifest, octets)) => {
            let version = manifest.version.to_string();
            let out = arguments.out.display().to_string();
            let missing = missing(arguments.keys.len());
            if json {
                let made = json!({
                    "file": out, "version": version, "octets": octets, "missing": missing,
                });
                print(&format!("{made:#}\n"));
            } else {
                print(&format!("{out}: {version}, {octets} octets\n{}", wanted(missing)));
            }
            Ending::Done
        }
    }
}

/// Signatures that a bundle with `present` ones still needs.
pub(super) fn missing(present: usize) -> usize {
    SIGNATURES_NEEDED.saturating_sub(present)
}

/// What is to be done before a machine takes it; nothing if that is nothing.
pub(super) fn wanted(missing: usize) -> String {
    if missing == 0 {
        return String::new();
    }
    format!(
        "No machine takes it yet: {missing} more of {SIGNATURES_NEEDED} signatures are needed \
         (`postern update sign` where another release key is kept).\n"
    )
}

pub(super) fn failed(fault: &Fault) -> Ending {
    complain(&fault.to_string());
    Ending::Failed
}

fn made(arguments: &BundleArguments) -> Result<(Manifest, u64), Fault> {
    let manifest = manifest(arguments)?;
    let octets = manifest.write();
    let signatures = signatures(arguments, &octets)?;
    let out = &arguments.out;
    let fault = |error: io::Error| Fault::new("writing", out.display(), error);
    let mtime = manifest.made.unix_secs();
    let mut file = io::BufWriter::new(File::create(out).map_err(fault)?);
    let mut written = head(&mut file, &octets, &signatures, mtime).map_err(fault)?;
    let files = &manifest.files;
    let sources = [
        (&files.uki, arguments.uki.clone()),
        (&files.root, packed(&arguments.root)),
        (&files.verity, packed(&arguments.verity)),
    ];
    for (member, source) in sources {
        let head = header(&member.name, member.octets, mtime)
            .map_err(|cause| Fault::new("writing", &member.name, cause))?;
        let mut copy = || {
            file.write_all(&head)?;
            let copied = io::copy(&mut File::open(&source)?, &mut file)?;
            if copied != member.octets {
                return Err(io::Error::other("it has changed while it was read"));
            }
            file.write_all(&vec![0; padding(copied)])
        };
        copy().map_err(fault)?;
        written += BLOCK as u64 + member.octets + padding(member.octets) as u64;
    }
    file.write_all(&[0; 2 * BLOCK]).and_then(|()| file.flush()).map_err(fault)?;
    if let Some(folder) = &arguments.offer {
        offer(folder, &octets, &signatures)?;
    }
    Ok((manifest, written + 2 * BLOCK as u64))
}

/// What stands before the files: the manifest and its signatures. Returns its octets.
pub(super) fn head(
    file: &mut impl Write,
    manifest: &[u8],
    signatures: &[Vec<u8>],
    mtime_secs: u64,
) -> io::Result<u64> {
    let mut written = small(file, MANIFEST, manifest, mtime_secs)?;
    for (number, signature) in (1..).zip(signatures) {
        written += small(file, &signature_name(number), signature, mtime_secs)?;
    }
    Ok(written)
}

fn small(file: &mut impl Write, name: &str, octets: &[u8], mtime: u64) -> io::Result<u64> {
    let length = octets.len() as u64;
    let head = header(name, length, mtime).map_err(io::Error::other)?;
    file.write_all(&head)?;
    file.write_all(octets)?;
    file.write_all(&vec![0; padding(length)])?;
    Ok(BLOCK as u64 + length + padding(length) as u64)
}

/// As a server offers it: `URL/CHANNEL/manifest.json` and signatures beside the bundle.
pub(super) fn offer(folder: &Path, manifest: &[u8], signatures: &[Vec<u8>]) -> Result<(), Fault> {
    let write = || {
        fs::create_dir_all(folder)?;
        fs::write(folder.join(MANIFEST), manifest)?;
        for (number, signature) in (1..).zip(signatures) {
            fs::write(folder.join(signature_name(number)), signature)?;
        }
        Ok(())
    };
    write().map_err(|error: io::Error| Fault::new("writing", folder.display(), error))
}

/// What travels of a raw file.
fn packed(raw: &Path) -> PathBuf {
    let mut name = raw.as_os_str().to_owned();
    name.push(".xz");
    PathBuf::from(name)
}

fn manifest(arguments: &BundleArguments) -> Result<Manifest, Fault> {
    let root_hash = unhex(&arguments.root_hash).map(Sha256).ok_or_else(|| {
        Fault::new("reading", "--root-hash", "it is no SHA-256 in lower-case hex")
    })?;
    let made = arguments.made.or_else(source_date).unwrap_or_else(clock::wall);
    let expires = arguments.expires.unwrap_or(WallTime(made.0.saturating_add(OFFERED_MILLIS)));
    let names = Names::new(&arguments.release, &root_hash);
    let sbom = match &arguments.sbom {
        None => None,
        Some(path) => Some(Sha256::of(
            &fs::read(path).map_err(|error| Fault::new("reading", path.display(), error))?,
        )),
    };
    let manifest = Manifest {
        format: 1,
        product: PRODUCT.to_owned(),
        compatible: arguments.compatible.clone().unwrap_or_else(compatible),
        version: arguments.release.clone(),
        min_version: arguments.min_version.clone(),
        floor: arguments.floor.clone(),
        formats: formats(),
        made,
        expires,
        root_hash,
        files: Files {
            uki: member(&names.uki, &arguments.uki, &arguments.uki)?,
            root: member(&names.root, &packed(&arguments.root), &arguments.root)?,
            verity: member(&names.verity, &packed(&arguments.verity), &arguments.verity)?,
        },
        sbom,
    };
    // What a machine would refuse is not signed.
    Manifest::read(&manifest.write())
        .map_err(|cause| Fault::new("checking", "the manifest", cause))?;
    Ok(manifest)
}

/// The builder's date, as reproducible-builds.org has it.
fn source_date() -> Option<WallTime> {
    let secs: u64 = std::env::var("SOURCE_DATE_EPOCH").ok()?.parse().ok()?;
    secs.checked_mul(1000).map(WallTime)
}

/// Signatures by all keys, in the order in which they were named.
fn signatures(arguments: &BundleArguments, octets: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut signatures = Vec::new();
    for path in &arguments.keys {
        let key = secret_key(path)?;
        add(octets, &mut signatures, &key)
            .map_err(|why| Fault::new("signing with", path.display(), why))?;
    }
    Ok(signatures)
}

/// A secret release key.
pub(super) fn secret_key(path: &Path) -> Result<SecretKey, Fault> {
    let fault = |cause: String| Fault::new("reading", path.display(), cause);
    let pem = zeroize::Zeroizing::new(fs::read(path).map_err(|e| fault(e.to_string()))?);
    SecretKey::read(&pem).map_err(fault)
}
