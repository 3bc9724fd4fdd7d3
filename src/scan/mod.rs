//! Clear: is the content fit to be accepted?
//!
//! ```text
//! Permitted ──► structure (bounds) ──► engines, in order ──► Cleared
//! ```
//!
//! The structure of the MIME parts is bounded *before* anything else reads them: no engine or
//! library ever sees a bomb. Engines that look at what is inside are added as files here, each
//! one function from [`Permitted`] to a refusal or nothing, called by [`clear`] in order of cost.

pub mod content_type;
pub mod structure;

use crate::mail::stage::{Cleared, Permitted};
use crate::smtp::reply::Refusal;

/// Looks at the content of `permitted`.
///
/// # Errors
/// The refusal of the first examination that found something.
pub fn clear(permitted: Permitted) -> Result<Cleared, Refusal> {
    structure::measure(&permitted.message().content)?;
    Ok(Cleared::mint(permitted))
}
