//! Remembered denials: hickory keeps none while it proves, and most hosts have no TLSA records.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::{Duration, Instant};

use super::answer::Denied;
use crate::base::limits::{DNS_DENIALS_MAX, DNS_TTL_MAX};

/// Denials by question, until they expire.
#[derive(Debug, Default)]
pub(super) struct Denials(Mutex<HashMap<(Name, RecordType), (Denied, Instant)>>);

impl Denials {
    /// A denial that still holds.
    pub(super) fn get(&self, name: &Name, kind: RecordType) -> Option<Denied> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Names are looked up without regard to case.
        let question = (name.clone(), kind);
        let (denied, until) = *known.get(&question)?;
        if until > Instant::now() {
            return Some(denied);
        }
        known.remove(&question);
        None
    }

    /// Keeps a denial for `span`.
    pub(super) fn put(&self, name: &Name, kind: RecordType, denied: Denied, span: Duration) {
        if span.is_zero() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= DNS_DENIALS_MAX {
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() >= DNS_DENIALS_MAX {
            known.clear();
        }
        known.insert((name.clone(), kind), (denied, now + span.min(DNS_TTL_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_denial_is_kept_as_long_as_it_holds() {
        let denials = Denials::default();
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let denied = Denied { exists: true, secure: true };
        denials.put(&name("a.example."), RecordType::TLSA, denied, Duration::from_secs(60));
        denials.put(&name("b.example."), RecordType::TLSA, denied, Duration::ZERO);
        assert_eq!(denials.get(&name("A.EXAMPLE."), RecordType::TLSA), Some(denied));
        assert_eq!(denials.get(&name("a.example."), RecordType::MX), None);
        assert_eq!(denials.get(&name("b.example."), RecordType::TLSA), None);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(denials.get(&name("a.example."), RecordType::TLSA), None);
        for number in 0..=DNS_DENIALS_MAX {
            let name = name(&format!("n{number}.example."));
            denials.put(&name, RecordType::MX, denied, Duration::from_secs(60));
        }
        assert!(denials.0.lock().unwrap().len() <= DNS_DENIALS_MAX);
    }
}
