//! The matrix: worked or not before, works or not now, and whether somebody decided so.

use super::*;
use crate::control::check;
use crate::health::daemon::sample;
use crate::host::vitals::Interface;

fn works(keys: &[&str]) -> BTreeMap<String, String> {
    keys.iter().map(|key| ((*key).to_owned(), "it worked".to_owned())).collect()
}

fn before(keys: &[&str]) -> Before {
    Before { version: "1.1.0".to_owned(), works: works(keys), ..Before::default() }
}

fn view(keys: &[&str]) -> View {
    let egresses = [("main".to_owned(), None)].into();
    View { works: works(keys), egresses, answered: true, delivered: 0 }
}

fn wrong(before: &Before, view: &View) -> Vec<(Verdict, String)> {
    let findings = judge(before, view).into_iter();
    let bad = findings.filter(|finding| finding.verdict != Verdict::Pass);
    bad.map(|finding| (finding.verdict, finding.text)).collect()
}

const ALL: [&str; 7] = [
    "link egress0",
    "ipv4 manage0",
    "time",
    "egress main",
    "dns main 192.0.2.53:53",
    "port main 192.0.2.25",
    "running",
];

#[test]
fn what_worked_must_work_and_nothing_else() {
    for key in ALL.iter().filter(|key| **key != "running") {
        // Worked, works.
        assert_eq!(wrong(&before(&[key]), &view(&[key])), []);
        // Missing before: no matter.
        assert_eq!(wrong(&before(&[]), &view(&[key])), []);
        assert_eq!(wrong(&before(&[]), &view(&[])), []);
        // Worked, and does not.
        let found = wrong(&before(&[key]), &view(&[]));
        assert_eq!(found.len(), 1, "{key}");
        let (verdict, text) = &found[0];
        assert_eq!(*verdict, Verdict::Waiting, "{key}: until the time is over");
        let words = format!("{key} worked with version 1.1.0 (it worked) and does not now");
        assert_eq!(*text, words);
    }
}

#[test]
fn what_somebody_decided_is_no_fault_of_a_version() {
    let keys = ["egress main", "dns main 192.0.2.53:53", "port main 192.0.2.25", "time"];
    let mut now = view(&["time"]);
    now.egresses.insert("main".to_owned(), Some("egress main is suspended by alice".to_owned()));
    let found = wrong(&before(&keys), &now);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|(v, text)| *v == Verdict::State && text.contains("by alice")));
    // An egress that is configured no more.
    now.egresses.clear();
    let found = wrong(&before(&keys), &now);
    assert!(found.iter().all(|(v, text)| *v == Verdict::State && text.contains("no more")));
    // A stop of all mail.
    let found = wrong(&before(&["running"]), &view(&[]));
    assert_eq!(found[0].0, Verdict::State);
    // A daemon that does not answer has no excuse.
    let silent = View { answered: false, ..view(&["time"]) };
    assert_eq!(wrong(&before(&["running"]), &silent)[0].0, Verdict::Waiting);
    assert!(wrong(&before(&keys), &silent).iter().all(|(v, _)| *v == Verdict::Waiting));
}

#[test]
fn what_works_is_taken_from_links_status_and_checks() {
    let mut now = View::default();
    now.status(&sample());
    let finding = |item: &str, subject: &str, grade| check::Finding {
        item: item.to_owned(),
        subject: subject.to_owned(),
        grade,
        text: "text".to_owned(),
        remedy: None,
    };
    now.check(&EgressCheck {
        egress: "main".to_owned(),
        device: None,
        addresses: Vec::new(),
        ehlo: "gw.example.org".to_owned(),
        at: WallTime(1),
        findings: vec![
            finding("dns", "192.0.2.53:53", Grade::Pass),
            finding("dns", "192.0.2.54:53", Grade::Fail),
            finding("port", "192.0.2.25", Grade::Warn),
            finding("ptr", "192.0.2.25", Grade::Pass),
        ],
    });
    let keys: Vec<&str> = now.works.keys().map(String::as_str).collect();
    assert_eq!(keys, ["dns main 192.0.2.53:53", "egress main", "running", "spool"]);
    let mut vitals = vitals::take();
    let whole = Interface { running: true, v4: true, v6: false };
    vitals.interfaces = [("egress0".to_owned(), whole)].into();
    vitals.synchronised = true;
    let mut now = View::default();
    now.machine(&vitals);
    let keys: Vec<&str> = now.works.keys().map(String::as_str).collect();
    assert_eq!(keys, ["ipv4 egress0", "link egress0", "time"]);
}

#[test]
fn without_a_daemon_only_the_machine_is_recorded() {
    let record = record(&vitals::take(), Path::new("/nowhere/control.sock"));
    assert!(!record.has("spool") && record.page().contains("things work"));
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Before>(&text).unwrap(), record);
}
