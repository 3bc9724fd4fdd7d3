//! At MAIL: what a source gets of the priority (RFC 6710) and the deadline (RFC 2852) that it asks
//! for.
//!
//! Everybody may stand back; whoever wants to be put before others needs the administrator's word.
//! A priority is granted as far as that goes, because mail that comes later than it might is still
//! mail; a deadline is granted or refused, because half a deadline is none.

use std::time::Duration;

use super::refusals;
use crate::base::time::WallTime;
use crate::mail::envelope::{ByMode, DeliverBy};
use crate::mail::source::{Deadlines, Source};
use crate::smtp::parameters::By;
use crate::smtp::reply::Refusal;
use crate::smtp::server::ask::{Grants, Wishes};

/// What `source` gets of `wishes`, said at `now`.
///
/// # Errors
/// `deadline-not-granted` (555, RFC 2852 section 4).
pub fn grant(source: &Source, wishes: Wishes, now: WallTime) -> Result<Grants, Refusal> {
    let ceiling = source.priority_max.unwrap_or(0);
    let priority = wishes.priority.unwrap_or(0).min(ceiling);
    let spoken = wishes.priority.is_some() || priority != 0;
    let deliver_by = match (wishes.by, source.deliver_by) {
        (None, _) => None,
        (Some(_), Deadlines::Refuse) => return Err(refusals::DEADLINE_NOT_GRANTED),
        (Some(by), grant) => Some(deadline(by, grant == Deadlines::Handover, now)),
    };
    Ok(Grants { priority: spoken.then_some(priority), deliver_by })
}

/// After the content: is there still time? A sender that is told now need not read a report.
///
/// # Errors
/// `deadline-passed` (550 5.4.7, RFC 2852 section 3).
pub fn permit_deadline(deliver_by: Option<DeliverBy>, now: WallTime) -> Result<(), Refusal> {
    match deliver_by {
        Some(deliver_by) if deliver_by.is_dead(now) => Err(refusals::DEADLINE_PASSED),
        _ => Ok(()),
    }
}

/// The moment that a number of seconds from now stands for (RFC 2852 section 4).
fn deadline(by: By, handover: bool, now: WallTime) -> DeliverBy {
    let span = Duration::from_secs(u64::from(by.secs.unsigned_abs()));
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let deadline =
        if by.secs < 0 { WallTime(now.0.saturating_sub(millis)) } else { now.after(span) };
    let handover = handover && by.mode == ByMode::Return;
    DeliverBy { deadline, mode: by.mode, trace: by.trace, handover }
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    const NOW: WallTime = WallTime(1_790_000_000_000);

    fn priority(max: Option<i8>, asked: Option<i8>) -> Option<i8> {
        let mut source = source();
        source.priority_max = max;
        grant(&source, Wishes { priority: asked, by: None }, NOW).unwrap().priority
    }

    #[test]
    fn nobody_is_put_before_others_without_the_administrators_word() {
        for (max, asked, granted) in [
            (None, None, None),
            (None, Some(5), Some(0)),
            (None, Some(0), Some(0)),
            (None, Some(-4), Some(-4)),
            (Some(3), None, None),
            (Some(3), Some(9), Some(3)),
            (Some(3), Some(3), Some(3)),
            (Some(3), Some(1), Some(1)),
            (Some(3), Some(-9), Some(-9)),
            (Some(-2), None, Some(-2)),
            (Some(-2), Some(4), Some(-2)),
            (Some(-2), Some(-5), Some(-5)),
        ] {
            assert_eq!(priority(max, asked), granted, "{max:?} {asked:?}");
        }
    }

    #[test]
    fn deadlines_are_granted_or_refused() {
        let by = By { secs: 120, mode: ByMode::Return, trace: true };
        let ask = |grant_of: Deadlines, by: By| {
            let mut source = source();
            source.deliver_by = grant_of;
            grant(&source, Wishes { priority: None, by: Some(by) }, NOW).map(|g| g.deliver_by)
        };
        assert_eq!(ask(Deadlines::Refuse, by).unwrap_err().reply.code, 555);
        let strict = ask(Deadlines::Strict, by).unwrap().unwrap();
        let deadline = WallTime(NOW.0 + 120_000);
        let expected = DeliverBy { deadline, mode: ByMode::Return, trace: true, handover: false };
        assert_eq!(strict, expected);
        let handover = ask(Deadlines::Handover, by).unwrap().unwrap();
        assert_eq!(handover, DeliverBy { handover: true, ..expected });
        let past = By { secs: -999_999_999, mode: ByMode::Notify, trace: false };
        let past = ask(Deadlines::Handover, past).unwrap().unwrap();
        assert_eq!(past.deadline, WallTime(NOW.0 - 999_999_999_000));
        assert!(!past.handover, "mode N may go anywhere as it is");
    }

    #[test]
    fn content_that_came_too_late_is_refused_at_once() {
        let deliver_by =
            |mode| Some(DeliverBy { deadline: NOW, mode, trace: false, handover: false });
        assert_eq!(permit_deadline(None, NOW), Ok(()));
        assert_eq!(permit_deadline(deliver_by(ByMode::Notify), NOW), Ok(()));
        assert_eq!(permit_deadline(deliver_by(ByMode::Return), WallTime(NOW.0 - 1)), Ok(()));
        let late = permit_deadline(deliver_by(ByMode::Return), NOW).unwrap_err();
        assert_eq!((late.rule, late.reply.code), ("deadline-passed", 550));
    }
}
