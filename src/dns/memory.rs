//! What was proved, for as long as it holds: records and denials alike.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::{Duration, Instant};

use super::answer::{Denied, Found};
use crate::base::limits::{DNS_MEMORY_MAX, DNS_TTL_MAX};

/// Records, or their absence.
pub(super) type Answer = Result<Arc<Found>, Denied>;

/// A name (without regard to case) and a kind.
type Question = (Name, RecordType);

/// Answers by question, until they expire.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Question, (Answer, Instant)>>);

impl Memory {
    /// An answer that still holds.
    pub(super) fn get(&self, question: &Question) -> Option<Answer> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, until) = known.get(question)?;
        if *until > Instant::now() {
            return Some(answer.clone());
        }
        known.remove(question);
        None
    }

    /// Keeps an answer for `span`.
    pub(super) fn put(&self, question: Question, answer: &Answer, span: Duration) {
        if span.is_zero() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= DNS_MEMORY_MAX {
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() >= DNS_MEMORY_MAX {
            known.clear();
        }
        known.insert(question, (answer.clone(), now + span.min(DNS_TTL_MAX)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_as_long_as_it_holds() {
        let memory = Memory::default();
        let question = |text: &str| (Name::from_ascii(text).unwrap(), RecordType::TLSA);
        let denied = Denied { exists: true, secure: true };
        memory.put(question("a.example."), &Err(denied), Duration::from_secs(60));
        memory.put(question("b.example."), &Err(denied), Duration::ZERO);
        assert_eq!(memory.get(&question("A.EXAMPLE.")), Some(Err(denied)));
        assert_eq!(memory.get(&(question("a.example.").0, RecordType::MX)), None);
        assert_eq!(memory.get(&question("b.example.")), None);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(memory.get(&question("a.example.")), None);
        for number in 0..=DNS_MEMORY_MAX {
            let question = question(&format!("n{number}.example."));
            memory.put(question, &Err(denied), Duration::from_secs(60));
        }
        assert!(memory.0.lock().unwrap().len() <= DNS_MEMORY_MAX);
    }
}
