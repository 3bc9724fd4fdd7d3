//! Transport security.

use super::super::Surroundings;
use super::super::checked::TrustConfig;
use super::super::file::Section;

/// What the document says about DANE, MTA-STS, overrides and reports.
pub(super) fn trust(_top: &mut Section<'_>, _surroundings: &dyn Surroundings) -> TrustConfig {
    TrustConfig::default()
}
