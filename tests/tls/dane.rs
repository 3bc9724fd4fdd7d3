//! TLSA records against certificates: every usage, selector and matching, right and wrong.

use postern::mail::trust::Tlsa;
use postern::net::tls_client::{TlsClient, TlsFailure, Verify, usable};

use crate::zoo::{Authority, HOST, Shown, early, expired, good, old_style, record, shake};

fn dane(records: Vec<Tlsa>) -> Verify {
    Verify::Dane { records, names: vec![HOST.to_owned(), "example.net".to_owned()] }
}

async fn said(client: &TlsClient, shown: &Shown, records: Vec<Tlsa>) -> &'static str {
    let outcome = shake(client, shown, &dane(records)).await;
    outcome.as_ref().err().map_or("", TlsFailure::result_type)
}

#[tokio::test]
async fn every_usage_selector_and_matching() {
    let client = TlsClient::new(None).unwrap();
    let authority = Authority::root("root").below("middle");
    let shown = authority.issue(&good(&[HOST]));
    let other = Authority::root("stranger").issue(&good(&[HOST]));
    for usage in 0..=4 {
        for selector in 0..=2 {
            for matching in 0..=3 {
                let place = usize::from(usage != 1 && usage != 3);
                let right = record(usage, selector, matching, &shown.chain[place]);
                let wrong = record(usage, selector, matching, &other.chain[place]);
                let sound = (2..=3).contains(&usage) && selector < 2 && matching < 3;
                let case = format!("{usage} {selector} {matching}");
                assert_eq!(
                    usable(std::slice::from_ref(&right)).len(),
                    usize::from(sound),
                    "{case}"
                );
                let expected = if sound { "" } else { "tlsa-invalid" };
                assert_eq!(said(&client, &shown, vec![right.clone()]).await, expected, "{case}");
                assert_eq!(
                    said(&client, &shown, vec![wrong.clone()]).await,
                    "tlsa-invalid",
                    "{case}"
                );
                // One right record is enough.
                let both = vec![wrong, right];
                assert_eq!(said(&client, &shown, both).await, expected, "{case}");
            }
        }
    }
    assert_eq!(said(&client, &shown, Vec::new()).await, "tlsa-invalid");
}

#[tokio::test]
async fn an_end_entity_needs_no_name_and_no_date_but_its_key() {
    let client = TlsClient::new(None).unwrap();
    let authority = Authority::root("root");
    for params in [good(&["other.example"]), expired(&[HOST]), early(&[HOST]), old_style("x")] {
        for shown in [authority.issue(&params), Shown::itself(&params)] {
            let records = vec![record(3, 1, 1, &shown.chain[0])];
            assert_eq!(said(&client, &shown, records.clone()).await, "");
            assert_eq!(said(&client, &shown.stolen(), records).await, "certificate-not-trusted");
        }
    }
}

#[tokio::test]
async fn an_authority_of_the_domain_vouches_for_names_and_dates() {
    let client = TlsClient::new(None).unwrap();
    let root = Authority::root("root");
    let middle = root.below("middle");
    let stranger = Authority::root("stranger");
    let ta = |authority: &Authority, selector, matching| {
        vec![record(2, selector, matching, &authority.certificate)]
    };
    let host: &[&str] = &[HOST];
    let shown = middle.issue(&good(host));
    let mut with_root = shown.clone();
    with_root.chain.push(root.certificate.clone());
    let mut only_leaf = shown.clone();
    only_leaf.chain.truncate(1);
    let mut borrowed = stranger.issue(&good(host));
    borrowed.chain.push(middle.certificate.clone());
    let itself = Shown::itself(&good(host));
    let own = vec![record(2, 1, 1, &itself.chain[0])];
    let table: Vec<(&str, Shown, Vec<Tlsa>, &str)> = vec![
        ("the middle one", shown.clone(), ta(&middle, 1, 1), ""),
        ("the root above it", with_root.clone(), ta(&root, 0, 2), ""),
        ("a root that is not shown, as a digest", shown.clone(), ta(&root, 1, 1), "tlsa-invalid"),
        ("a root that is not shown, whole", shown.clone(), ta(&root, 0, 0), ""),
        ("a root that is not shown, its key", shown.clone(), ta(&root, 1, 0), ""),
        ("a key that signed nothing", shown.clone(), ta(&stranger, 1, 0), "tlsa-invalid"),
        ("a certificate that signed nothing", shown.clone(), ta(&stranger, 0, 0), "tlsa-invalid"),
        ("nobody but the leaf", only_leaf.clone(), ta(&middle, 1, 1), "tlsa-invalid"),
        ("nobody but the leaf, whole", only_leaf, ta(&middle, 0, 0), ""),
        ("somebody else's leaf", borrowed, ta(&middle, 1, 1), "tlsa-invalid"),
        ("a leaf is no authority", itself, own, "tlsa-invalid"),
        ("stolen", shown.stolen(), ta(&middle, 1, 1), "certificate-not-trusted"),
        ("next-hop domain", middle.issue(&good(&["example.net"])), ta(&middle, 1, 1), ""),
        ("wildcard", middle.issue(&good(&["*.example.net"])), ta(&middle, 1, 1), ""),
        ("common name", middle.issue(&old_style(HOST)), ta(&middle, 1, 1), ""),
        (
            "other common name",
            middle.issue(&old_style("mx.example.org")),
            ta(&middle, 1, 1),
            "certificate-host-mismatch",
        ),
        (
            "other name",
            middle.issue(&good(&["mx.example.org"])),
            ta(&middle, 1, 1),
            "certificate-host-mismatch",
        ),
        (
            "wildcard too high",
            middle.issue(&good(&["*.net"])),
            ta(&middle, 1, 1),
            "certificate-host-mismatch",
        ),
        ("expired", middle.issue(&expired(host)), ta(&middle, 1, 1), "certificate-expired"),
        ("early", middle.issue(&early(host)), ta(&middle, 1, 1), "certificate-expired"),
    ];
    for (case, shown, records, expected) in table {
        assert_eq!(said(&client, &shown, records).await, expected, "{case}");
    }
}

#[tokio::test]
async fn of_two_digests_only_the_stronger_counts() {
    let client = TlsClient::new(None).unwrap();
    let shown = Shown::itself(&good(&[HOST]));
    let other = Shown::itself(&good(&[HOST]));
    let records = vec![record(3, 1, 1, &shown.chain[0]), record(3, 1, 2, &other.chain[0])];
    assert_eq!(usable(&records), records[1..]);
    assert_eq!(said(&client, &shown, records).await, "tlsa-invalid");
    let records = vec![record(3, 1, 1, &shown.chain[0]), record(3, 0, 2, &other.chain[0])];
    assert_eq!(usable(&records).len(), 2);
    assert_eq!(said(&client, &shown, records).await, "");
    let mut cut = record(3, 1, 1, &shown.chain[0]);
    cut.data.pop();
    assert_eq!(usable(&[cut]), []);
}

#[tokio::test]
async fn the_web_may_vouch_for_what_dane_has_proved() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root("root");
    let client = TlsClient::new(Some(&root.file(&folder))).unwrap();
    for (params, vouched) in [(good(&[HOST]), true), (good(&["other.example"]), false)] {
        let shown = root.issue(&params);
        let records = vec![record(3, 1, 1, &shown.chain[0])];
        assert_eq!(shake(&client, &shown, &dane(records)).await, Ok(vouched));
    }
}
