//! Checks of the ways out, and the parts of other interfaces.

use super::super::Surroundings;
use super::super::checked::{CheckConfig, NetworkConfig};
use super::super::file::Section;

/// What the ways out are checked for.
pub(super) fn checks(_top: &mut Section<'_>, _surroundings: &dyn Surroundings) -> CheckConfig {
    CheckConfig::default()
}

/// The parts that other interfaces play.
pub(super) fn network(_top: &mut Section<'_>) -> NetworkConfig {
    NetworkConfig::default()
}
