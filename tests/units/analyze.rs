//! systemd-analyze: that of this machine if it is new enough, else that of the image's tools.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::text::root;

/// The oldest whose exposure is that of Debian 13's, but for words that it does not know.
const OLDEST: u32 = 252;

/// The first that knows every word of the box's units.
const KNOWS_ALL: u32 = 257;

/// Where systemd-analyze is.
pub(crate) struct Analyze {
    /// A tree to change into; none: this machine's own.
    tree: Option<PathBuf>,
    pub(crate) version: u32,
}

/// The one that is there; fails with the remedy if there is none.
pub(crate) fn analyze() -> &'static Analyze {
    static FOUND: OnceLock<Analyze> = OnceLock::new();
    FOUND.get_or_init(|| {
        let tools = root().join("target/image/tools");
        let tools = tools.join("usr/bin/systemd-analyze").exists().then_some(tools);
        // One that knows all words goes first, whichever it is.
        let all: Vec<Analyze> = [None, tools].into_iter().filter_map(Analyze::at).collect();
        let best = all.into_iter().max_by_key(|found| found.version.min(KNOWS_ALL));
        best.filter(|found| found.version >= OLDEST).unwrap_or_else(|| {
            panic!(
                "no systemd-analyze of systemd {OLDEST} or newer: apt-get install systemd, or make \
                 the tools of the image (image/tools)"
            )
        })
    })
}

impl Analyze {
    fn at(tree: Option<PathBuf>) -> Option<Self> {
        let found = Self { tree, version: 0 };
        let said = found.command("").arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = text.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self { version, ..found })
    }

    fn command(&self, units: &str) -> Command {
        let mut command = match &self.tree {
            None => Command::new("systemd-analyze"),
            Some(tree) => {
                let mut command = Command::new("chroot");
                command.arg(tree).arg("systemd-analyze");
                command
            }
        };
        // The empty end stands for the usual folders.
        command.env("SYSTEMD_UNIT_PATH", format!("{units}:")).env("SYSTEMD_COLORS", "0");
        command.env("SYSTEMD_LOG_TARGET", "console").env("LC_ALL", "C");
        command
    }

    pub(crate) fn knows_all(&self) -> bool {
        self.version >= KNOWS_ALL
    }

    /// Runs `work` with a copy of the folder with units where systemd-analyze sees it.
    fn with_units<T>(&self, folder: &Path, work: impl FnOnce(&str) -> T) -> T {
        let place = match &self.tree {
            None => std::env::temp_dir(),
            Some(tree) => tree.join("tmp"),
        };
        let copy = tempfile::Builder::new().prefix("postern").tempdir_in(place).unwrap();
        let copied = Command::new("cp").arg("-r").arg(folder).arg(copy.path().join("u")).status();
        assert!(copied.unwrap().success());
        let inside = match &self.tree {
            None => copy.path().to_owned(),
            Some(tree) => Path::new("/").join(copy.path().strip_prefix(tree).unwrap()),
        };
        if !self.knows_all() {
            // It counts like this word (systemd 257 says so of both), which this one knows.
            for unit in ["postern.service", "postern-egress.service"] {
                let users = copy.path().join(format!("u/{unit}.d/newer.conf"));
                if let Ok(text) = std::fs::read_to_string(&users) {
                    std::fs::write(users, text.replace("=identity", "=yes")).unwrap();
                }
            }
        }
        work(inside.join("u").to_str().unwrap())
    }

    /// The exposure of each service in a folder, with its drop-ins, in tenths.
    pub(crate) fn exposure(&self, folder: &Path, services: &[String]) -> Vec<(String, u32)> {
        self.with_units(folder, |units| {
            let tenths = |unit: &String| {
                let mut command = self.command(units);
                command.args(["security", "--offline=true"]).arg(format!("{units}/{unit}"));
                let said = command.output().unwrap();
                let text = String::from_utf8_lossy(&said.stdout).into_owned();
                let end = text.lines().find_map(|line| line.split_once("Overall exposure level"));
                let word = end.and_then(|(_, rest)| rest.split(": ").nth(1)?.split(' ').next());
                let number: f64 = word.and_then(|word| word.parse().ok()).unwrap_or_else(|| {
                    panic!("{unit}: {text} {}", String::from_utf8_lossy(&said.stderr))
                });
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 10"
                )]
                let tenths = (number * 10.0).round() as u32;
                (unit.clone(), tenths)
            };
            services.iter().map(tenths).collect()
        })
    }

    /// What systemd complains of when it reads these units.
    pub(crate) fn verify(&self, folder: &Path, units: &[String]) -> Vec<String> {
        self.with_units(folder, |path| {
            let mut command = self.command(path);
            command.args(["verify", "--man=no"]);
            command.args(units.iter().map(|unit| format!("{path}/{unit}")));
            let said = command.output().unwrap();
            let text = String::from_utf8_lossy(&said.stderr).into_owned();
            text.lines().map(str::to_owned).collect()
        })
    }
}
