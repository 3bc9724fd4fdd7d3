//! What the DNS must say before the first message leaves, as lines of zone files that a
//! terminal can show.

use crate::config::checked::Config;
use crate::host::paths::Paths;
use crate::sign::keys::DnsRecord;
use crate::sign::records::to_publish;

/// The records for a configuration whose keys are on the disk.
pub(super) fn of(config: &Config, paths: &Paths) -> Vec<String> {
    let (mut keys, mut lines) = (Vec::new(), Vec::new());
    for key in &config.outward().dkim {
        let pem = std::fs::read(paths.at(&key.file)).map_err(|cause| cause.to_string());
        match pem.and_then(|pem| DnsRecord::of(key, &pem)) {
            Ok(record) => keys.push(record),
            Err(problem) => {
                lines.push(format!("; {}._domainkey.{}: {problem}", key.selector, key.domain));
            }
        }
    }
    for record in to_publish(config, &keys) {
        lines.push(format!("; {}", record.what));
        lines.extend(record.zone_lines());
    }
    lines
}
