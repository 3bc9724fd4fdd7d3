//! A machine that is a folder, with the real host role in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use postern::service::host::run::{Options, run};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A machine in a folder, with a service manager and a network step that always succeed.
pub(crate) struct Machine {
    root: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    role: Option<tokio::task::JoinHandle<std::process::ExitCode>>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["usr/bin", "usr/lib", "etc/postern", "var/lib/postern", "run"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for program in ["systemctl", "postern"] {
            let path = root.path().join("usr/bin").join(program);
            fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let release = "ID=postern\nIMAGE_ID=postern\nIMAGE_VERSION=1.0.0\n";
        fs::write(root.path().join("usr/lib/os-release"), release).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self { root, runtime, role: None }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/host.sock")
    }

    /// Starts the host role; whoever runs this test is the console's user.
    pub(crate) fn start(&mut self) {
        let options = Options {
            root: self.root.path().to_owned(),
            socket: Some(self.socket()),
            guests: vec![nix::unistd::getuid().to_string()],
        };
        self.role = Some(self.runtime.spawn(run(options)));
        let begun = Instant::now();
        while !self.socket().exists() {
            assert!(begun.elapsed() < PATIENCE, "the host role does not come up");
            std::thread::yield_now();
        }
    }
}
