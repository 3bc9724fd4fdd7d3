//! Whether the name servers of an egress pass DNSSEC on, tried now and then at the root.
//!
//! ```text
//! good ──600 s──► tried again          the root's SOA and the denial of its TXT are proved
//! bad  ── 60 s──► tried again          servers answer, and what they answer proves nothing
//! doubt ──10 s──► tried again          servers do not answer: what was known before counts
//! ```

use std::sync::{Mutex, PoisonError};

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::{Instant, timeout};

use super::Verdict;
use super::answer::{Denied, Step};
use super::asker::{Plain, Proving};
use crate::base::limits::{DNS_TIMEOUT, DNSSEC_BAD_SPAN, DNSSEC_DOUBT_SPAN, DNSSEC_GOOD_SPAN};

/// The verdict about one egress.
#[derive(Debug, Default)]
pub(super) struct Trial {
    known: Mutex<Known>,
    running: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    verdict: Option<Verdict>,
    until: Option<Instant>,
}

impl Trial {
    /// The verdict; tried if there is none or the old one is too old. None: never known.
    pub(super) async fn verdict(&self, proving: &Proving, plain: &Plain) -> Option<Verdict> {
        if self.is_fresh() {
            return self.last();
        }
        let _running = match self.running.try_lock() {
            Ok(running) => running,
            // Somebody is at it: an old verdict will do, else it is worth the wait.
            Err(_) => match self.last() {
                Some(old) => return Some(old),
                None => self.running.lock().await,
            },
        };
        if self.is_fresh() {
            return self.last();
        }
        let tried = timeout(DNS_TIMEOUT, attempt(proving, plain)).await.unwrap_or(None);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let span = match &tried {
            Some(Ok(())) => DNSSEC_GOOD_SPAN,
            Some(Err(_)) => DNSSEC_BAD_SPAN,
            None => DNSSEC_DOUBT_SPAN,
        };
        if tried.is_some() {
            known.verdict = tried;
        }
        known.until = Some(Instant::now() + span);
        known.verdict.clone()
    }

    /// What was found last.
    pub(super) fn last(&self) -> Option<Verdict> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).verdict.clone()
    }

    fn is_fresh(&self) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.until.is_some_and(|until| until > Instant::now())
    }
}

/// Asks. None: there was no answer at all, so nothing is known of DNSSEC either.
async fn attempt(proving: &Proving, plain: &Plain) -> Option<Verdict> {
    let root = Name::root();
    let signed = match proving.step(&root, RecordType::SOA).await {
        Step::Found { secure, .. } => secure,
        _ => false,
    };
    if !signed {
        plain.clear_lookup_cache(root.clone(), RecordType::SOA);
        let answered = match plain.lookup(root, RecordType::SOA).await {
            Ok(_) => true,
            Err(error) => matches!(
                error,
                NetError::Dns(DnsError::ResponseCode(_) | DnsError::NoRecordsFound(_))
            ),
        };
        return answered.then(|| Err("the name servers strip signatures".to_owned()));
    }
    // The root has no TXT records, and proves that as others prove that they have no TLSA.
    match proving.step(&root, RecordType::TXT).await {
        Step::Found { .. } | Step::Denied(Denied { secure: true, .. }, _) => Some(Ok(())),
        Step::Unknown(_) => None,
        _ => Some(Err("the name servers strip proofs of absence".to_owned())),
    }
}
