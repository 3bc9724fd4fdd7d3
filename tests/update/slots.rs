//! From a bundle to a slot, a trial, and its end.

use std::fs;

use postern::service::update::{Settings, Wishes, apply, loader, rollback};

use crate::machine::{Machine, hash, not_shown, tree};

fn asked() -> Wishes {
    Wishes { now: Some("a test".to_owned()), no_reboot: true, ..Wishes::default() }
}

fn applied(machine: &Machine) -> Result<String, String> {
    let mut tell = |what: &str| println!("    {what}");
    let done = apply(&machine.places, &Settings::default(), &asked(), &mut tell);
    done.map(|version| version.to_string()).map_err(|fault| fault.to_string())
}

#[test]
fn a_release_goes_all_the_way_and_back_again() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let own = machine.own_slot_hash();
    let release = machine.release("1.1.0", &["--floor", "1.0.0"]);

    // Staged: the other slot holds it, and the boot loader sees nothing of it.
    assert_eq!(machine.stage(&release.bundle, &Wishes::default()).unwrap(), "1.1.0");
    let expected =
        ["esp", "postern_1.0.0", "postern_1.0.0_verity", "postern_1.1.0", "postern_1.1.0_verity"];
    assert_eq!(machine.labels(), expected);
    assert_eq!(machine.entries(), ["postern_1.0.0.efi", "postern_1.1.0.staged"]);
    let disk = fs::read(machine.at("disk.img")).unwrap();
    let start = usize::try_from(machine.part(4).0).unwrap();
    assert!(disk[start..start + release.root.len()] == release.root[..], "the slot's octets");
    assert_eq!(machine.own_slot_hash(), own, "the running slot is untouched");
    let status = machine.status();
    assert_eq!((status.state, status.next_boot.unwrap().to_string()), ("staged", "1.0.0".into()));
    assert!(fs::read_dir(machine.at("state/update/staged")).unwrap().next().is_none());

    // On trial.
    assert_eq!(applied(&machine).unwrap(), "1.1.0");
    assert_eq!(machine.entries(), ["postern_1.0.0.efi", "postern_1.1.0+3-0.efi"]);
    assert_eq!(machine.status().next_boot.unwrap().to_string(), "1.1.0");
    machine.rename("postern_1.1.0+3-0.efi", "postern_1.1.0+2-1.efi");
    machine.run_as("1.1.0", &release.root_hash, "boot-2");
    assert_eq!(machine.settle(), "trial");
    let mark = fs::read_to_string(machine.places.run.join("trial.json")).unwrap();
    assert!(mark.contains("\"spool_format\":2"), "{mark}");
    let refused = machine.stage(&release.bundle, &Wishes::default()).unwrap_err();
    assert!(refused.contains("on trial"), "{refused}");

    // The boot loader of a version on trial stays where it is.
    machine.loaders("257.9", "258.1");
    let mut tell = |_: &str| {};
    assert_eq!(loader(&machine.places, &mut tell).unwrap(), None);

    // Blessed: the floor rises, the mark goes, and nothing older is taken.
    machine.rename("postern_1.1.0+2-1.efi", "postern_1.1.0.efi");
    assert_eq!(machine.settle(), "healthy");
    assert!(!machine.places.run.join("trial.json").exists());
    assert_eq!(loader(&machine.places, &mut tell).unwrap().as_deref(), Some("258.1"));
    assert_eq!(machine.status().floor.unwrap().to_string(), "1.0.0");
    let old = machine.release("0.9.0", &[]);
    let downgrade = Wishes { downgrade: true, ..Wishes::default() };
    for (wishes, why) in [(&Wishes::default(), "nothing older"), (&downgrade, "nothing older")] {
        let refused = machine.stage(&old.bundle, wishes).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }

    // And back by hand, which is a trial too: it is held against what works now.
    fs::create_dir_all(machine.at("state/health")).unwrap();
    let before = machine.at("state/health/before.json");
    fs::write(&before, "of long ago").unwrap();
    let back = rollback(&machine.places, &Settings::default(), &asked(), &mut tell).unwrap();
    assert_eq!(back.to_string(), "1.0.0");
    let before = fs::read_to_string(before).unwrap();
    assert!(before.contains("\"works\""), "{before}");
    assert_eq!(machine.entries(), ["postern_1.0.0+3-0.efi", "postern_1.1.0+0-1.efi"]);
    machine.rename("postern_1.0.0+3-0.efi", "postern_1.0.0.efi");
    machine.run_as("1.0.0", &hash("1.0.0"), "boot-3");
    assert_eq!(machine.settle(), "healthy");
}

#[test]
fn a_damaged_record_is_kept_aside_and_leaves_a_floor() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let release = machine.release("1.1.0", &[]);
    let record = machine.at("state/update/state.json");
    fs::create_dir_all(record.parent().unwrap()).unwrap();
    fs::write(&record, "{\"format\":1,\"rec").unwrap();
    let status = machine.status();
    assert!(status.trouble.unwrap().contains("not whole"));
    assert_eq!(status.floor.unwrap().to_string(), "1.0.0");
    assert!(!machine.at("state/update/state.damaged").exists(), "who only looks moves nothing");
    assert_eq!(machine.settle(), "idle");
    let aside = fs::read_to_string(machine.at("state/update/state.damaged")).unwrap();
    assert_eq!(aside, "{\"format\":1,\"rec");
    let status = machine.status();
    assert_eq!(status.floor.unwrap().to_string(), "1.0.0");
    assert!(status.trouble.is_none() && status.last.unwrap().text.contains("not whole"));
    let old = machine.release("0.9.0", &[]);
    let downgrade = Wishes { downgrade: true, ..Wishes::default() };
    assert!(machine.stage(&old.bundle, &downgrade).unwrap_err().contains("nothing older"));
    machine.stage(&release.bundle, &Wishes::default()).unwrap();
}

#[test]
fn a_version_that_never_becomes_healthy_is_gone_with_a_reason() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let release = machine.release("1.1.0", &[]);
    machine.stage(&release.bundle, &Wishes::default()).unwrap();
    applied(&machine).unwrap();
    fs::create_dir_all(machine.at("state/health")).unwrap();
    let said = r#"{"version":"1.1.0","findings":
        [{"check":"mail","verdict":"fail","text":"the message was not signed"}]}"#;
    fs::write(machine.at("state/health/last.json"), said).unwrap();
    machine.rename("postern_1.1.0+3-0.efi", "postern_1.1.0+0-3.efi");
    machine.run_as("1.0.0", &hash("1.0.0"), "boot-5");
    assert_eq!(machine.settle(), "rolled-back");
    let status = machine.status();
    let reason = status.reason.unwrap();
    assert_eq!(reason, "it did not become healthy in 3 boots: mail: the message was not signed");
    assert_eq!(status.next_boot.unwrap().to_string(), "1.0.0");

    // The next release takes the place of the bad one.
    let better = machine.release("1.1.1", &[]);
    machine.stage(&better.bundle, &Wishes::default()).unwrap();
    assert_eq!(machine.entries(), ["postern_1.0.0.efi", "postern_1.1.1.staged"]);
    assert_eq!(machine.labels()[3], "postern_1.1.1");
}

#[test]
fn nothing_is_written_for_a_bundle_that_is_not_believed() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let release = machine.release("1.1.0", &[]);
    let good = fs::read(&release.bundle).unwrap();
    let (disk, entries) = (machine.disk_hash(), machine.entries());
    let bad = machine.at("bad.pbu");
    let step = good.len() / 20;
    let mut tried = 0;
    let places = (0..4096).step_by(131).chain((4096..good.len() - 1024).step_by(step));
    for at in places {
        let mut tampered = good.clone();
        tampered[at] ^= 0x20;
        fs::write(&bad, &tampered).unwrap();
        // Octets that mean nothing (the time of a member) are under the checksum of its header.
        let refused = machine.stage(&bad, &Wishes::default());
        assert!(refused.is_err(), "octet {at}");
        assert_eq!(machine.disk_hash(), disk, "octet {at}");
        assert_eq!(machine.entries(), entries, "octet {at}");
        tried += 1;
    }
    for length in [0, 100, 512, 10_000, good.len() / 2, good.len() - 1500] {
        fs::write(&bad, &good[..length]).unwrap();
        assert!(machine.stage(&bad, &Wishes::default()).is_err(), "cut to {length}");
        assert_eq!(machine.disk_hash(), disk);
    }
    assert!(tried > 45, "{tried}");

    // Other people's keys, and a release that is over.
    let stranger = Machine::new(&tree);
    let refused = machine.stage(&stranger.release("1.1.0", &[]).bundle, &Wishes::default());
    assert!(refused.unwrap_err().contains("not in this image"));
    let over = machine.release("1.2.0", &["--expires", "2026-01-02T00:00:00Z"]);
    assert!(machine.stage(&over.bundle, &Wishes::default()).unwrap_err().contains("expired"));
    let odd = machine.release("1.3.0", &["--compatible", "toaster"]);
    assert!(machine.stage(&odd.bundle, &Wishes::default()).unwrap_err().contains("toaster"));
    assert_eq!(machine.disk_hash(), disk);
    assert_eq!(machine.entries(), entries);
    machine.stage(&release.bundle, &Wishes::default()).unwrap();
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let Some(tree) = tree() else { return not_shown() };
    let mut machine = Machine::new(&tree);
    let release = machine.release("1.1.0", &[]);
    // systemd-sysupdate says that all is well, and one octet of the slot is another.
    let place = machine.part(4).0 + (3 << 20) + 17;
    let disk = machine.at("disk.img");
    let script = format!(
        "\"$@\" || exit 1; case \"$*\" in *' update '*) printf '\\377' | \
         dd of={} bs=1 seek={place} conv=notrunc status=none;; esac",
        disk.display()
    );
    let real = machine.places.sysupdate.clone();
    machine.places.sysupdate = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    machine.places.sysupdate.extend(real.clone());
    let fault = machine.stage(&release.bundle, &Wishes::default()).unwrap_err();
    assert!(fault.contains("chunk 3"), "{fault}");
    assert_eq!(machine.labels()[3..], ["_empty", "_empty"]);
    assert_eq!(machine.entries(), ["postern_1.0.0.efi"]);
    let status = machine.status();
    assert_eq!(status.state, "idle");
    assert!(!status.last.unwrap().good);
    machine.places.sysupdate = real;
    machine.stage(&release.bundle, &Wishes::default()).unwrap();
}

#[test]
fn a_slot_with_a_false_label_is_not_written_over() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let release = machine.release("1.1.0", &[]);
    // The image says 1.0.1, the labels 1.0.0: systemd-sysupdate would protect the wrong slot.
    machine.run_as("1.0.1", &hash("1.0.0"), "boot-1");
    machine.rename("postern_1.0.0.efi", "postern_1.0.1.efi");
    let disk = machine.disk_hash();
    let fault = machine.stage(&release.bundle, &Wishes::default()).unwrap_err();
    assert!(fault.contains("protecting the running slot"), "{fault}");
    assert_eq!(machine.disk_hash(), disk);
}

#[test]
fn a_bundle_of_the_same_files_is_the_same_octets() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let first = fs::read(machine.release("1.1.0", &[]).bundle).unwrap();
    let second = fs::read(machine.release("1.1.0", &[]).bundle).unwrap();
    assert!(first == second, "two bundles of one release differ");
}

#[test]
fn a_machine_that_has_just_started_is_left_alone() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let release = machine.release("1.1.0", &[]);
    fs::write(machine.places.root.join("proc/uptime"), "120.00 1.00\n").unwrap();
    let early = machine.stage(&release.bundle, &Wishes::default()).unwrap_err();
    assert!(early.contains("wait 180 s"), "{early}");
    machine.stage(&release.bundle, &asked()).unwrap();
    let wishes = Wishes { no_reboot: true, ..Wishes::default() };
    let mut tell = |_: &str| {};
    let early = apply(&machine.places, &Settings::default(), &wishes, &mut tell).unwrap_err();
    assert!(early.to_string().contains("wait 180 s"), "{early}");
    assert_eq!(machine.entries(), ["postern_1.0.0.efi", "postern_1.1.0.staged"]);
    fs::write(machine.places.root.join("proc/uptime"), "301.00 1.00\n").unwrap();
    let mut settings = Settings::default();
    let minute = |text: &str| postern::config::checked::Window::parse(text).unwrap();
    let hour = postern::host::clock::wall().unix_secs() / 3600 % 24;
    let shut = format!("{:02}:00-{:02}:00", (hour + 2) % 24, (hour + 3) % 24);
    settings.updates.window = Some(minute(&shut));
    let shut = apply(&machine.places, &settings, &wishes, &mut tell).unwrap_err();
    assert!(shut.to_string().contains("the window is"), "{shut}");
    apply(&machine.places, &settings, &asked(), &mut tell).unwrap();
    assert_eq!(machine.entries(), ["postern_1.0.0.efi", "postern_1.1.0+3-0.efi"]);
}
