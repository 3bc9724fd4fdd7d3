//! A machine in a folder: a disk with a GPT, an ESP, what the kernel and the image say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use postern::host::slots::gpt;
use postern::host::slots::machine::Places;
use postern::service::update::{Settings, Source, Status, Wishes, settle, stage, status};
use postern::update::manifest::{Sha256, uuids};
use tempfile::TempDir;

/// Enters the tree with this folder of temporary files at the same path.
const IN_TREE: &str = "set -e; tree=$1; shift; mount --make-rprivate /; \
     mount -t proc proc $tree/proc; mount --rbind /dev $tree/dev; mount --bind /tmp $tree/tmp; \
     exec chroot $tree \"$@\"";

/// A tree of tools that can be entered. One that is named must be such a tree.
pub(crate) fn tree() -> Option<PathBuf> {
    let named = std::env::var_os("POSTERN_TOOLS").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image/tools");
    let asked = named.is_some();
    let found = enter(named.unwrap_or(usual));
    assert!(found.is_some() || !asked, "POSTERN_TOOLS names no tree that can be entered: as root?");
    found
}

fn enter(tree: PathBuf) -> Option<PathBuf> {
    let words = words(&tree, &["/usr/lib/systemd/systemd-sysupdate", "--version"]);
    let ran = Command::new(&words[0]).args(&words[1..]).output().ok()?;
    (tree.join("usr/bin/xz").exists() && ran.status.success()).then_some(tree)
}

/// Says that something is not shown, once for each test.
pub(crate) fn not_shown() {
    println!(
        "not shown: there is no tree of tools that can be entered (image/tools, POSTERN_TOOLS)"
    );
}

/// A command line that runs `words` in the tree.
pub(crate) fn words(tree: &Path, words: &[&str]) -> Vec<String> {
    let tree = tree.to_str().unwrap();
    let before = ["unshare", "--mount", "sh", "-c", IN_TREE, "sh", tree];
    before.iter().chain(words).map(|word| (*word).to_owned()).collect()
}

/// The machine.
pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    pub(crate) places: Places,
    tree: PathBuf,
    mounted: bool,
}

/// A release as its builder has it.
pub(crate) struct Release {
    pub(crate) bundle: PathBuf,
    pub(crate) root_hash: Sha256,
    pub(crate) root: Vec<u8>,
}

pub(crate) fn octets(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

impl Machine {
    /// A machine that runs 1.0.0 from its first slot.
    pub(crate) fn new(tree: &Path) -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let at = |path: &str| folder.path().join(path);
        let mut places = Places {
            root: at("system"),
            disk: Some(at("disk.img")),
            esp: at("esp"),
            entries: at("esp/EFI/Linux"),
            loader: at("system/usr/lib/systemd/boot/efi"),
            folder: at("state/update"),
            run: at("run"),
            keys: at("keys"),
            sysupdate: words(tree, &["/usr/lib/systemd/systemd-sysupdate"]),
            program: env!("CARGO_BIN_EXE_postern").into(),
            health: at("state/health/last.json"),
            ledger: at("spool/ledger"),
        };
        fs::create_dir_all(&places.run).unwrap();
        fs::create_dir_all(at("esp")).unwrap();
        places.sysupdate.shrink_to_fit();
        let mut machine = Self { folder, places, tree: tree.to_owned(), mounted: false };
        machine.esp();
        machine.disk();
        machine.run_as("1.0.0", &hash("1.0.0"), "boot-1");
        fs::write(machine.places.entries.join("postern_1.0.0.efi"), "kernel of 1.0.0").unwrap();
        let ran = machine.postern(&["update", "keygen", machine.at("keys").to_str().unwrap()]);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        machine
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A vfat where a loop device can be had, else a folder.
    fn esp(&mut self) {
        let image = self.at("esp.img");
        fs::File::create(&image).unwrap().set_len(34 << 20).unwrap();
        self.tool(&["mkfs.vfat", "-F", "32", "-n", "ESP", image.to_str().unwrap()]);
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-o", "loop"]).arg(&image).arg(self.at("esp")).output();
        self.mounted = mounted.is_ok_and(|ran| ran.status.success());
        println!("the ESP is {}", if self.mounted { "a vfat" } else { "a folder" });
        fs::create_dir_all(&self.places.entries).unwrap();
    }

    fn disk(&self) {
        let image = self.at("disk.img");
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let (root, verity) = uuids(&hash("1.0.0"));
        let (root_kind, verity_kind) =
            (postern::update::slots::ROOT_TYPE, postern::update::slots::VERITY_TYPE);
        let table = format!(
            "label: gpt\nsize=8M, type=U, name=\"esp\"\n\
             size=12M, type={root_kind}, uuid={root}, name=\"postern_1.0.0\"\n\
             size=2M, type={verity_kind}, uuid={verity}, name=\"postern_1.0.0_verity\"\n\
             size=12M, type={root_kind}, name=\"_empty\"\n\
             size=2M, type={verity_kind}, name=\"_empty\"\n"
        );
        fs::write(self.at("table"), table).unwrap();
        let (image, table) = (image.display(), self.at("table"));
        self.tool(&["sh", "-c", &format!("sfdisk --quiet {image} <{}", table.display())]);
        let mut disk = fs::read(self.at("disk.img")).unwrap();
        let start = usize::try_from(self.part(2).0).unwrap();
        disk[start..start + (4 << 20)].copy_from_slice(&octets(100, 4 << 20));
        fs::write(self.at("disk.img"), disk).unwrap();
    }

    /// What kernel and image say from now on.
    pub(crate) fn run_as(&self, version: &str, root_hash: &Sha256, boot: &str) {
        let put = |path: &str, text: String| {
            let path = self.places.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("usr/lib/os-release", format!("ID=postern\nIMAGE_VERSION={version}\n"));
        put("proc/cmdline", format!("quiet roothash={root_hash} ro\n"));
        put("proc/uptime", "4711.00 1.00\n".to_owned());
        put("proc/sys/kernel/random/boot_id", format!("{boot}\n"));
        // Nothing that lives until the next boot outlives it.
        let _none = fs::remove_file(self.places.run.join("trial.json"));
    }

    fn tool(&self, line: &[&str]) {
        let line = words(&self.tree, line);
        let ran = Command::new(&line[0]).args(&line[1..]).output().unwrap();
        assert!(ran.status.success(), "{line:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    pub(crate) fn postern(&self, line: &[&str]) -> Output {
        Command::new(&self.places.program)
            .args(line)
            .env("SOURCE_DATE_EPOCH", "1795000000")
            .output()
            .unwrap()
    }

    /// Makes and signs a release with two keys at once.
    pub(crate) fn release(&self, version: &str, more: &[&str]) -> Release {
        let (ran, release) = self.release_by(&["release-1", "release-3"], version, more);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        release
    }

    /// The file of a secret key.
    pub(crate) fn key(&self, name: &str) -> String {
        self.at(&format!("keys/{name}.pem")).to_str().unwrap().to_owned()
    }

    /// Makes a release and has these keys sign it; how that ended, too.
    pub(crate) fn release_by(
        &self,
        keys: &[&str],
        version: &str,
        more: &[&str],
    ) -> (Output, Release) {
        let folder = self.at(&format!("build-{version}"));
        fs::create_dir_all(&folder).unwrap();
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let seed = u64::from(version.bytes().map(u32::from).sum::<u32>());
        let root = octets(seed, (5 << 20) + 4096);
        fs::write(file("root.raw"), &root).unwrap();
        fs::write(file("verity.raw"), octets(seed + 1, 300_000)).unwrap();
        fs::write(file("uki.efi"), octets(seed + 2, (2 << 20) + 777)).unwrap();
        for raw in ["root.raw", "verity.raw"] {
            self.tool(&["xz", "--quiet", "--force", "--keep", &file(raw)]);
        }
        let root_hash = hash(version);
        let bundle = file(&format!("postern-{version}.pbu"));
        let text = root_hash.to_string();
        let keys: Vec<String> = keys.iter().map(|name| self.key(name)).collect();
        let (root_file, verity, uki) = (file("root.raw"), file("verity.raw"), file("uki.efi"));
        let mut line = vec![
            "update",
            "bundle",
            "--out",
            &bundle,
            "--version",
            version,
            "--root-hash",
            &text,
            "--uki",
            &uki,
            "--root",
            &root_file,
            "--verity",
            &verity,
        ];
        for key in &keys {
            line.extend(["--key", key]);
        }
        line.extend(more);
        let ran = self.postern(&line);
        (ran, Release { bundle: bundle.into(), root_hash, root })
    }

    pub(crate) fn stage(&self, bundle: &Path, wishes: &Wishes) -> Result<String, String> {
        let source = Source::File(bundle.to_owned());
        let mut tell = |what: &str| println!("    {what}");
        let settings = Settings::default();
        let staged = stage(&self.places, &settings, &source, wishes, &mut tell);
        staged.map(|version| version.to_string()).map_err(|fault| fault.to_string())
    }

    pub(crate) fn status(&self) -> Status {
        status(&self.places, &Settings::default()).unwrap()
    }

    pub(crate) fn settle(&self) -> &'static str {
        settle(&self.places).unwrap().0.state
    }

    /// Names in the ESP.
    pub(crate) fn entries(&self) -> Vec<String> {
        let names = fs::read_dir(&self.places.entries).unwrap();
        let mut names: Vec<String> =
            names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The boot loader in the ESP, and that of the image.
    pub(crate) fn loaders(&self, present: &str, shipped: &str) {
        let kind = if cfg!(target_arch = "aarch64") { "aa64" } else { "x64" };
        let put = |folder: PathBuf, version: &str| {
            fs::create_dir_all(&folder).unwrap();
            let text = format!("#### LoaderInfo: systemd-boot {version} ####");
            fs::write(folder.join(format!("systemd-boot{kind}.efi")), text).unwrap();
        };
        put(self.places.esp.join("EFI/systemd"), present);
        put(self.places.loader.clone(), shipped);
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.places.entries.join(from), self.places.entries.join(to)).unwrap();
    }

    /// Labels of the partitions.
    pub(crate) fn labels(&self) -> Vec<String> {
        let parts = gpt::partitions(&self.at("disk.img")).unwrap();
        parts.into_iter().map(|part| part.label).collect()
    }

    /// Start and octets of a partition.
    pub(crate) fn part(&self, number: u32) -> (u64, u64) {
        let parts = gpt::partitions(&self.at("disk.img")).unwrap();
        let part = parts.iter().find(|part| part.number == number).unwrap();
        (part.start, part.octets)
    }

    /// The hash of the running slot's root, of the whole disk.
    pub(crate) fn disk_hash(&self) -> Sha256 {
        Sha256::of(&fs::read(self.at("disk.img")).unwrap())
    }

    pub(crate) fn own_slot_hash(&self) -> Sha256 {
        let (start, octets) = self.part(2);
        let disk = fs::read(self.at("disk.img")).unwrap();
        let start = usize::try_from(start).unwrap();
        Sha256::of(&disk[start..start + usize::try_from(octets).unwrap()])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.mounted {
            let _gone = Command::new("umount").arg("--lazy").arg(self.at("esp")).output();
        }
    }
}

/// The root hash of a version.
pub(crate) fn hash(version: &str) -> Sha256 {
    Sha256::of(version.as_bytes())
}
