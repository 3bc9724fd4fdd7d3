//! A ledger that a program of version 1 wrote before it was killed: `tests/store/version-1`,
//! without the zeros at its end. Three letters from one application; the second has two recipients.

use std::path::Path;

use postern::event::Event;
use postern::mail::class::MessageClass;
use postern::mail::envelope::{Notify, Ret};
use postern::mail::queued::{Change, Settlement};

use crate::bench::{Bench, copy_folder};

#[tokio::test]
async fn a_ledger_of_version_1_is_read_and_continued() {
    let bench = Bench::new();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/version-1");
    copy_folder(&old, &bench.config().path.join("ledger"));
    let (spool, found) = bench.open().await;
    assert_eq!(found.iter().map(|queued| queued.recipients.len()).collect::<Vec<_>>(), [1, 2, 1]);
    for (number, queued) in found.iter().enumerate() {
        let label = &queued.label;
        assert_eq!((label.source.as_str(), label.class), ("bench", MessageClass::Transactional));
        assert_eq!((label.priority, label.notice, label.notification), (0, None, false));
        let parcel = spool.fetch(queued.id).await.unwrap();
        assert_eq!(parcel.label, queued.label);
        let text = String::from_utf8_lossy(&parcel.content);
        assert!(text.contains(&format!("Subject: letter {number}\r\n")), "{text}");
        let envelope = &parcel.envelope;
        assert_eq!(envelope.reverse_path.to_string(), "app@bench.test");
        assert_eq!(envelope.ret, Some(Ret::Hdrs));
        let failure = Notify::On { success: false, failure: true, delay: false };
        assert!(envelope.recipients.iter().all(|r| r.notify == Some(failure)), "{envelope:?}");
        assert!(!envelope.require_tls && !envelope.tls_optional);
        assert_eq!((envelope.priority, envelope.deliver_by), (None, None));
    }
    // What happens now is written in today's version, behind what stands there.
    let settled =
        |id, recipient| Change::Settled { id, recipient, settlement: Settlement::Delivered };
    let first = [settled(found[0].id, 0), settled(found[1].id, 1)];
    spool.record_durably(first.to_vec()).await.unwrap();
    spool.close().await;
    let endings = |ending: &str| {
        bench.ledger().iter().filter(|path| path.to_string_lossy().ends_with(ending)).count()
    };
    assert_eq!((endings(".v1"), endings(".v2")), (1, 1));
    let (spool, rest) = bench.open().await;
    let open: Vec<_> = rest.iter().map(|queued| (queued.id, queued.recipients[0].index)).collect();
    assert_eq!(open, [(found[1].id, 0), (found[2].id, 0)]);
    spool.close().await;
    let facts = bench.facts();
    let damaged = facts.iter().any(|fact| matches!(fact, Event::RecordQuarantined { .. }));
    assert!(!damaged, "{facts:#?}");
}
