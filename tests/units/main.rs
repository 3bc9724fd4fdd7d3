//! The units: what each is exposed to, why each line is there, what comes before what, and that
//! everything that they name exists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod alive;
mod analyze;
mod exposure;
mod order;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use analyze::analyze;
use order::Order;
use text::{Unit, files, root, settings, units};

/// Words that systemd 252 does not know: on Debian 12 no unit with one of them is installed.
const NEWER_WORDS: &[&str] = &[
    "RestartSteps",
    "RestartMaxDelaySec",
    "ImportCredential",
    "PollLimitIntervalSec",
    "PollLimitBurst",
    "WantsMountsFor",
];

/// Units of others that the preset names.
const OTHERS: &[&str] = &[
    "systemd-networkd.service",
    "systemd-networkd-wait-online.service",
    "systemd-network-generator.service",
    "chrony.service",
    "systemd-bless-boot.service",
    "systemd-boot-update.service",
    "nftables.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "getty@.service",
    "serial-getty@.service",
    "console-getty.service",
    "*",
];

/// Paths that units name and no package of ours has: who makes them.
const MADE: &[(&str, &str)] = &[
    ("/usr/bin/postern", "systemd/install --binary"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/bin/systemctl", "systemd"),
    ("/etc/postern", "systemd/install; the operator or the host role fills it"),
    ("/run", "systemd"),
    ("/var/lib/postern", "StateDirectory= of postern.service"),
    ("/var/lib/postern-host", "tmpfiles.d; StateDirectory= of postern-host.service"),
    ("/efi", "efi.mount"),
    ("/usr/lib", "the system"),
    ("/lib", "the system"),
    ("/dev", "devtmpfs"),
];

fn shared() -> PathBuf {
    root().join("systemd")
}

fn boxed() -> PathBuf {
    root().join("systemd/box/usr/lib/systemd/system")
}

/// The units of the box.
fn machine() -> BTreeMap<String, Unit> {
    units(&[&shared(), &boxed()])
}

/// Ours among them: those with a file of their own.
fn ours() -> BTreeMap<String, Unit> {
    let own = |name: &String| shared().join(name).exists() || boxed().join(name).exists();
    machine().into_iter().filter(|(name, _)| own(name)).collect()
}

/// A tree as `systemd/install` makes it, and what it said.
fn install(more: &[&str]) -> (tempfile::TempDir, String) {
    let tree = tempfile::tempdir().unwrap();
    let said = install_into(tree.path(), more);
    (tree, said)
}

fn install_into(tree: &Path, more: &[&str]) -> String {
    let mut command = Command::new(root().join("systemd/install"));
    let said = command.arg("--destdir").arg(tree).args(more).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap()
}

fn services(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let mut found: Vec<String> = names.filter(|name| name.ends_with(".service")).collect();
    found.sort();
    found
}

#[test]
fn systemd_reads_them_without_a_complaint() {
    let (plain, _) = install(&[]);
    let (whole, _) = install(&["--box"]);
    for (tree, knows_all) in [(plain, true), (whole, analyze().knows_all())] {
        let folder = tree.path().join("usr/lib/systemd/system");
        let names: Vec<String> = ours()
            .into_keys()
            .filter(|name| folder.join(name).exists() && !name.contains('@'))
            .collect();
        assert!(names.len() > 8, "{names:?}");
        let complaints: Vec<String> = analyze()
            .verify(&folder, &names)
            .into_iter()
            // The program and nft need not be on the machine that runs this test.
            .filter(|line| !line.contains(" is not executable: "))
            // Units of others on this machine are not our matter.
            .filter(|line| line.contains("postern") || line.contains("cycle"))
            .filter(|line| knows_all || !NEWER_WORDS.iter().any(|word| line.contains(word)))
            .collect();
        assert!(complaints.is_empty(), "systemd {}: {complaints:#?}", analyze().version);
    }
}

#[test]
fn every_line_says_why() {
    let mut bad = Vec::new();
    let all = files(&shared());
    let told = all.iter().filter(|path| {
        let kind = path.extension().unwrap_or_default();
        !path.ends_with("install") && kind != "toml" && kind != "nft"
    });
    let mut lines = 0;
    for path in told {
        let (found, wrong) = settings(&fs::read_to_string(path).unwrap());
        lines += found.len();
        bad.extend(wrong.iter().map(|line| format!("{}: {line}", path.display())));
    }
    assert!(lines > 500, "only {lines} settings were found");
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(settings("[Unit]\n# a\nA=1\nB=2\n").1.len(), 1);
}

/// No moment in which mail could leave by the wrong interface, and none in which the spool is not
/// where it belongs.
#[test]
fn the_order_leaves_no_gap() {
    let order = Order::of(&machine());
    assert_eq!(order.circles(), Vec::<&str>::new());
    let chains: &[&[&str]] = &[
        &[
            "postern-guard.service",
            "postern-network.service",
            "network-pre.target",
            "systemd-networkd.service",
            "postern-egress.service",
            "postern.service",
            "postern-health.service",
            "boot-complete.target",
            "systemd-bless-boot.service",
        ],
        &[
            "postern-disks.service",
            "var.mount",
            "var-lib-postern.mount",
            "local-fs.target",
            "postern-setup.service",
            "postern-network.service",
        ],
        &["var-lib-postern.mount", "postern.service"],
        &["postern-guard.service", "postern-submission.socket", "postern.service"],
        &["postern-network.service", "postern-submissions.socket", "postern.service"],
        &["postern-egress.socket", "postern-egress.service"],
        &["postern-network.service", "chrony.service"],
        &["postern-setup.service", "postern-host.service"],
        // A boot on trial marks itself before mail is written, and is confirmed at the very end.
        &["postern-settle.service", "postern.service"],
        &["postern-settle.service", "postern-health.service"],
        &["systemd-bless-boot.service", "postern-settled.service"],
    ];
    for chain in chains {
        for pair in chain.windows(2) {
            assert!(order.holds(pair[0], pair[1]), "{} is not before {}", pair[0], pair[1]);
        }
    }
    // The same without the box: a plain machine has its own network, and the same guard.
    let plain = Order::of(&units(&[&shared()]));
    assert_eq!(plain.circles(), Vec::<&str>::new());
    for pair in [
        ["postern-guard.service", "network-pre.target"],
        ["network-pre.target", "postern-egress.service"],
        ["postern-guard.service", "postern.service"],
        ["postern-egress.service", "postern.service"],
    ] {
        assert!(plain.holds(pair[0], pair[1]), "{pair:?}");
    }
}

/// Both slots are started by one boot loader: nothing replaces it before a boot was found good.
#[test]
fn the_boot_loader_is_replaced_after_a_good_boot_alone() {
    let preset = shared().join("box/usr/lib/systemd/system-preset/10-postern.preset");
    let preset = fs::read_to_string(preset).unwrap();
    assert!(preset.lines().any(|line| line == "disable systemd-boot-update.service"));
    for (name, unit) in machine() {
        let starts = unit.all("Service", "ExecStart");
        let brings = starts.iter().any(|line| line.ends_with(" update loader"));
        assert_eq!(brings, name == "postern-settled.service", "{name}");
        assert!(!starts.iter().any(|line| line.contains("bootctl")), "{name}");
    }
    let settled = &machine()["postern-settled.service"];
    assert!(settled.words("Unit", "Requires").contains(&"boot-complete.target"));
}

/// Whoever waits for the updater waits as long as it may work.
#[test]
fn the_updater_has_one_time_limit() {
    let hours = postern::base::limits::UPDATE_TIMEOUT.as_secs() / 3600;
    let unit = &machine()["postern-update.service"];
    assert_eq!(unit.last("Service", "TimeoutStartSec"), Some(format!("{hours}h").as_str()));
}

/// What fails closes the way, it does not open it.
#[test]
fn without_its_guard_nothing_leaves() {
    let machine = machine();
    let requires = |unit: &str, other: &str| {
        let required = machine[unit].words("Unit", "Requires");
        assert!(required.contains(&other), "{unit}: {required:?}");
    };
    requires("postern-egress.service", "postern-guard.service");
    requires("postern-network.service", "postern-guard.service");
    requires("postern.service", "postern-egress.socket");
    requires("var.mount", "postern-disks.service");
    let guard = &machine["postern-guard.service"];
    assert_eq!(
        guard.all("Service", "ExecStart"),
        [
            "/usr/sbin/nft -f /usr/lib/postern/closed.nft",
            "/usr/sbin/nft -f /usr/lib/postern/guard.nft"
        ]
    );
}

/// Only a boot on trial whose gate has failed, or could not even start, ends in a restart; nothing
/// else of ours ends in one.
#[test]
fn only_a_failed_trial_is_left() {
    let machine = machine();
    let back = &machine["postern-return.service"];
    let marks = back.all("Unit", "ConditionPathExists");
    assert_eq!(marks.len(), 2);
    assert_eq!(marks[0], "|/var/lib/postern-host/health/return");
    assert!(marks[1].starts_with("|/sys/firmware/efi/efivars/LoaderBootCountPath-"));
    // In an emergency there is neither a basic system nor a disk to wait for.
    assert_eq!(back.last("Unit", "DefaultDependencies"), Some("no"));
    for key in ["PrivateTmp", "StateDirectory"] {
        assert_eq!(back.last("Service", key), None, "{key} waits for /var");
    }
    let callers = ["postern-health.service", "postern-disks.service", "local-fs.target"];
    for (name, unit) in &machine {
        let calls = unit.words("Unit", "OnFailure").contains(&"postern-return.service");
        assert_eq!(calls, callers.contains(&name.as_str()), "{name}");
    }
    for (name, unit) in ours() {
        for key in ["FailureAction", "SuccessAction", "StartLimitAction"] {
            let own = (name == "postern-return.service" && key == "FailureAction")
                .then_some("reboot-force");
            assert_eq!(unit.last("Unit", key), own, "{name}");
        }
        let pulled = ["WantedBy", "RequiredBy", "Wants", "Requires"];
        let pulled = unit.values(&pulled).iter().any(|names| names.contains("postern-return"));
        assert!(!pulled, "{name}");
    }
}

#[test]
fn the_gateway_has_no_network_and_the_broker_has_nothing_else() {
    let machine = machine();
    let gateway = &machine["postern.service"];
    assert_eq!(gateway.last("Service", "PrivateNetwork"), Some("yes"));
    assert_eq!(gateway.words("Service", "RestrictAddressFamilies"), ["AF_UNIX"]);
    assert!(gateway.all("Service", "ExecStart")[0].ends_with(
        "serve --config /etc/postern/postern.toml --broker /run/postern-egress/egress.sock"
    ));
    let door = &machine["postern-egress.socket"];
    assert_eq!(door.last("Socket", "SocketUser"), gateway.last("Service", "User"));
    assert_eq!(door.last("Socket", "SocketMode"), Some("0600"));
    let broker = &machine["postern-egress.service"];
    assert_eq!(broker.last("Service", "User"), Some("postern-egress"));
    let hidden = broker.words("Service", "InaccessiblePaths");
    assert!(hidden.contains(&"-/var/lib/postern") && hidden.contains(&"-/etc/postern"));
    // None of ours is without a bound on its capabilities, and only these have any.
    let ours = ours();
    let with: BTreeSet<&str> = ours
        .iter()
        .filter(|(_, unit)| !unit.all("Service", "ExecStart").is_empty())
        .filter(|(_, unit)| unit.last("Service", "CapabilityBoundingSet") != Some(""))
        .map(|(name, _)| name.as_str())
        .collect();
    let allowed = ["disks", "guard", "health", "host", "network", "setup", "update"];
    let allowed: Vec<String> =
        allowed.iter().map(|part| format!("postern-{part}.service")).collect();
    assert_eq!(with.into_iter().collect::<Vec<_>>(), allowed);
}

/// A leak, a fork bomb or a loop in one part leaves the others alone, and its end is told.
#[test]
fn no_part_can_starve_another_and_none_fails_unseen() {
    for (name, unit) in ours() {
        let kind = name.rsplit('.').next().unwrap();
        let told = unit.words("Unit", "OnFailure").contains(&"postern-failure@%n.service");
        let by_hand = name.starts_with("efi.") || name.starts_with("run-");
        let teller = name == "postern-failure@.service";
        if ["service", "mount", "automount"].contains(&kind) && !by_hand && !teller {
            assert!(told, "{name} fails unseen");
        }
        if kind != "service" {
            continue;
        }
        // The guard and the disks are over before there is anything to starve.
        let early = ["postern-guard.service", "postern-disks.service"].contains(&name.as_str());
        for key in ["MemoryMax", "TasksMax"] {
            assert!(early || unit.last("Service", key).is_some(), "{name} has no {key}");
        }
        let stays = unit.last("Service", "Restart") == Some("always");
        assert!(!stays || unit.last("Service", "Slice") == Some("postern.slice"), "{name}");
        if unit.last("Service", "Type") == Some("oneshot") {
            // The disks alone: nobody knows how long a disk is erased, or when a person comes who
            // has the recovery key.
            let limit = unit.last("Service", "TimeoutStartSec");
            let waits = name == "postern-disks.service";
            assert!(limit.is_some(), "{name} may hang a boot");
            assert_eq!(limit == Some("infinity"), waits, "{name} may hang a boot, or gives up");
        }
    }
    let machine = machine();
    for engine in ["clamav-daemon.service", "rspamd.service"] {
        assert_eq!(machine[engine].last("Service", "Slice"), Some("postern-scan.slice"));
    }
    let weight = |unit: &str, section: &str| -> u32 {
        machine[unit].last(section, "CPUWeight").unwrap().parse().unwrap()
    };
    let gateway = weight("postern.service", "Service");
    for other in ["postern-host.service", "postern-update.service", "postern-console@.service"] {
        assert!(weight(other, "Service") < gateway, "{other}");
    }
    assert!(weight("postern-scan.slice", "Slice") < gateway);
    for unit in ["postern.service", "postern-egress.service", "postern-host.service"] {
        assert!(machine[unit].last("Service", "WatchdogSec").is_some());
        assert!(machine[unit].last("Service", "Type").unwrap().starts_with("notify"), "{unit}");
        // Nobody is ordered to stay dead after it.
        assert_eq!(machine[unit].last("Service", "Restart"), Some("always"), "{unit}");
    }
}

/// A recovery key that is written down, or not wanted, is wiped by those who hear of it.
#[test]
fn who_forgets_the_recovery_key_can_wipe_it() {
    for name in ["postern-host.service", "postern-setup.service"] {
        let writable = &ours()[name];
        assert!(writable.words("Service", "ReadWritePaths").contains(&"-/run/postern-disks"));
    }
}

#[test]
fn what_the_preset_names_exists() {
    let path = root().join("systemd/box/usr/lib/systemd/system-preset/10-postern.preset");
    let ours = ours();
    let text = fs::read_to_string(path).unwrap();
    let mut named = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (verb, unit) = line.split_once(' ').unwrap();
        assert!(["enable", "disable"].contains(&verb), "{line}");
        // A template is followed by its instances.
        let (template, instances) = unit.split_once(' ').unwrap_or((unit, ""));
        let (unit, template) = (template, template.to_owned());
        assert_eq!(verb == "enable" && unit.contains("@."), !instances.is_empty(), "{line}");
        assert!(ours.contains_key(&template) || OTHERS.contains(&unit), "{unit} does not exist");
        if let (true, Some(known)) = (verb == "enable", ours.get(&template)) {
            let keys = ["WantedBy", "RequiredBy"];
            assert!(!known.values(&keys).is_empty(), "{unit} cannot be enabled");
        }
        named.insert(template);
    }
    for (name, unit) in &ours {
        let installed = !unit.values(&["WantedBy", "RequiredBy"]).is_empty();
        assert!(!installed || named.contains(name), "the preset does not know {name}");
    }
    assert_eq!(text.lines().last(), Some("disable *"));
}

/// Every unit and every path that a unit names is there, or somebody is named who makes it.
#[test]
fn what_units_name_exists() {
    let (whole, _) = install(&["--box"]);
    let ours = ours();
    let own_folder = |path: &str, key: &str, base: &str| {
        let folders = ours.values().flat_map(|unit| unit.values(&[key])).collect::<Vec<_>>();
        folders.iter().flat_map(|names| names.split_whitespace()).any(|name| {
            let folder = format!("{base}/{name}");
            path == folder || path.starts_with(&format!("{folder}/"))
        })
    };
    let exists = |path: &str| {
        let sockets =
            ours.values().flat_map(|u| u.values(&["ListenStream", "ListenSequentialPacket"]));
        whole.path().join(&path[1..]).exists()
            || MADE.iter().any(|(made, _)| *made == path)
            || own_folder(path, "RuntimeDirectory", "/run")
            || own_folder(path, "StateDirectory", "/var/lib")
            || path.starts_with("/dev/")
            || path == "/etc/postern/postern.toml"
            || sockets.into_iter().any(|socket| socket == path)
    };
    let keys = [
        "ExecStart",
        "ExecStartPre",
        "ExecReload",
        "ConditionPathExists",
        "ReadWritePaths",
        "ExecPaths",
        "RequiresMountsFor",
        "WantsMountsFor",
        "What",
        "Where",
    ];
    for (name, unit) in machine() {
        for word in unit.values(&keys).iter().flat_map(|value| value.split_whitespace()) {
            // What may be missing is not looked for.
            if let Some(path) = Some(word).filter(|word| word.starts_with('/') && *word != "/") {
                let place = matches!(path, "/var" | "/var/lib/postern" | "/run/postern-host/stick");
                assert!(place || exists(path), "{name} names {path}, which nobody makes");
            }
        }
        let relations =
            ["Requires", "RequiredBy", "Wants", "WantedBy", "Also", "OnFailure", "Slice"];
        for other in unit.values(&relations).iter().flat_map(|value| value.split_whitespace()) {
            if other.starts_with("postern") && !other.contains('%') {
                assert!(ours.contains_key(other), "{name} names {other}, which does not exist");
            }
        }
    }
}

#[test]
fn users_have_the_same_numbers_in_both_slots() {
    let text = fs::read_to_string(shared().join("postern.sysusers")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("u "));
    let users: Vec<(&str, &str)> = lines
        .map(|line| {
            let mut words = line.split_whitespace().skip(1);
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect();
    let known = [("postern", "901"), ("postern-egress", "902"), ("postern-console", "903")];
    assert_eq!(users, [&known[..], &[("postern-health", "904")]].concat());
    for (name, unit) in ours() {
        if let Some(user) = unit.last("Service", "User") {
            assert!(users.iter().any(|(known, _)| *known == user), "{name}: {user}");
        }
    }
}

#[test]
fn installing_twice_changes_nothing() {
    for more in [&[][..], &["--box"], &["--box", "--binary", "/bin/true"]] {
        let (tree, said) = install(more);
        assert!(!said.contains("WARNING"), "{said}");
        let again = install_into(tree.path(), more);
        assert!(again.contains("systemd/install: 0 files written"), "{again}");
        let mode = |path: &str| {
            fs::metadata(tree.path().join(path)).unwrap().permissions().mode() & 0o7777
        };
        assert_eq!(mode("usr/lib/systemd/system/postern.service"), 0o644);
        let has = |path: &str| fs::symlink_metadata(tree.path().join(path)).is_ok();
        // What closes a machine and mounts its disks is on the box alone.
        for path in [
            "usr/lib/postern/closed.nft",
            "usr/lib/systemd/system/var.mount",
            "usr/lib/systemd/system/postern-disks.service",
            "usr/lib/sysctl.d/50-postern-box.conf",
            "etc/postern",
            "etc/systemd/system/ctrl-alt-del.target",
        ] {
            assert_eq!(has(path), more.contains(&"--box"), "{path}");
        }
        assert!(has("usr/lib/sysusers.d/postern.conf") && has("usr/lib/postern/guard.nft"));
        assert_eq!(has("usr/bin/postern"), more.contains(&"--binary"));
    }
    // A changed file is put right, and an old copy in /etc is told of.
    let (tree, _) = install(&[]);
    fs::write(tree.path().join("usr/lib/postern/guard.nft"), "x").unwrap();
    let old = tree.path().join("etc/systemd/system");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("postern.service"), "[Unit]\n").unwrap();
    let said = install_into(tree.path(), &[]);
    assert!(said.contains("/usr/lib/postern/guard.nft\n"), "{said}");
    assert!(said.contains("WARNING") && said.contains("1 files written"), "{said}");
}

/// The closed guard closes: nothing but loopback speaks, and a document's guard takes its place.
#[test]
fn the_closed_guard_closes() {
    let script = "set -e
        ip link set lo up
        ip link add out0 type veth peer name far0
        ip link set far0 up
        ip address add 192.0.2.10/24 dev out0
        ip link set out0 up
        say() { timeout 2 bash -c \"echo x >/dev/udp/$1/9\" 2>/dev/null && echo \"$1 speaks\"; }
        say 192.0.2.99; echo \"before the guard\"
        nft -f \"$1/guard.nft\"
        nft -f \"$1/closed.nft\"
        nft -f \"$1/closed.nft\"
        nft -f \"$1/guard.nft\"
        say 127.0.0.1; say 192.0.2.10; say 192.0.2.99 || echo closed
        nft list table inet postern
        cat \"$2\" >\"$3\"
        nft -f \"$3\"
        nft list table inet postern";
    let folder = tempfile::tempdir().unwrap();
    // The first file of the planned guard, from the golden text of its own test.
    let expected = fs::read_to_string(root().join("tests/plan/nftables.expected")).unwrap();
    let guard: Vec<&str> = expected
        .lines()
        .skip_while(|line| !line.starts_with("### ") || !line.ends_with("postern.nft"))
        .skip(1)
        .take_while(|line| !line.starts_with("### "))
        .collect();
    // Its user need not be on the machine that runs this test.
    let guard =
        guard.join("\n").replace("\"postern-egress\"", "902").replace("postern-egress", "902");
    fs::write(folder.path().join("guard"), guard + "\n").unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "bash", "-c", script, "bash"]).arg(shared());
    command.arg(folder.path().join("guard")).arg(folder.path().join("loaded"));
    let said = command.output().unwrap();
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "run this test as root: {said:?}");
    // Without a guard the same words go out: it is the guard that stops them.
    let (open, out) = out.split_once("before the guard\n").unwrap();
    assert!(open.contains("192.0.2.99 speaks"), "{open}");
    assert!(out.contains("127.0.0.1 speaks") && out.contains("closed\n"), "{out}");
    assert!(!out.contains("192.0.2.99 speaks"), "{out}");
    // Two tables were shown: the closed one, and the planned one in its place.
    let tables: Vec<&str> = out.split("table inet postern {").skip(1).collect();
    let [closed, planned] = tables[..] else { panic!("{out}") };
    assert!(closed.contains("comment \"closed\"") && closed.contains("policy drop"), "{out}");
    assert!(planned.contains("comment \"plan ") && !planned.contains("\"closed\""), "{out}");
}
