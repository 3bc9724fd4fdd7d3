//! The power button: on the box no log-in daemon listens to it, so the host role does.
//!
//! Whoever has a key `KEY_POWER` says so below /sys; that is fewer than udev tags `power-switch`,
//! which are all keyboards. Devices come and go, so they are looked for again and again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::OFlags;

/// `struct input_event` of a machine of 64 bits (linux/input.h): time, type, code, value.
const EVENT_OCTETS: usize = 24;

/// A key, the key, and that it goes down.
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
const DOWN: i32 = 1;

/// Buttons that are listened to.
#[derive(Debug)]
pub struct Buttons {
    /// /sys/class/input and /dev/input.
    classes: PathBuf,
    devices: PathBuf,
    open: BTreeMap<String, File>,
}

impl Default for Buttons {
    fn default() -> Self {
        Self::at("/sys/class/input", "/dev/input")
    }
}

impl Buttons {
    /// Buttons of these folders.
    fn at(classes: impl Into<PathBuf>, devices: impl Into<PathBuf>) -> Self {
        Self { classes: classes.into(), devices: devices.into(), open: BTreeMap::new() }
    }

    /// Waits for a press; its device by the name that it has for people. None: nobody pressed one
    /// for so long.
    pub fn wait(&mut self, patience: Duration) -> Option<String> {
        self.look();
        if self.open.is_empty() {
            std::thread::sleep(patience);
            return None;
        }
        let files: Vec<(String, &File)> =
            self.open.iter().map(|(name, file)| (name.clone(), file)).collect();
        let mut ready: Vec<PollFd<'_>> =
            files.iter().map(|(_, file)| PollFd::new(file.as_fd(), PollFlags::POLLIN)).collect();
        let millis = u16::try_from(patience.as_millis()).unwrap_or(u16::MAX);
        // Interrupted: the next look is as good.
        poll(&mut ready, PollTimeout::from(millis)).ok()?;
        let spoke = |poll: &PollFd<'_>| poll.revents().is_some_and(|events| !events.is_empty());
        let spoken: Vec<String> = ready
            .iter()
            .zip(&files)
            .filter(|(poll, _)| spoke(poll))
            .map(|(_, (name, _))| name.clone())
            .collect();
        let pressed: Vec<String> =
            spoken.into_iter().filter(|name| self.is_pressed(name)).collect();
        pressed.first().map(|name| self.title(name))
    }

    /// Opens what has come.
    fn look(&mut self) {
        for entry in fs::read_dir(&self.classes).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if self.open.contains_key(&name) || !name.starts_with("event") {
                continue;
            }
            let keys = fs::read_to_string(entry.path().join("device/capabilities/key"));
            if !has(&keys.unwrap_or_default(), KEY_POWER) {
                continue;
            }
            let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
            let device = self.devices.join(&name);
            if let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(device) {
                self.open.insert(name, file);
            }
        }
    }

    /// Reads what a device has said; one that is gone is let go.
    fn is_pressed(&mut self, name: &str) -> bool {
        let Some(file) = self.open.get_mut(name) else { return false };
        let mut octets = [0; EVENT_OCTETS * 64];
        match file.read(&mut octets) {
            Ok(0) => {}
            Ok(count) => return presses(&octets[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
            Err(_) => {}
        }
        self.open.remove(name);
        false
    }

    fn title(&self, name: &str) -> String {
        let text = fs::read_to_string(self.classes.join(name).join("device/name"));
        let text = text.unwrap_or_default();
        if text.trim().is_empty() { name.to_owned() } else { text.trim().to_owned() }
    }
}

/// Whether a bitmap of sysfs has a bit: words of 64 in hexadecimal, the last one first.
fn has(bitmap: &str, bit: u16) -> bool {
    let word = bitmap.split_whitespace().rev().nth(usize::from(bit / 64)).unwrap_or("0");
    u64::from_str_radix(word, 16).is_ok_and(|word| word >> (bit % 64) & 1 == 1)
}

/// Whether the key goes down in one of these events.
fn presses(octets: &[u8]) -> bool {
    octets.chunks_exact(EVENT_OCTETS).any(|event| {
        let short = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
        let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
        (short(16), short(18), value) == (EV_KEY, KEY_POWER, DOWN)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let mut octets = vec![0; 16];
        octets.extend(kind.to_ne_bytes());
        octets.extend(code.to_ne_bytes());
        octets.extend(value.to_ne_bytes());
        octets
    }

    #[test]
    fn a_button_is_known_by_its_key() {
        // As the ACPI button and a mouse show themselves.
        assert!(has("10000000000000 0\n", KEY_POWER));
        assert!(!has("1f0000 0 0 0 0\n", KEY_POWER));
        assert!(!has("", KEY_POWER) && !has("x y", KEY_POWER));
    }

    #[test]
    fn a_press_is_heard_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, keys: &str| {
            let class = folder.path().join("class").join(name).join("device");
            fs::create_dir_all(class.join("capabilities")).unwrap();
            fs::write(class.join("capabilities/key"), keys).unwrap();
            fs::write(class.join("name"), "Power Button\n").unwrap();
            let device = folder.path().join("dev").join(name);
            fs::create_dir_all(device.parent().unwrap()).unwrap();
            nix::unistd::mkfifo(&device, nix::sys::stat::Mode::S_IRWXU).unwrap();
            device
        };
        let button = make("event0", "10000000000000 0\n");
        make("event1", "1f0000 0 0 0 0\n");
        let mut buttons = Buttons::at(folder.path().join("class"), folder.path().join("dev"));
        let soon = Duration::from_millis(50);
        buttons.look();
        assert_eq!(buttons.open.keys().collect::<Vec<_>>(), ["event0"]);
        let mut finger = OpenOptions::new().write(true).open(&button).unwrap();
        // Going up, another key, and the end of a group of events are no press.
        for quiet in [event(EV_KEY, KEY_POWER, 0), event(EV_KEY, 30, DOWN), event(0, 0, 0)] {
            finger.write_all(&quiet).unwrap();
            assert_eq!(buttons.wait(soon), None);
        }
        finger.write_all(&event(EV_KEY, KEY_POWER, DOWN)).unwrap();
        finger.write_all(&event(0, 0, 0)).unwrap();
        assert_eq!(buttons.wait(soon).as_deref(), Some("Power Button"));
        assert_eq!(buttons.wait(soon), None);
        // One that is pulled out is let go.
        drop(finger);
        assert_eq!(buttons.wait(soon), None);
        assert!(buttons.open.is_empty());
    }
}
