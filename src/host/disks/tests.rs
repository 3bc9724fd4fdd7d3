//! First boot, later boots and resets against a machine of files and scripted programs.

use super::*;
use std::cell::RefCell;

/// A machine in a folder: its partitions are files, its programs do to them what the real ones do.
struct Fake {
    places: Places,
    _folder: tempfile::TempDir,
    calls: RefCell<Vec<String>>,
    slots: RefCell<Vec<(String, String)>>,
    made: RefCell<bool>,
    /// What e2fsck finds on which device without asking back.
    damage: RefCell<Option<(String, i32)>>,
    /// Recovery keys that were made, the last one is good.
    keys: RefCell<Vec<String>>,
    /// Disks that the TPM does not open.
    refused: RefCell<Vec<String>>,
    /// Disks whose slot of the TPM was wiped.
    wiped: RefCell<Vec<String>>,
    /// What a person types.
    typed: RefCell<Vec<String>>,
    plain: bool,
}

const HASH: &str = "4005e754ea7982fb00371c02264ca0427f7f2176cf5e043a0b4b234a301ee1b5";

impl Fake {
    fn new(tpm: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        for made in [
            "proc",
            "dev/disk/by-partuuid",
            "sys/class/block",
            "sys/devices/vda/vda2",
            "sys/firmware/efi/efivars",
            "sys/class/tty/console",
        ] {
            fs::create_dir_all(root.join(made)).unwrap();
        }
        fs::write(root.join("proc/cmdline"), format!("quiet roothash={HASH}\n")).unwrap();
        let uuid = "4005e754-ea79-82fb-0037-1c02264ca042";
        symlink("../../vda2", root.join("dev/disk/by-partuuid").join(uuid)).unwrap();
        fs::write(root.join("sys/class/tty/console/active"), "tty0 ttyS0\n").unwrap();
        for console in ["tty0", "ttyS0"] {
            fs::write(root.join("dev").join(console), "").unwrap();
        }
        let block = root.join("sys/class/block/vda2");
        symlink(root.join("sys/devices/vda/vda2"), block).unwrap();
        if tpm {
            fs::write(root.join("dev/tpmrm0"), "").unwrap();
        }
        let places = Places {
            definitions: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/image/repart.d")),
            run: root.join("run"),
            root,
        };
        Self {
            places,
            _folder: folder,
            calls: RefCell::default(),
            slots: RefCell::default(),
            made: RefCell::new(false),
            damage: RefCell::default(),
            keys: RefCell::default(),
            refused: RefCell::default(),
            wiped: RefCell::default(),
            typed: RefCell::default(),
            plain: !tpm,
        }
    }

    fn node(&self, name: &str) -> String {
        self.places.root.join("dev").join(name).to_string_lossy().into_owned()
    }

    fn ready(&self) -> Result<Standing, Fault> {
        ready(&self.places, self)
    }

    fn ask_for(&self, word: &str) {
        let request = self.places.run.join("esp").join(REQUEST_PATH);
        fs::create_dir_all(request.parent().unwrap()).unwrap();
        fs::write(request, word).unwrap();
    }

    fn called(&self, words: &str) -> bool {
        self.calls.borrow().iter().any(|call| call.contains(words))
    }

    /// Whether the firmware's variables are hidden just now.
    fn hidden(&self) -> bool {
        let calls = self.calls.borrow();
        let last = calls.iter().rfind(|call| call.ends_with("/efi/efivars"));
        last.is_some_and(|call| call.starts_with("hide "))
    }

    fn repart(&self, words: &str) -> String {
        if words.contains("--dry-run=no") {
            let definition = |name: &str| {
                fs::read_to_string(self.places.run.join("repart.d").join(name)).unwrap()
            };
            for (name, file) in [("30-state.conf", "vda6"), ("40-spool.conf", "vda7")] {
                let text = definition(name);
                let reset = words.contains("--factory-reset=yes") && text.contains("FactoryReset=");
                if reset || !*self.made.borrow() {
                    let encrypt = text.contains("Encrypt=tpm2");
                    let start: &[u8] = if encrypt { b"LUKS\xba\xbe new" } else { b"ext4 new" };
                    fs::write(self.node(file), start).unwrap();
                    if file == "vda6" {
                        let _nothing_was_kept = fs::remove_file(self.on_state(KEPT_PATH));
                    }
                    self.slots.borrow_mut().retain(|(node, _)| *node != self.node(file));
                }
            }
            *self.made.borrow_mut() = true;
        }
        let activity = if *self.made.borrow() { "unchanged" } else { "create" };
        format!(
            r#"[{{"file":"/x/00-esp.conf","node":"{}","activity":"unchanged"}},
                {{"file":"/x/30-state.conf","node":"{}","activity":"{activity}"}},
                {{"file":"/x/40-spool.conf","node":"{}","activity":"{activity}"}}]"#,
            self.node("vda1"),
            self.node("vda6"),
            self.node("vda7")
        )
    }

    fn check(&self, called: &Called) -> i32 {
        let mut damage = self.damage.borrow_mut();
        let Some((_, code)) = damage.take_if(|(on, _)| called.words.last() == Some(on)) else {
            return 0;
        };
        if called.words.iter().any(|word| word == "-y") {
            return code & !4 | 1;
        }
        *damage = Some((called.words.last().unwrap().clone(), code));
        code
    }

    fn enroll(&self, called: &Called) -> String {
        let node = called.words.last().unwrap().clone();
        let has = |word: &str| called.words.iter().any(|given| given == word);
        let given = |name: &str| {
            let found = called.variables.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| value.clone())
        };
        if has("--wipe-slot=recovery,password") {
            assert!(!self.refused.borrow().contains(&node), "the TPM opens it");
            self.slots.borrow_mut().retain(|(of, kind)| *of != node || kind == "tpm2");
        }
        if has("--wipe-slot=tpm2") {
            self.wiped.borrow_mut().push(node.clone());
        }
        if has("--tpm2-device=auto") {
            assert_eq!(given("PASSWORD"), self.keys.borrow().last().cloned());
            assert!(has("--tpm2-pcrs=7") && !has("--wipe-slot=tpm2"));
            // As the real one: with a slot of these registers it does nothing, and that well.
            if self.wiped.borrow().contains(&node) {
                self.refused.borrow_mut().retain(|of| *of != node);
            }
            return String::new();
        }
        if has("--recovery-key") {
            self.slots.borrow_mut().push((node, "recovery".to_owned()));
            let key = format!("abcd-{:04}", self.keys.borrow().len());
            self.keys.borrow_mut().push(key.clone());
            return format!("{key}\n");
        }
        if has("--password") {
            assert_eq!(given("NEWPASSWORD"), self.keys.borrow().last().cloned());
            self.slots.borrow_mut().push((node, "password".to_owned()));
            return String::new();
        }
        let slots = self.slots.borrow();
        let own = slots.iter().filter(|(of, _)| *of == node).map(|(_, kind)| format!("1 {kind}\n"));
        format!("SLOT TYPE\n0 tpm2\n{}", own.collect::<String>())
    }

    /// Whoever opens a disk by a key must have the right one.
    fn open(&self, called: &Called) -> i32 {
        if self.keys.borrow().last() == Some(&called.input) { 0 } else { 2 }
    }

    /// State's own file system.
    fn on_state(&self, path: &str) -> PathBuf {
        self.places.run.join("look").join(path)
    }

    fn key_is_written_down(&self) {
        let kept = self.on_state(KEPT_PATH);
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        fs::write(kept, "").unwrap();
    }

    /// Secure Boot was changed: what was sealed before is not opened.
    fn firmware_changes(&self) {
        *self.refused.borrow_mut() = vec![self.node("vda6"), self.node("vda7")];
    }
}

impl Programs for Fake {
    fn call(&self, called: &Called) -> Result<Ended, Fault> {
        let words = called.words.join(" ");
        self.calls.borrow_mut().push(format!("{} {words}", called.program));
        let mut code = 0;
        let out = match called.program {
            "systemd-repart" => {
                if words.contains("--factory-reset=yes") && !self.hidden() {
                    // As the real one: what is to be reset is gone, and nothing new is made.
                    fs::remove_file(self.node("vda6")).unwrap();
                    let complaint = "Failed to remove EFI variable FactoryReset".to_owned();
                    let (program, out) = (called.program, String::new());
                    return Ok(Ended { program, code: 1, out, complaint });
                }
                self.repart(&words)
            }
            "systemd-cryptenroll" => self.enroll(called),
            "systemd-cryptsetup" => {
                assert!(words.contains("headless=yes"), "it asks nobody by itself");
                code = i32::from(self.refused.borrow().contains(&called.words[2]));
                String::new()
            }
            "systemd-ask-password" => format!("{}\n", self.typed.borrow_mut().remove(0)),
            "cryptsetup" if words.starts_with("open ") => {
                code = self.open(called);
                String::new()
            }
            "e2fsck" => {
                code = self.check(called);
                String::new()
            }
            _ => String::new(),
        };
        Ok(Ended { program: called.program, code, out, complaint: String::new() })
    }

    fn mount(&self, kind: &str, _: &str, at: &str, writable: bool) -> Result<(), Fault> {
        assert_eq!(kind == "ext4", at.ends_with("look"));
        assert!(kind == "vfat" || !writable);
        Ok(())
    }

    fn hide(&self, at: &str) -> Result<(), Fault> {
        self.calls.borrow_mut().push(format!("hide {at}"));
        Ok(())
    }

    fn unmount(&self, at: &str) -> Result<(), Fault> {
        self.calls.borrow_mut().push(format!("unmount {at}"));
        Ok(())
    }
}

#[test]
fn without_a_tpm_it_is_plain_and_says_so() {
    let fake = Fake::new(false);
    let standing = fake.ready().unwrap();
    assert!(!standing.encrypted && fake.plain);
    assert!(standing.why.as_deref().unwrap().contains("no TPM"));
    assert!(!standing.recovery_key_new);
    assert_eq!(fs::read_link(fake.places.run.join("spool")).unwrap(), standing.spool);
    let told = fs::read(fake.places.run.join("state.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Standing>(&told).unwrap(), standing);
    assert!(!fake.called("systemd-cryptsetup"));
}

#[test]
fn with_a_tpm_one_recovery_key_opens_both_and_is_new_until_it_is_written_down() {
    let fake = Fake::new(true);
    let standing = fake.ready().unwrap();
    assert!(standing.encrypted && standing.recovery_key_new);
    assert_eq!(standing.why, None);
    assert_eq!(standing.state, Path::new("/dev/mapper/postern-state"));
    let key = fake.places.run.join("recovery-key");
    assert_eq!(fs::read_to_string(&key).unwrap(), "abcd-0000\n");
    assert!(fake.called("systemd-cryptsetup attach postern-spool"));
    // Nobody has said that it is written down: the next start makes another, and wipes this one.
    assert!(fake.ready().unwrap().recovery_key_new);
    assert_eq!(fs::read_to_string(&key).unwrap(), "abcd-0001\n");
    assert_eq!(fake.slots.borrow().len(), 2, "one for each disk");
    for console in ["tty0", "ttyS0"] {
        let told = fs::read_to_string(fake.node(console)).unwrap();
        assert!(told.contains("Write this recovery key down") && told.contains("abcd-0001\r\n"));
    }
    // The key never stands where every process can read it.
    assert!(!fake.called("abcd-"));
    fake.key_is_written_down();
    fs::remove_file(&key).unwrap();
    let standing = fake.ready().unwrap();
    assert!(!standing.recovery_key_new && standing.notes.is_empty());
    assert!(!key.exists());
}

#[test]
fn a_slot_that_somebody_has_wiped_is_told_and_shows_no_key() {
    let fake = Fake::new(true);
    fake.ready().unwrap();
    fake.key_is_written_down();
    fs::remove_file(fake.places.run.join("recovery-key")).unwrap();
    let spool = fake.node("vda7");
    fake.slots.borrow_mut().retain(|(of, _)| *of != spool);
    let standing = fake.ready().unwrap();
    assert!(!standing.recovery_key_new && !fake.places.run.join("recovery-key").exists());
    assert!(standing.notes[0].starts_with("spool: no recovery key opens it"));
}

#[test]
fn a_key_that_is_typed_opens_both_and_the_tpm_gets_them_again() {
    let fake = Fake::new(true);
    fake.ready().unwrap();
    fake.firmware_changes();
    *fake.typed.borrow_mut() = ["", "wrong", "abcd-0000"].map(str::to_owned).to_vec();
    let standing = fake.ready().unwrap();
    assert!(fake.typed.borrow().is_empty(), "it is asked for once, for both disks");
    assert!(standing.notes.len() == 2 && standing.notes[1].contains("spool was opened by the"));
    assert!(!standing.recovery_key_new, "whoever has typed the key has it");
    assert!(!fake.called("abcd-"));
    fake.key_is_written_down();
    assert_eq!(fake.ready().unwrap().notes, Vec::<String>::new(), "the TPM opens them");
}

#[test]
fn in_a_machine_without_a_tpm_the_key_opens_and_nothing_is_sealed() {
    let fake = Fake::new(true);
    fake.ready().unwrap();
    fake.firmware_changes();
    fs::remove_file(fake.node("tpmrm0")).unwrap();
    fake.typed.borrow_mut().push("abcd-0000".to_owned());
    let standing = fake.ready().unwrap();
    assert!(standing.encrypted && standing.notes[0].contains("no TPM 2.0, each start asks again"));
    assert!(!fake.called("--wipe-slot=tpm2"));
}

#[test]
fn a_reset_that_keeps_the_spool_keeps_it() {
    let fake = Fake::new(false);
    fake.ready().unwrap();
    fs::write(fake.node("vda6"), "old configuration").unwrap();
    fs::write(fake.node("vda7"), "mail of customers").unwrap();
    fake.ask_for("keep-spool\n");
    assert_eq!(fake.ready().unwrap().reset, Some(Reset::KeepSpool));
    assert_eq!(fs::read(fake.node("vda6")).unwrap(), b"ext4 new");
    assert_eq!(fs::read(fake.node("vda7")).unwrap(), b"mail of customers");
    let erased = |of: u64, name| format!("--zeroout --offset=0 --length={of} {}", fake.node(name));
    assert!(fake.called(&erased(17, "vda6")));
    assert!(!fake.called(&erased(17, "vda7")));
    // It is carried out once.
    assert_eq!(fake.ready().unwrap().reset, None);
}

#[test]
fn a_large_disk_is_erased_piece_by_piece_and_every_console_hears_of_it() {
    let fake = Fake::new(false);
    fake.ready().unwrap();
    let gib = 1024 * 1024 * 1024;
    fs::File::create(fake.node("vda7")).unwrap().set_len(2 * gib + 4096).unwrap();
    fake.ask_for("everything");
    fake.ready().unwrap();
    for (offset, length) in [(0, gib), (gib, gib), (2 * gib, 4096)] {
        assert!(fake.called(&format!("--offset={offset} --length={length} ")));
    }
    for console in ["tty0", "ttyS0"] {
        let told = fs::read_to_string(fake.node(console)).unwrap();
        assert!(told.contains("1024 of 2048 MiB are erased\r\n"), "{told}");
    }
}

#[test]
fn a_reset_of_everything_destroys_the_keys_of_both() {
    let fake = Fake::new(true);
    fake.ready().unwrap();
    fake.ask_for("everything");
    let standing = fake.ready().unwrap();
    assert_eq!(standing.reset, Some(Reset::Everything));
    for node in ["vda6", "vda7"] {
        assert!(fake.called(&format!("cryptsetup erase --batch-mode {}", fake.node(node))));
    }
    assert!(standing.recovery_key_new, "the old key opens nothing any more");
}

#[test]
fn a_reset_that_a_power_cut_has_met_goes_on() {
    let fake = Fake::new(false);
    fake.ready().unwrap();
    fake.ask_for("everything");
    // The partitions are removed, and not made anew yet.
    for node in ["vda6", "vda7"] {
        fs::remove_file(fake.node(node)).unwrap();
    }
    *fake.made.borrow_mut() = false;
    assert_eq!(fake.ready().unwrap().reset, Some(Reset::Everything));
    assert_eq!(fs::read(fake.node("vda6")).unwrap(), b"ext4 new");
    assert!(!fake.hidden(), "what is hidden is seen again");
    assert_eq!(fake.ready().unwrap().reset, None);
}

#[test]
fn a_word_that_is_not_understood_destroys_nothing() {
    let fake = Fake::new(false);
    fake.ready().unwrap();
    fs::write(fake.node("vda7"), "mail of customers").unwrap();
    fake.ask_for("evrything");
    assert_eq!(fake.ready().unwrap().reset, None);
    assert_eq!(fs::read(fake.node("vda7")).unwrap(), b"mail of customers");
}

#[test]
fn a_file_system_that_wants_an_answer_is_mended_and_named() {
    let fake = Fake::new(false);
    *fake.damage.borrow_mut() = Some((fake.node("vda7"), 4));
    let standing = fake.ready().unwrap();
    assert!(fake.called(&format!("e2fsck -f -y {}", fake.node("vda7"))));
    assert!(!fake.called(&format!("e2fsck -f -y {}", fake.node("vda6"))));
    assert!(standing.notes[0].contains("the file system of spool was damaged"));
    assert!(fs::read_to_string(fake.node("tty0")).unwrap().contains("spool was damaged"));
    assert_eq!(fake.ready().unwrap().notes, Vec::<String>::new(), "it is whole now");
    // 8: e2fsck itself could not work; it is not told to do as it likes.
    *fake.damage.borrow_mut() = Some((fake.node("vda7"), 8));
    assert!(fake.ready().is_err());
    // 3: corrected, and it would like a reboot.
    *fake.damage.borrow_mut() = Some((fake.node("vda7"), 3));
    assert_eq!(fake.ready().unwrap().notes, Vec::<String>::new());
}
