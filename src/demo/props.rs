//! The properties of the stage: folders, certificate, DKIM keys, password and configuration.
//!
//! What is secret is made new, or taken from the folder of an earlier run.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::config::checked::{DkimAlgorithm, DkimKey};
use crate::mail::address::Domain;
use crate::mail::source::Verifier;
use crate::sign::keys::{self, DnsRecord};
use crate::source::{Strength, new_secret, verifier_for};

/// Domain of the demonstration's application.
pub const DOMAIN: &str = "shop.example";
/// The address that it sends from.
pub const FROM: &str = "billing@shop.example";
/// User name of its source.
pub const USER: &str = "billing";
/// Selectors of its two keys.
const SELECTORS: [(&str, DkimAlgorithm); 2] =
    [("r1", DkimAlgorithm::RsaSha256), ("e1", DkimAlgorithm::Ed25519Sha256)];
/// A path of a Unix socket must fit into `sun_path` (108 octets with its end).
const SOCKET_PATH_OCTETS_MAX: usize = 100;

/// Everything that must exist before the gateway starts.
#[derive(Debug)]
pub struct Props {
    /// Where it all lies.
    pub folder: PathBuf,
    /// Delivered messages appear here.
    pub sink: PathBuf,
    /// The spool.
    pub spool: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// The certificate to trust.
    pub ca: PathBuf,
    /// Password of the source.
    pub password: Secret<String>,
    /// TXT records of the DKIM keys.
    pub records: Vec<DnsRecord>,
    verifier: Verifier,
    keys: Vec<DkimKey>,
}

impl Props {
    /// Makes what is missing in `folder` and reads what is there. `short` is a folder with a short
    /// path, for the control socket.
    ///
    /// # Errors
    /// The folder cannot be written, or an earlier run's secrets cannot be read.
    pub fn prepare(folder: &Path, short: &Path) -> Result<Self, Fault> {
        let keys_folder = folder.join("keys");
        let (sink, spool) = (folder.join("sink"), folder.join("spool"));
        for path in [folder, &keys_folder, &sink, &spool] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|e| Fault::new("making the folder", path.display(), e))?;
        }
        let password = kept(&keys_folder.join("password"), || {
            new_secret().map(|secret| secret.expose().clone())
        })?;
        let password = Secret::new(password);
        certificate(&keys_folder)?;
        let (mut keys, mut records) = (Vec::new(), Vec::new());
        for (selector, algorithm) in SELECTORS {
            let file = keys_folder.join(format!("dkim-{selector}.pem"));
            let pem = kept(&file, || keys::generate(algorithm).map(|pem| pem.expose().clone()))?;
            let domain = domain(DOMAIN)?;
            let key = DkimKey { domain, selector: selector.to_owned(), algorithm, file };
            let record = DnsRecord::of(&key, pem.as_bytes())
                .map_err(|cause| Fault::new("reading the key", key.file.display(), cause))?;
            records.push(record);
            keys.push(key);
        }
        let long = folder.join("control.sock").as_os_str().len() > SOCKET_PATH_OCTETS_MAX;
        let control = if long { short } else { folder }.join("control.sock");
        let verifier = verifier_for(&password, Strength::Generated)?;
        let ca = keys_folder.join("certificate.pem");
        let folder = folder.to_owned();
        Ok(Self { folder, sink, spool, control, ca, password, records, verifier, keys })
    }

    /// The configuration document, with the name server and the receiving host of this run.
    #[must_use]
    pub fn document(&self, names: SocketAddr, internet: SocketAddr) -> String {
        let keys: String = self.keys.iter().map(section).collect();
        let scram = self.verifier.scram_sha256.as_ref();
        let scram = scram.map_or_else(String::new, |keys| format!("scram_sha256 = {keys:?}\n"));
        format!(
            r#"# The configuration of this demonstration: a laboratory on loopback.
version = 1
hostname = "gateway.shop.example"
lab = true

[spool]
path = {spool}
ballast = "1MiB"
free_min = "16MiB"

[tls]
certificate = {ca}
key = {key}

[listener.submission]
address = "127.0.0.1:0"
kind = "submission"

[listener.submissions]
address = "127.0.0.1:0"
kind = "submissions"

[connections]
per_address_max = 11000

[source.billing]
proof = "password"
user = "{USER}"
pairs = [
    {{ reverse_path = "*@{DOMAIN}", from = "*@{DOMAIN}" }},
    {{ reverse_path = "<>", from = "*@{DOMAIN}" }},
]
owner = "owner@{DOMAIN}"

[[source.billing.password]]
argon2id = {argon:?}
{scram}{keys}
[egress.internet]
device = "lo"
ipv4 = "127.0.0.1"
resolvers = ["{names}"]
allow_networks = ["127.0.0.0/8"]
mx_port = {port}

# The demonstration's name server signs nothing.
[trust]
dane = "off"

# Impatient, so that retries can be watched.
[retry.transactional]
first = "4s"
longest = "20s"
lifetime = "10m"
delay_notice = "5m"

[control]
socket = {control}
"#,
            spool = quoted(&self.spool),
            ca = quoted(&self.ca),
            key = quoted(&self.folder.join("keys/key.pem")),
            argon = self.verifier.argon2id,
            port = internet.port(),
            control = quoted(&self.control),
        )
    }
}

/// The section of a key.
fn section(key: &DkimKey) -> String {
    let algorithm = match key.algorithm {
        DkimAlgorithm::RsaSha256 => "rsa-sha256",
        DkimAlgorithm::Ed25519Sha256 => "ed25519-sha256",
    };
    format!(
        "\n[[dkim]]\ndomain = \"{}\"\nselector = \"{}\"\nalgorithm = {algorithm:?}\nfile = {}\n",
        key.domain,
        key.selector,
        quoted(&key.file)
    )
}

/// A path as a TOML string; the escapes of JSON are those of TOML, too.
fn quoted(path: &Path) -> String {
    serde_json::json!(path.to_string_lossy()).to_string()
}

fn domain(text: &str) -> Result<Domain, Fault> {
    Domain::parse(text).map_err(|e| Fault::new("reading the domain", text, e))
}

/// The text of a file of an earlier run, or a new one that is written there for its owner only.
fn kept(path: &Path, make: impl FnOnce() -> Result<String, Fault>) -> Result<String, Fault> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Fault::new("reading", path.display(), e)),
    }
    let text = make()?;
    write_private(path, &text)?;
    Ok(text)
}

fn write_private(path: &Path, text: &str) -> Result<(), Fault> {
    let file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(|e| Fault::new("writing", path.display(), e))
}

/// A certificate for localhost that is its own authority.
fn certificate(folder: &Path) -> Result<(), Fault> {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    if certificate.exists() && key.exists() {
        return Ok(());
    }
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|e| Fault::new("making", "the certificate", e))?;
    write_private(&certificate, &made.cert.pem())?;
    write_private(&key, &made.signing_key.serialize_pem())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_set_once_and_its_document_is_good() {
        let folder = tempfile::tempdir().unwrap();
        let first = Props::prepare(folder.path(), folder.path()).unwrap();
        let again = Props::prepare(folder.path(), folder.path()).unwrap();
        assert_eq!(first.password, again.password);
        assert_eq!(first.records, again.records);
        let address = "127.0.0.1:5353".parse().unwrap();
        let document = first.document(address, address);
        let read = crate::config::read(&document, &crate::config::Anywhere);
        let reading = read.unwrap_or_else(|complaints| panic!("{complaints:?}"));
        assert_eq!(reading.config.dkim.len(), 2);
    }
}
