//! Pools: egresses that share mail.

use super::super::checked::{Egress, Member, Pool};
use super::super::file::Section;

/// The pools of the document, then one for each egress.
pub(super) fn pools(_top: &mut Section<'_>, egresses: &[Egress]) -> Vec<Pool> {
    let alone = |egress: &Egress| Pool {
        name: egress.name.clone(),
        members: vec![Member { egress: egress.name.clone(), weight: 1 }],
    };
    egresses.iter().map(alone).collect()
}
