//! The real systemd-networkd reads our files in a namespace of its own and must make the same
//! rules, routes and addresses as the script does.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use postern::host::plan::Form;
use postern::host::plan::kernel::differences;

use crate::space::{alone, plan, run};

pub(crate) const NETWORKD: &str = "/lib/systemd/systemd-networkd";

/// A daemon that ends with the test.
pub(crate) struct Daemon(pub(crate) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A place for networkd with nothing but `files`, in this thread's network: /run and /etc/systemd
/// are private, and /sys is read-only, which tells networkd that no udev will ever come.
fn furnish(files: &[postern::host::plan::File]) {
    assert!(Path::new(NETWORKD).exists(), "{NETWORKD} is missing: install systemd");
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    for place in ["/run", "/etc/systemd"] {
        mount(Some("none"), place, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    }
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::MS_RDONLY, none).unwrap();
    for part in ["links", "leases", "lldp"] {
        fs::create_dir_all(format!("/run/systemd/netif/{part}")).unwrap();
    }
    run("chown -R systemd-network /run/systemd/netif");
    for file in files.iter().filter(|file| file.path.starts_with("etc/systemd")) {
        let path = Path::new("/").join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &file.text).unwrap();
    }
}

fn networkd() -> Daemon {
    let mut command = Command::new(NETWORKD);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("SYSTEMD_LOG_TARGET", "null").process_group(0);
    Daemon(command.spawn().unwrap())
}

/// What differs that networkd is responsible for.
fn left(plan: &postern::host::plan::Plan) -> Vec<String> {
    let mut what: Vec<String> = differences(plan).into_iter().map(|found| found.what).collect();
    what.retain(|what| !what.starts_with("net/") && !what.contains("guard"));
    what
}

fn until_whole(plan: &postern::host::plan::Plan) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !left(plan).is_empty() {
        assert!(Instant::now() < patience, "{:#?}\n{}", left(plan), run("ip address"));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn networkd_makes_of_its_files_what_the_script_makes() {
    alone(|| {
        let plan = plan("wires.toml");
        furnish(&plan.files(Form::Networkd));
        let daemon = networkd();
        until_whole(&plan);
        let rules = [run("ip rule"), run("ip -6 rule")];
        // A cable that is pulled takes nothing away that stops a leak.
        run("ip link set eg0p down");
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(rules, [run("ip rule"), run("ip -6 rule")]);
        assert!(run("ip route show table 101").contains("unreachable default"));
        run("ip link set eg0p up");
        until_whole(&plan);
        // Nor does the end of networkd, or a new one.
        drop(daemon);
        assert_eq!(left(&plan), [""; 0]);
        let _daemon = networkd();
        std::thread::sleep(Duration::from_millis(1500));
        until_whole(&plan);
        assert_eq!(rules, [run("ip rule"), run("ip -6 rule")]);
    });
}

/// `egress apply` on a system without systemd: an /etc of its own, and the script.
#[test]
fn apply_puts_the_plan_in_force() {
    alone(|| {
        let place = tempfile::tempdir().unwrap();
        let protocols = fs::read("/etc/protocols").unwrap_or_default();
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        for folder in ["/run", "/etc"] {
            mount(Some("none"), folder, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        }
        fs::write("/etc/protocols", protocols).unwrap();
        fs::write("/etc/any.pem", "x").unwrap();
        let text = fs::read_to_string(crate::space::folder().join("wires.toml")).unwrap();
        let text = text.replace("/c.pem", "/etc/any.pem").replace("/k.pem", "/etc/any.pem");
        let document = place.path().join("postern.toml");
        fs::write(&document, text).unwrap();
        let postern = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
            let command = command.args(words).arg("--config").arg(&document);
            let out = command.stdin(Stdio::null()).output().unwrap();
            (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
        };
        let (code, said) = postern(&["egress", "apply", "--dry-run"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("would run    sh -s"), "{said}");
        assert_eq!(postern(&["egress", "plan", "--check"]).0, Some(1));
        let (code, said) = postern(&["egress", "apply"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("the system is as planned"), "{said}");
        assert!(Path::new("/etc/nftables.d/postern.nft").exists());
        assert_eq!(postern(&["egress", "plan", "--check"]).0, Some(0));
    });
}
