//! Certificates and keys of the box, as the document names them.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::base::time::WallTime;
use crate::config::checked::{Config, DkimAlgorithm, DkimKey};
use crate::control::host::answer::{CertificateRow, CertificateSoonest, DkimRow, Papers};
use crate::host::paths::Paths;
use crate::net::papers::{Paper, read_pem};

/// Octets of a file of certificates that are looked at.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// All papers; what cannot be read is a note.
pub(super) fn all(paths: &Paths, config: &Config, now: WallTime) -> Papers {
    let mut papers = Papers { dkim: keys(paths, config, now), ..Papers::default() };
    if let Some(tls) = &config.tls {
        let listeners: Vec<&str> = config.listeners.iter().map(|l| l.name.as_str()).collect();
        let path = paths.at(&tls.certificate);
        match rows(&path, &listeners.join(", "), now) {
            Ok(rows) => papers.certificates.extend(rows),
            Err(why) => papers.notes.push(format!("{}: {why}", tls.certificate.display())),
        }
    }
    papers.certificates.sort_by_key(|row| row.not_after);
    papers
}

fn rows(path: &Path, listeners: &str, now: WallTime) -> Result<Vec<CertificateRow>, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_OCTETS_MAX {
        return Err("it is too large".to_owned());
    }
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let purpose = |place: usize| match place {
        0 => format!("listeners: {listeners}"),
        _ => "vouches for that of the listeners".to_owned(),
    };
    let row = |(place, paper): (usize, Paper)| CertificateRow {
        purpose: purpose(place),
        path: path.display().to_string(),
        days_left: paper.days_left(now),
        subject: paper.subject,
        names: paper.names,
        not_after: paper.not_after,
        key: paper.key,
    };
    Ok(read_pem(&text)?.into_iter().enumerate().map(row).collect())
}

fn keys(paths: &Paths, config: &Config, now: WallTime) -> Vec<DkimRow> {
    let row = |key: &DkimKey| {
        let written = fs::metadata(paths.at(&key.file)).and_then(|found| found.modified());
        let since = written.ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        DkimRow {
            domain: key.domain.to_string(),
            selector: key.selector.clone(),
            algorithm: word(key.algorithm).to_owned(),
            age_days: since.map(|at| now.unix_secs().saturating_sub(at.as_secs()) / 86_400),
        }
    };
    config.dkim.iter().map(row).collect()
}

fn word(algorithm: DkimAlgorithm) -> &'static str {
    match algorithm {
        DkimAlgorithm::RsaSha256 => "rsa-sha256",
        DkimAlgorithm::Ed25519Sha256 => "ed25519-sha256",
    }
}

/// The certificate that ends first.
pub(super) fn soonest(papers: &Papers) -> Option<CertificateSoonest> {
    let first = papers.certificates.iter().min_by_key(|row| row.not_after)?;
    let name = first.names.first().unwrap_or(&first.subject).clone();
    Some(CertificateSoonest { name, days_left: first.days_left })
}
