//! Providers: what receivers bear.

use super::super::checked::ProviderRule;
use super::super::file::Section;

/// The document's rules, then the built-in ones.
pub(super) fn providers(_top: &mut Section<'_>) -> Vec<ProviderRule> {
    Vec::new()
}
