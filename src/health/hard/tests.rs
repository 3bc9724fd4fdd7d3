//! A machine that is made up: every hard check, on the box and elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::base::time::WallTime;
use crate::config::{Anywhere, read};
use crate::control::answer::Status;
use crate::control::health::Verdict;
use crate::health::daemon::sample;
use crate::host::vitals::{Mount, Root};

const NOW: WallTime = WallTime(1_790_000_000_000);

fn unit(name: &str) -> Unit {
    Unit {
        name: name.to_owned(),
        load: "loaded".to_owned(),
        active: "active".to_owned(),
        sub: "running".to_owned(),
        result: "success".to_owned(),
        ..Unit::default()
    }
}

/// A box on which all is well.
fn boxed() -> Vitals {
    let serve = Unit { watchdog: Some("20s".to_owned()), ..unit(SERVE) };
    let gate = Unit { active: "activating".to_owned(), ..unit("postern-health.service") };
    let done = Unit {
        active: "inactive".to_owned(),
        sub: "dead".to_owned(),
        oneshot: true,
        ..unit("postern-setup.service")
    };
    let ours = vec![serve, unit("postern-egress.socket"), gate, done];
    let mount = |point: &str| Mount { point: PathBuf::from(point), read_only: false };
    let partitions = ["postern_1.2.0", "postern_1.2.0_verity"].map(str::to_owned).into();
    Vitals {
        system: "postern".to_owned(),
        image_version: Some("1.2.0".to_owned()),
        units: Ok(Units { target: true, ours, failed: Vec::new() }),
        root: Root { verity: true, partitions },
        mounts: vec![mount("/var"), mount("/var/lib/postern")],
        guard: Guard::InForce(vec!["input".to_owned(), "output".to_owned()]),
        now: NOW,
        made: Some(WallTime(NOW.0 - 86_400_000)),
        synchronised: true,
        interfaces: BTreeMap::new(),
        host: Some(true),
    }
}

fn document() -> Document {
    let text = "version = 1\nhostname = \"gw.example.org\"\nlab = true\n\
                [spool]\npath = \"/spool\"\n[listener.in]\naddress = \"127.0.0.1:0\"\n\
                kind = \"smtp\"\nclear_text = true\nnetwork_sources = true\n\
                [source.net]\nproof = \"network\"\nnetworks = [\"10.0.0.0/8\"]\n\
                unsigned = \"allow\"\n\
                pairs = [{ reverse_path = \"*@example.org\", from = \"*@example.org\" }]\n\
                [egress.main]\nipv4 = \"127.0.0.1\"\n";
    Document::Good(Box::new(read(text, &Anywhere).unwrap().config))
}

fn settings(document: &Document) -> Vec<(String, String)> {
    match document {
        Document::Good(config) => show::settings(config),
        _ => Vec::new(),
    }
}

fn speaks(status: Status) -> Daemon {
    Daemon::Speaks { status: Box::new(status), settings: settings(&document()), set_aside: 0 }
}

struct World {
    vitals: Vitals,
    document: Document,
    daemon: Daemon,
    boot: bool,
    trial: bool,
    before: Option<Before>,
}

fn world() -> World {
    World {
        vitals: boxed(),
        document: document(),
        daemon: speaks(sample()),
        boot: true,
        trial: false,
        before: None,
    }
}

impl World {
    fn findings(&self) -> Vec<Finding> {
        judge(&Facts {
            vitals: &self.vitals,
            document: &self.document,
            daemon: &self.daemon,
            before: self.before.as_ref(),
            boot: self.boot,
            trial: self.trial,
        })
    }

    /// The one thing that is not as it should be.
    fn wrong(&self) -> (Verdict, String, String) {
        let findings = self.findings();
        let mut wrong: Vec<&Finding> =
            findings.iter().filter(|f| f.verdict != Verdict::Pass).collect();
        assert_eq!(wrong.len(), 1, "{findings:#?}");
        let Finding { check, verdict, text } = wrong.remove(0);
        (*verdict, check.clone(), text.clone())
    }

    fn units(&mut self) -> &mut Units {
        self.vitals.units.as_mut().unwrap()
    }
}

fn is(found: &(Verdict, String, String), verdict: Verdict, check: &str, words: &str) {
    assert_eq!((found.0, found.1.as_str()), (verdict, check), "{}", found.2);
    assert!(found.2.contains(words), "{words:?} is not in {:?}", found.2);
}

#[test]
fn a_whole_box_passes_everything() {
    let findings = world().findings();
    assert!(findings.iter().all(|f| f.verdict == Verdict::Pass), "{findings:#?}");
    for check in ["units", "root", "disks", "config", "clock", "spool", "watchdog", "guard", "host"]
    {
        assert!(findings.iter().any(|finding| finding.check == check), "{check}");
    }
}

#[test]
fn units_that_are_not_as_they_should_be() {
    let mut it = world();
    it.units().ours[1].active = "failed".to_owned();
    it.units().ours[1].result = "exit-code".to_owned();
    it.units().failed = vec!["postern-egress.socket".to_owned()];
    is(&it.wrong(), Verdict::Fail, "units", "postern-egress.socket has failed (exit-code)");
    let mut it = world();
    it.units().ours[0].active = "activating".to_owned();
    is(&it.wrong(), Verdict::Waiting, "units", "postern.service is activating");
    // Configured, and a condition keeps the daemon from running.
    let mut it = world();
    it.units().ours[0].active = "inactive".to_owned();
    it.units().ours[0].unwanted = true;
    is(&it.wrong(), Verdict::Fail, "units", "held back by a condition");
    let mut it = world();
    it.units().ours[1].load = "not-found".to_owned();
    is(&it.wrong(), Verdict::Fail, "units", "cannot be loaded");
    let mut it = world();
    it.units().failed = vec!["chrony.service".to_owned()];
    is(&it.wrong(), Verdict::Fail, "units", "chrony.service has failed");
    let mut it = world();
    it.units().target = false;
    is(&it.wrong(), Verdict::Fail, "units", "postern.target is not there");
    // A terminal that this machine does not have.
    let mut it = world();
    let console = Unit { active: "inactive".to_owned(), ..unit("postern-console@ttyS0.service") };
    it.units().ours.push(console);
    is(&it.wrong(), Verdict::State, "units", "postern-console@ttyS0.service is not running");
    // What comes after the gate cannot be ready before it.
    let mut it = world();
    it.units().failed = vec!["systemd-bless-boot.service".to_owned()];
    assert!(it.findings().iter().all(|finding| finding.verdict == Verdict::Pass));
}

#[test]
fn root_and_disks() {
    let mut it = world();
    it.vitals.root.verity = false;
    is(&it.wrong(), Verdict::Fail, "root", "not on a verity device");
    let mut it = world();
    it.vitals.image_version = Some("1.3.0".to_owned());
    is(&it.wrong(), Verdict::Fail, "root", "version 1.3.0 runs from the slot of [postern_1.2.0");
    let mut it = world();
    it.vitals.mounts[1].read_only = true;
    is(&it.wrong(), Verdict::Fail, "disks", "/var/lib/postern has become read-only");
    let mut it = world();
    it.vitals.mounts.remove(0);
    is(&it.wrong(), Verdict::Waiting, "disks", "/var is not mounted");
}

#[test]
fn configuration_and_clock() {
    let mut it = world();
    it.daemon = Daemon::Speaks {
        status: Box::new(sample()),
        settings: settings(&document()).split_off(1),
        set_aside: 0,
    };
    is(&it.wrong(), Verdict::Fail, "config", "not what the document says");
    it.boot = false;
    is(&it.wrong(), Verdict::State, "config", "not what the document says");
    let mut it = world();
    it.vitals.made = Some(WallTime(NOW.0 + 1));
    is(&it.wrong(), Verdict::Fail, "clock", "before this system was made");
    let mut it = world();
    it.vitals.made = Some(WallTime(1));
    is(&it.wrong(), Verdict::Fail, "clock", "decades");
    // A document that cannot be put in force: the daemon is not waited for.
    let mut it = world();
    it.document = Document::Wrong("2 complaint(s): hostname is missing".to_owned());
    it.daemon = Daemon::Silent("no daemon answers".to_owned());
    let findings = it.findings();
    assert!(findings.iter().all(|finding| finding.verdict != Verdict::Waiting), "{findings:#?}");
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
    let failed: Vec<&str> = failed.map(|finding| finding.check.as_str()).collect();
    assert_eq!(failed, ["config", "spool"]);
}

#[test]
fn the_spool() {
    let with = |state: &str| {
        let mut it = world();
        let mut status = sample();
        status.spool.state = state.to_owned();
        it.daemon = speaks(status);
        it
    };
    is(&with("latched").wrong(), Verdict::Waiting, "spool", "the ledger has failed");
    is(&with("full").wrong(), Verdict::Waiting, "spool", "the spool is full");
    // So it was before the update: no other version would mend it.
    let mut it = with("full");
    it.trial = true;
    it.before = Some(Before::default());
    is(&it.wrong(), Verdict::State, "spool", "as before the update");
    let mut it = world();
    it.daemon = Daemon::Silent("no daemon answers".to_owned());
    is(&it.wrong(), Verdict::Waiting, "spool", "no daemon answers");
    // A version that cannot read what the one before it wrote.
    let mut it = world();
    it.daemon = Daemon::Speaks {
        status: Box::new(sample()),
        settings: settings(&document()),
        set_aside: 2,
    };
    is(&it.wrong(), Verdict::State, "spool", "2 records or messages were set aside");
    it.trial = true;
    is(&it.wrong(), Verdict::Fail, "spool", "may misread");
}

#[test]
fn guard_watchdog_and_host() {
    let mut it = world();
    it.vitals.guard = Guard::Absent;
    is(&it.wrong(), Verdict::Fail, "guard", "no guard is loaded");
    it.vitals.guard = Guard::Unseen("why".to_owned());
    is(&it.wrong(), Verdict::Fail, "guard", "cannot be seen: why");
    it.vitals.guard = Guard::InForce(vec!["input".to_owned()]);
    is(&it.wrong(), Verdict::Fail, "guard", "nothing guards the output");
    let mut it = world();
    it.units().ours[0].watchdog = None;
    is(&it.wrong(), Verdict::Fail, "watchdog", "nobody watches");
    let mut it = world();
    it.vitals.host = Some(false);
    is(&it.wrong(), Verdict::Waiting, "host", "nobody answers");
}

/// A box as it comes from the factory: no document, a closed guard, the daemon held back by its
/// condition.
#[test]
fn a_fresh_box_is_healthy() {
    let mut it = world();
    it.document = Document::Missing;
    it.daemon = Daemon::Silent("there is no configuration yet".to_owned());
    it.units().ours[0].active = "inactive".to_owned();
    it.units().ours[0].unwanted = true;
    it.units().ours[0].watchdog = None;
    let findings = it.findings();
    let bad = findings.iter().find(|f| matches!(f.verdict, Verdict::Fail | Verdict::Waiting));
    assert_eq!(bad, None);
    let config = findings.iter().find(|finding| finding.check == "config").unwrap();
    assert!(config.text.contains("awaits its setup"));
    // And it is not blessed when what it needs is missing.
    it.vitals.guard = Guard::Absent;
    assert!(it.findings().iter().any(|finding| finding.verdict == Verdict::Fail));
}

/// On any Debian machine what belongs to the box is skipped with a word, and what belongs to
/// others is not judged.
#[test]
fn elsewhere_it_says_what_it_cannot_know() {
    let mut it = world();
    it.boot = false;
    it.vitals = Vitals {
        system: "debian".to_owned(),
        image_version: None,
        root: Root::default(),
        mounts: Vec::new(),
        guard: Guard::Absent,
        host: None,
        ..boxed()
    };
    it.units().target = false;
    it.units().failed = vec!["cups.service".to_owned()];
    let findings = it.findings();
    let verdict = |check: &str| {
        let mut of = findings.iter().filter(|finding| finding.check == check);
        of.next_back().unwrap().verdict
    };
    assert!(findings.iter().all(|f| !matches!(f.verdict, Verdict::Fail | Verdict::Waiting)));
    for check in ["root", "disks", "host"] {
        assert_eq!(verdict(check), Verdict::Skipped, "{check}");
    }
    assert_eq!((verdict("units"), verdict("guard")), (Verdict::State, Verdict::State));
    it.vitals.units = Err("systemd does not run here".to_owned());
    let findings = it.findings();
    let units = findings.iter().find(|finding| finding.check == "units").unwrap();
    assert_eq!(units.verdict, Verdict::Skipped);
}

#[test]
fn a_document_that_may_not_be_looked_at_is_not_missing() {
    assert!(matches!(Document::read(Path::new("/nowhere/postern.toml")), Document::Missing));
    let Document::Wrong(why) = Document::read(Path::new("/dev/null/postern.toml")) else {
        panic!("it was read");
    };
    assert!(why.starts_with("/dev/null/postern.toml: "), "{why}");
}
