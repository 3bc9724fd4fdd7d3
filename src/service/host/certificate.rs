//! A certificate that signs itself, for a gateway that has none yet.

use std::net::IpAddr;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};

use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::base::time::WallTime;
use crate::config::checked::Config;

/// How long it holds: applications pin it, and nobody renews what nobody issued.
const YEARS: i32 = 5;

/// A certificate and its key, both in PEM, for the gateway's name and the addresses it listens on.
///
/// # Errors
/// The library could not make them.
pub(super) fn make(config: &Config, now: WallTime) -> Result<(String, Secret<String>), Fault> {
    let name = config.hostname.as_str().to_owned();
    let fault = |cause: rcgen::Error| Fault::new("making a certificate for", &name, cause);
    let key = KeyPair::generate().map_err(fault)?;
    let mut params = CertificateParams::new(vec![name.clone()]).map_err(fault)?;
    let mut addresses: Vec<IpAddr> =
        config.listeners.iter().map(|listener| listener.address.ip()).collect();
    addresses.retain(|address| !address.is_unspecified());
    addresses.sort_unstable();
    addresses.dedup();
    params.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name.as_str());
    params.distinguished_name = subject;
    let (year, month, day) = date(now);
    // From the start of the year, for clocks that are behind; the 28th is in every month.
    params.not_before = date_time_ymd(year - i32::from(month == 1 && day == 1), 1, 1);
    params.not_after = date_time_ymd(year + YEARS, month, day.min(28));
    let certificate = params.self_signed(&key).map_err(fault)?;
    Ok((certificate.pem(), Secret::new(key.serialize_pem())))
}

fn date(now: WallTime) -> (i32, u8, u8) {
    let text = now.rfc3339();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    (
        part(0..4).parse().unwrap_or(2026),
        part(5..7).parse().unwrap_or(1),
        part(8..10).parse().unwrap_or(1),
    )
}
