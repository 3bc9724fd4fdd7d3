//! From a pool to the member that carries: its home, or whoever stands in.

use super::approach::{Approached, Setback, approach};
use super::{Context, ours};
use crate::config::checked::Config;
use crate::mail::address::Domain;
use crate::mail::answer::Phase;
use crate::mail::way::Way;
use crate::route::trust::Wish;
use crate::service::post::{CarrierId, Desk};
use crate::service::ways::{Standstill, Ways};

/// Finds a host of `domain` that is ready for a transaction, by the most wanted member of the pool
/// that may carry now. A member that turns out to be unwell is followed by the next one; nobody's
/// attempt is counted for it.
pub(super) async fn find<D: Desk>(
    context: &Context,
    config: &Config,
    (domain, way): (&Domain, &Way),
    wish: Wish,
    desk: &D,
    carrier: CarrierId,
) -> Result<Approached, Setback> {
    let members = match context.ways.members(way, domain) {
        Ok(members) => members,
        Err(Standstill { reason, .. }) => return Err(closed(&reason, &way.home)),
    };
    let mut barred: Option<Standstill> = None;
    let mut unwell: Option<Setback> = None;
    for member in &members {
        match approach(context, config, domain, member, wish, desk, carrier).await {
            Ok(Approached::Barred(standstill)) => {
                // The first one that is free again decides when to look again.
                let sooner = barred.as_ref().is_none_or(|known| standstill.wait < known.wait);
                barred = if sooner { Some(standstill) } else { barred };
            }
            Err(setback) if setback.phase == Phase::Egress => {
                if context.ways.is_half(member) {
                    // Whole, but not in the family that this domain's hosts have.
                    let (reason, wait) = (setback.reply.to_string(), Some(Ways::half_wait()));
                    barred.get_or_insert(Standstill { reason, wait });
                }
                unwell = Some(setback);
            }
            other => return other,
        }
    }
    match (barred, unwell) {
        (Some(standstill), _) => Ok(Approached::Barred(standstill)),
        (None, Some(setback)) => Err(setback),
        (None, None) => Err(closed("no member of the pool may carry", &way.home)),
    }
}

/// Our own way is closed: no attempt.
fn closed(reason: &str, egress: &str) -> Setback {
    Setback {
        phase: Phase::Egress,
        reply: ours((4, 4, 1), &format!("egress suspended: {reason}")),
        relay: "none".to_owned(),
        egress: egress.to_owned(),
    }
}
