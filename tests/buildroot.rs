//! What can be known of `buildroot-config/` without a tree of Buildroot: no drift from `image/`,
//! `systemd/` and `Cargo.lock`, reasons for the lines of the fragments, scripts that call what is
//! there. The rest is `buildroot-config/check BUILDROOT_DIR`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

const MACHINES: &[&str] = &["x86_64", "aarch64"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn ours(path: &str) -> String {
    read(&format!("buildroot-config/{path}"))
}

/// Name and number of each user in lines of systemd-sysusers (`u NAME NUMBER ...`).
fn sysusers(text: &str) -> BTreeMap<String, String> {
    let users = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()?.trim_end_matches('!') == "u").then_some(())?;
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    users.collect()
}

/// Name and number of each user in Buildroot's table; each has its own group and no password.
fn table(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let users = lines.map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.len() >= 9, "{line}: nine fields");
        assert_eq!((words[0], words[1]), (words[2], words[3]), "{line}: group like the user");
        assert_eq!(words[4], "!", "{line}: nobody logs in");
        (words[0].to_owned(), words[1].to_owned())
    });
    users.collect()
}

/// Lines of a fragment that belong to no reason: a block opens with a comment that is a sentence.
fn without_reason(fragment: &str) -> Vec<String> {
    let mut reason = false;
    let mut bare = Vec::new();
    for line in fragment.lines() {
        let setting = line.contains("CONFIG_");
        if line.is_empty() {
            reason = false;
        } else if line.starts_with("# ") && !setting {
            reason = true;
        } else if !reason || !(line.starts_with("CONFIG_") || line.ends_with(" is not set")) {
            bare.push(line.to_owned());
        }
    }
    bare
}

/// Names that a fragment sets, and names that it sets twice.
fn twice(texts: &[String]) -> Vec<String> {
    let mut seen = BTreeMap::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.split(['=', ' ']).next().filter(|name| name.starts_with("CONFIG_"))
        {
            *seen.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    seen.into_iter().filter(|(_, times)| *times > 1).map(|(name, _)| name).collect()
}

fn fragments(machine: &str) -> Vec<String> {
    let names = ["boot", "devices", "network", "hardening", machine];
    names.iter().map(|name| ours(&format!("board/postern/linux/{name}.config"))).collect()
}

/// The value that a line `NAME = value` of a make file, or `name=value` of the pin, gives.
fn value(text: &str, name: &str) -> String {
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name}")).trim().trim_matches('"').to_owned()
}

#[test]
fn the_users_are_those_of_the_units() {
    let mut there = table(&ours("board/postern/users.txt"));
    // Debian's package makes the user of chrony's unit, Buildroot's makes another one.
    let chrony = read("systemd/box/usr/lib/systemd/system/chrony.service.d/postern.conf");
    assert!(chrony.contains("\nUser=_chrony\n"), "{chrony}");
    assert!(there.remove("_chrony").is_some(), "{there:?}");
    assert_eq!(
        sysusers(&read("systemd/postern.sysusers")),
        there,
        "systemd/postern.sysusers and buildroot-config/board/postern/users.txt"
    );
}

#[test]
fn every_setting_of_the_kernel_has_a_reason_and_is_made_once() {
    for machine in MACHINES {
        for fragment in fragments(machine) {
            assert_eq!(without_reason(&fragment), Vec::<String>::new(), "{machine}");
        }
        assert_eq!(twice(&fragments(machine)), Vec::<String>::new(), "{machine}");
    }
    assert_eq!(without_reason(&ours("board/postern/busybox.config")), Vec::<String>::new());
}

#[test]
fn the_archive_of_crates_belongs_to_this_lock() {
    let said = Command::new("sha256sum").arg(root().join("Cargo.lock")).output().expect("runs");
    let sum = String::from_utf8(said.stdout).unwrap();
    let version =
        value(&ours("package/postern-crates/postern-crates.mk"), "POSTERN_CRATES_VERSION");
    assert_eq!(version, sum[..32], "Cargo.lock has changed: buildroot-config/vendor --renew");
    let hashes = ours("package/postern-crates/postern-crates.hash");
    assert!(hashes.contains(&format!("  postern-crates-{version}.tar.gz\n")), "{hashes}");
}

#[test]
fn program_and_compiler_are_what_cargo_says() {
    let cargo: toml::Table = read("Cargo.toml").parse().unwrap();
    let package = cargo["package"].as_table().unwrap();
    let version = value(&ours("package/postern/postern.mk"), "POSTERN_VERSION");
    assert_eq!(Some(version.as_str()), package["version"].as_str());
    let rust = value(&ours("package/postern-rust/postern-rust.mk"), "POSTERN_RUST_VERSION");
    assert_eq!(rust, value(&ours("pin"), "rust"));
    let number = |text: &str| -> Vec<u32> { text.split('.').map(|n| n.parse().unwrap()).collect() };
    let asked = package["rust-version"].as_str().unwrap();
    assert!(number(&rust) >= number(asked), "{rust} is older than {asked}");
    let profile = cargo["profile"]["release"].as_table().unwrap();
    let make = ours("package/postern/postern.mk");
    assert!(make.contains(&format!("RELEASE_LTO={}", profile["lto"])), "{profile}");
    assert!(make.contains(&format!("CODEGEN_UNITS=\"{}\"", profile["codegen-units"])), "{profile}");
}

#[test]
fn both_machines_differ_only_where_they_must() {
    let lines = |machine: &str| -> Vec<String> {
        let text = ours(&format!("configs/postern_{machine}_defconfig"));
        text.lines().map(|line| line.replace(machine, "MACHINE")).collect()
    };
    let (pc, arm) = (lines("x86_64"), lines("aarch64"));
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        let missing = a.iter().filter(|line| !b.contains(line));
        missing.filter(|line| !line.is_empty()).cloned().collect()
    };
    let pc_only = ["BR2_x86_MACHINE_v2=y", "BR2_LINUX_KERNEL_NEEDS_HOST_LIBELF=y"];
    assert_eq!(only(&pc, &arm), [&pc_only[..], &["BR2_PACKAGE_SYSTEMD_BOOT=y"]].concat());
    assert_eq!(only(&arm, &pc), Vec::<String>::new());
    let kernel = value(&ours("pin"), "linux");
    assert!(pc.contains(&format!("BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE=\"{kernel}\"")));
}

#[test]
fn every_path_that_is_named_is_there() {
    for machine in MACHINES {
        let defconfig = ours(&format!("configs/postern_{machine}_defconfig"));
        let named = defconfig.split("$(BR2_EXTERNAL_POSTERN_PATH)/").skip(1);
        for path in named.filter_map(|rest| rest.split(['"', ' ']).next()) {
            assert!(root().join("buildroot-config").join(path).exists(), "{machine}: {path}");
        }
        assert!(!defconfig.contains("BR2_ROOTFS_OVERLAY"), "a second copier of our files");
    }
    let scripts = ours("board/postern/post-build.sh") + &ours("board/postern/post-image.sh");
    let named: Vec<&str> = scripts.split("$checkout/").skip(1).collect();
    assert!(scripts.contains("$checkout/image/install-rootfs\" --binary"), "one installer");
    assert!(named.len() >= 4, "{named:?}");
    for path in named.iter().filter_map(|rest| rest.split(['"', ' ', ')', '$', '\n']).next()) {
        assert!(root().join(path).exists(), "a script names {path}");
    }
}

#[test]
fn the_marks_of_the_partition_table_are_filled_in() {
    let said = Command::new(root().join("image/layout")).arg("--genimage").output().expect("runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let table = String::from_utf8(said.stdout).unwrap();
    let script = ours("board/postern/post-image.sh");
    let marks: Vec<&str> = table.split('@').skip(1).step_by(2).collect();
    assert!(marks.len() >= 5, "{table}");
    for mark in marks {
        assert!(script.contains(&format!("@{mark}@")), "nobody fills in {mark}");
    }
    for file in table.lines().filter_map(|line| line.trim().strip_prefix("image = ")) {
        assert!(script.contains(file.trim_matches('"')), "nobody makes {file}");
    }
}

/// At first boot systemd-repart finds the slots by their types: definitions that name another
/// architecture would find none, and make four partitions beside those that are there.
#[test]
fn the_slots_have_the_type_of_the_machine_that_looks() {
    let folder = root().join("image/repart.d");
    let layout = |words: &[&str]| {
        let said = Command::new(root().join("image/layout")).args(words).output().expect("runs");
        assert!(said.status.success(), "{words:?}");
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    for slot in ["10-root-a", "11-root-a-verity", "20-root-b", "21-root-b-verity"] {
        let text = std::fs::read_to_string(folder.join(format!("{slot}.conf"))).unwrap();
        let kind = text.lines().find_map(|line| line.strip_prefix("Type=")).unwrap();
        let wanted = if slot.ends_with("verity") { "root-verity" } else { "root" };
        assert_eq!(kind, wanted, "{slot}");
        let factory = wanted.replace("root", "root-x86-64");
        assert_eq!(layout(&["--type", kind]), layout(&["--type", &factory]));
    }
}

#[test]
fn each_rule_can_fail() {
    assert_eq!(sysusers("u! a 7 -\n# u b 8\ng c 9\n").len(), 1);
    assert_eq!(table("a 7 a 7 ! - - - A\n")["a"], "7");
    assert_eq!(without_reason("CONFIG_A=y\n\n# Why.\nCONFIG_B=y\n\nCONFIG_C=y\n").len(), 2);
    assert_eq!(without_reason("# Why.\nCONFIG A\n"), ["CONFIG A"]);
    assert_eq!(twice(&["CONFIG_A=y\n".into(), "# CONFIG_A is not set\n".into()]), ["CONFIG_A"]);
    assert!(std::panic::catch_unwind(|| table("a 7 root 0 ! - - - A\n")).is_err());
    assert!(std::panic::catch_unwind(|| table("a 7 a 7 =secret - - - A\n")).is_err());
}
