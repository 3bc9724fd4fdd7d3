//! The boot loader in the ESP. Both slots are started by it: it is replaced only after a good boot,
//! by the one in the image that has just proven itself, and the one before is kept beside it.
//!
//! ```text
//! EFI/systemd/systemd-bootx64.efi  .old  .part
//! EFI/BOOT/BOOTX64.EFI             .old  .part     the path that firmware falls back to: last
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::{esp, surface};
use crate::base::fault::Fault;
use crate::update::loader::{replaces, version};
use crate::update::manifest::{self, Chunks, Sha256};

/// UEFI's word for this kind of machine.
const KIND: &str = if cfg!(target_arch = "aarch64") { "aa64" } else { "x64" };

/// Replaces the loader's files in the ESP by the one of the image, where that is newer. Returns its
/// version if one was replaced. A file that is not there is not made: no firmware starts it.
///
/// Each file is written beside, read back and renamed, so that a power cut leaves the old one or
/// the new one; what it left undone the next good boot does.
///
/// # Errors
/// A disk failed, or has no room. The files that were there are there.
pub fn bring(
    esp: &Path,
    shipped: &Path,
    tell: &mut impl FnMut(&str),
) -> Result<Option<String>, Fault> {
    let Some(ours) = shipped_file(shipped)? else { return Ok(None) };
    let Some(new) = version(&ours).map(str::to_owned) else { return Ok(None) };
    let name = format!("BOOT{}.EFI", KIND.to_uppercase());
    let files = [
        esp.join("EFI/systemd").join(format!("systemd-boot{KIND}.efi")),
        esp.join("EFI/BOOT").join(name),
    ];
    let mut brought = None;
    for path in files {
        let Some(present) = read(&path)?.filter(|present| replaces(&ours, present)) else {
            continue;
        };
        let old = version(&present).unwrap_or_default();
        tell(&format!("{}: systemd-boot {new} in the place of {old}", path.display()));
        put(&path.with_extension("old"), &present)?;
        put(&path, &ours)?;
        brought = Some(new.clone());
    }
    Ok(brought)
}

/// The loader in the image: the signed one if there is one.
fn shipped_file(folder: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let plain = folder.join(format!("systemd-boot{KIND}.efi"));
    let mut signed = plain.clone().into_os_string();
    signed.push(".signed");
    match read(Path::new(&signed))? {
        Some(octets) => Ok(Some(octets)),
        None => read(&plain),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    match fs::read(path) {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::new("reading", path.display(), error)),
    }
}

/// Written beside, synced, read back from the disk, and only then named.
fn put(path: &Path, octets: &[u8]) -> Result<(), Fault> {
    let part = path.with_extension("part");
    let folder = path.parent().unwrap_or(Path::new("."));
    let fault = |error: io::Error| Fault::new("writing", path.display(), error);
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(octets)?;
        file.sync_all()?;
        esp::sync(folder)
    };
    let written = write().map_err(fault).and_then(|()| compare(&part, octets));
    if let Err(fault) = written {
        // The next attempt writes over what is left of this one.
        let _gone = fs::remove_file(&part).and_then(|()| esp::sync(folder));
        return Err(fault);
    }
    fs::rename(&part, path).and_then(|()| esp::sync(folder)).map_err(fault)
}

fn compare(part: &Path, octets: &[u8]) -> Result<(), Fault> {
    let mut chunks = Chunks::default();
    chunks.update(octets);
    let length = octets.len() as u64;
    let expected = manifest::File {
        name: part.display().to_string(),
        octets: length,
        sha256: Sha256::of(octets),
        unpacked_octets: length,
        chunks: chunks.finish(),
    };
    surface::compare(part, 0, &expected, |_| {})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::loader::tests::loader;

    struct Scene {
        folder: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            for name in ["esp/EFI/systemd", "esp/EFI/BOOT", "shipped"] {
                fs::create_dir_all(folder.path().join(name)).unwrap();
            }
            let scene = Self { folder };
            scene.write(&Scene::systemd(), &loader("257.9", true));
            scene.write(&Scene::fallback(), &loader("257.9", true));
            scene
        }

        fn systemd() -> String {
            format!("esp/EFI/systemd/systemd-boot{KIND}.efi")
        }

        fn fallback() -> String {
            format!("esp/EFI/BOOT/BOOT{}.EFI", KIND.to_uppercase())
        }

        fn ship(&self, end: &str, octets: &[u8]) {
            self.write(&format!("shipped/systemd-boot{KIND}.efi{end}"), octets);
        }

        fn write(&self, name: &str, octets: &[u8]) {
            fs::write(self.folder.path().join(name), octets).unwrap();
        }

        fn read(&self, name: &str) -> Vec<u8> {
            fs::read(self.folder.path().join(name)).unwrap()
        }

        fn bring(&self) -> Result<Option<String>, Fault> {
            let at = |name: &str| self.folder.path().join(name);
            bring(&at("esp"), &at("shipped"), &mut |_| {})
        }

        fn names(&self, folder: &str) -> usize {
            fs::read_dir(self.folder.path().join(folder)).unwrap().count()
        }
    }

    #[test]
    fn a_newer_loader_comes_and_the_old_one_is_kept() {
        let scene = Scene::new();
        assert_eq!(scene.bring().unwrap(), None, "the image has none");
        scene.ship("", &loader("259", false));
        assert_eq!(scene.bring().unwrap(), None, "it is not signed, and the other is");
        let new = loader("258.1", true);
        scene.ship(".signed", &new);
        assert_eq!(scene.bring().unwrap().as_deref(), Some("258.1"));
        let old = loader("257.9", true);
        for name in [Scene::systemd(), Scene::fallback()] {
            assert!(scene.read(&name) == new, "{name}");
            let kept = Path::new(&name).with_extension("old");
            assert!(scene.read(kept.to_str().unwrap()) == old, "{name}");
        }
        assert_eq!(scene.bring().unwrap(), None);
        scene.ship(".signed", &loader("257.8", true));
        assert_eq!(scene.bring().unwrap(), None, "never an older one");
        assert_eq!((scene.names("esp/EFI/systemd"), scene.names("esp/EFI/BOOT")), (2, 2));
    }

    #[test]
    fn what_is_somebody_elses_stays_and_what_is_missing_is_not_made() {
        let scene = Scene::new();
        scene.ship(".signed", &loader("258.1", true));
        scene.write(&Scene::fallback(), b"a shim");
        fs::remove_file(scene.folder.path().join(Scene::systemd())).unwrap();
        assert_eq!(scene.bring().unwrap(), None);
        assert!(scene.read(&Scene::fallback()) == b"a shim");
        assert_eq!(scene.names("esp/EFI/systemd"), 0);
    }

    #[test]
    fn where_the_old_one_cannot_be_kept_the_new_one_does_not_come() {
        let scene = Scene::new();
        scene.ship(".signed", &loader("258.1", true));
        let kept = Path::new(&Scene::systemd()).with_extension("old");
        fs::create_dir_all(scene.folder.path().join(kept).join("in the way")).unwrap();
        scene.bring().unwrap_err();
        for name in [Scene::systemd(), Scene::fallback()] {
            assert!(scene.read(&name) == loader("257.9", true), "{name}");
        }
    }

    #[test]
    fn what_a_power_cut_left_undone_is_done_at_the_next_good_boot() {
        let scene = Scene::new();
        let new = loader("258.1", true);
        scene.ship(".signed", &new);
        // The first file was replaced; of the second there is a half.
        scene.write(&Scene::systemd(), &new);
        scene.write(&Scene::fallback().replace(".EFI", ".part"), &new[..50]);
        assert_eq!(scene.bring().unwrap().as_deref(), Some("258.1"));
        assert!(scene.read(&Scene::fallback()) == new);
        assert_eq!(scene.names("esp/EFI/BOOT"), 2, "the loader and the one before");
    }
}
