//! The console on pages, without a terminal: every page as it was looked at, seen through an
//! independent terminal, and the octets that each costs.
//!
//! `POSTERN_TRANSCRIPTS=write cargo test --test console_screen` writes the pages anew; look at the
//! difference before you commit it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "console/eye.rs"]
mod eye;
#[path = "console/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use eye::Eye;
use proptest::prelude::*;
use world::World;

/// Octets of the first frame on a terminal of 80 by 24.
const FIRST_OCTETS_MAX: usize = 1500;
/// Octets when the status is renewed.
const TICK_OCTETS_MAX: usize = 250;
/// Octets from one page to the next: 1.2 s at 9600 bits a second.
const SWITCH_OCTETS_MAX: usize = 1150;

const SIZES: [(u16, u16); 2] = [(80, 24), (132, 43)];

/// Changes of the world, keys, and the name of the page that is seen then.
type Step = (&'static str, &'static str, &'static str);

const PASS: &str = "tulip wagon orbit 7\r";

/// The first boot, question by question.
const FIRST_BOOT: &[Step] = &[
    ("", "", "home-new"),
    ("", "w", "wizard-passphrase"),
    ("", "short\r", "wizard-passphrase-refused"),
    ("", PASS, "wizard-again"),
    ("", PASS, "wizard-name"),
    ("", "relay.example.com\r", "wizard-port"),
    ("", "c\r", "wizard-cable"),
    ("cable enp2s0 down", "\r", "wizard-address"),
    ("cable enp2s0 up", "dhcp\r", "wizard-address-refused"),
    ("", "192.0.2.25/24\r", "wizard-router"),
    ("", "\r", "wizard-ipv6"),
    ("", "\r", "wizard-port-intake"),
    ("", "b 3\r", "wizard-blink"),
    ("", "3\r10.20.0.1/24\r", "wizard-intake-router"),
    ("", "\r\r", "wizard-port-manage"),
    ("", "\r", "wizard-port-public"),
    ("", "\r", "wizard-resolvers"),
    ("", "\r", "wizard-time"),
    ("", "\r", "wizard-source"),
    ("", "billing\r", "wizard-from"),
    ("", "\r", "wizard-bounces"),
    ("", "\r", "wizard-owner"),
    ("", "\r", "wizard-networks"),
    ("", "\r", "wizard-dkim"),
    ("", "\r", "wizard-review"),
    ("", "apply\r", "wizard-confirm"),
    ("", "yes\r", "wizard-done"),
];

/// Everything behind the login.
const MENU: &[Step] = &[
    ("configured", "\r", "home"),
    ("alarms", "\r", "home-alarms"),
    ("privacy", "\r", "home-private"),
    ("", "l", "login"),
    ("locked 8", "not the passphrase\r", "login-wait"),
    ("locked 0", "correct horse battery\r", "menu"),
    ("", "1", "mail"),
    ("", "1", "mail-status"),
    ("", "\r", ""),
    ("", "3", "mail-resume"),
    ("", "\x1b", ""),
    ("", "4", "mail-queue"),
    ("", "6", "mail-hold"),
    ("", "\r\r", "mail-hold-word"),
    ("", "no\r\x1b", ""),
    ("", "2", "sources"),
    ("", "3", "source-hold"),
    ("", "1", "source-hold-word"),
    ("", "yes\r", "source-held"),
    ("", "source-secret\r1", "source-secret"),
    ("", "yes\r", "source-secret-shown"),
    ("", "\r\x1b", ""),
    ("", "3", "egress"),
    ("", "2", "egress-check-form"),
    ("", "\r", "egress-check"),
    ("", "\r\x1b", ""),
    ("", "4", "network"),
    ("", "1", "ports"),
    ("", "\r4", "certificates"),
    ("", "\r\x1b", ""),
    ("", "5", "config"),
    ("", "5", "config-rollback"),
    ("", "\x1b\x1b", ""),
    ("", "6", "update"),
    ("", "3", "update-stage"),
    ("", "2", "update-older"),
    ("", "\r", "update-reason"),
    ("", "\r", "update-staged"),
    ("", "4", ""),
    ("", "\r", "update-apply"),
    ("", "\r\x1b", ""),
    ("", "7", "diagnose"),
    ("", "6", "smtp-way"),
    ("", "1", "smtp-target"),
    ("", "mx.example.net\r", "smtp-answer"),
    ("", "7\r\r\r\r", "log"),
    ("", "\x1b[6~", "log-further"),
    ("", "\r", ""),
    ("", "8", "trace-form"),
    ("", "1", "trace"),
    ("", "\r\x1b", ""),
    ("", "8", "backup"),
    ("", "1", "backup-passphrase"),
    ("", "\x1b\x1b", ""),
    ("", "9", "system"),
    ("", "4", "power-off"),
    ("", "\x1b", ""),
    ("", "factory-reset\r", "factory-reset"),
    ("", "\x0b", "stop-all-asked"),
    ("", "\r", "stop-all"),
    ("", "language\r2", "system-german"),
    ("", "\x1b", "menu-german"),
    ("", "0", "home-german"),
];

/// Plays a story; gives every page and the octets of the dearest step.
fn play(story: &[Step], columns: u16, rows: u16) -> (BTreeMap<String, String>, Eye) {
    let mut eye = Eye::new(columns, rows, World::default());
    let mut pages = BTreeMap::new();
    for (change, keys, name) in story {
        if !change.is_empty() {
            eye.world.change(change);
        }
        eye.press(keys);
        let shown = eye.shows();
        if !name.is_empty() {
            let dear = columns == 80 && eye.octets > SWITCH_OCTETS_MAX && *name != "home-new";
            assert!(!dear, "{name}: {} octets", eye.octets);
            assert!(pages.insert((*name).to_owned(), shown).is_none(), "{name} twice");
        }
    }
    (pages, eye)
}

#[test]
fn every_page_is_as_it_was_looked_at() {
    let write = std::env::var("POSTERN_TRANSCRIPTS").is_ok_and(|word| word == "write");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console/screens");
    let mut wrong = String::new();
    for (columns, rows) in SIZES {
        for story in [FIRST_BOOT, MENU] {
            for (name, shown) in play(story, columns, rows).0 {
                let path = folder.join(format!("{name}.{columns}x{rows}.txt"));
                if write {
                    fs::create_dir_all(&folder).unwrap();
                    fs::write(&path, shown).unwrap();
                } else if fs::read_to_string(&path).unwrap_or_default() != shown {
                    let _ = write!(wrong, "{}:\n{shown}\n", path.display());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_frame_costs_what_a_slow_line_can_bear() {
    for change in ["unclaimed", "configured", "alarms"] {
        let mut world = World::default();
        world.change("configured");
        world.change(change);
        let mut eye =
            Eye::new(80, 24, if change == "unclaimed" { World::default() } else { world });
        let first = eye.octets;
        assert!(first <= FIRST_OCTETS_MAX, "{change}: {first} octets");
        // The status is renewed and says the same.
        eye.pass(10);
        assert_eq!(eye.octets, 0, "{change}: nothing is new");
        eye.world.tick();
        eye.pass(10);
        let tick = eye.octets;
        assert!((1..=TICK_OCTETS_MAX).contains(&tick), "{change}: {tick} octets for a tick");
        println!("{change}: first frame {first} octets, tick {tick}");
    }
}

#[test]
fn noise_and_another_terminal_end_with_a_whole_page() {
    for story in [FIRST_BOOT, MENU] {
        let mut eye = play(story, 80, 24).1;
        let before = eye.shows();
        eye.noise(b"\x1b[7m\x1b[3;5Hgarbage\x00\xff\xfe\x1b[2Jmore\x1b[1;1H####");
        assert_eq!(eye.shows(), before);
        assert!(eye.octets <= FIRST_OCTETS_MAX, "{} octets", eye.octets);
    }
}

/// What a person presses from the first screen to a gateway that is checked.
#[test]
fn the_first_boot_is_this_many_keys() {
    let mut eye = Eye::new(80, 24, World::default());
    let typed = [
        "w",
        PASS,
        PASS,
        "relay.example.com\r",
        "1\r",
        "192.0.2.25/24\r",
        "\r",
        "\r",
        "2\r",
        "10.20.0.1/24\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "\r",
        "apply\r",
        "yes\r",
    ];
    for keys in typed {
        eye.press(keys);
    }
    let shown = eye.shows();
    assert!(shown.contains("egress-check checks the way out again"), "{shown}");
    assert!(shown.contains("password: "), "{shown}");
    // The number stands in the README.
    assert_eq!(eye.keys, FIRST_BOOT_KEYS);
}

/// From the first screen to a gateway that has checked its way out.
const FIRST_BOOT_KEYS: usize = 114;

/// The last line of the page says what the keys do, the one above has the prompt.
#[test]
fn two_keys_stop_all_mail_from_everywhere() {
    for keys in ["", "1", "13", "2", "23", "71", "4", "9", "92", "source-hold\r1"] {
        let mut world = World::default();
        world.change("configured");
        let mut eye = Eye::new(80, 24, world);
        eye.press("lcorrect horse battery\r");
        eye.press(keys);
        eye.press("\x0b\r");
        assert_eq!(eye.world.stopped(), 1, "after {keys:?}:\n{}", eye.shows());
    }
    // Before the login the passphrase comes first.
    let mut world = World::default();
    world.change("configured");
    let mut eye = Eye::new(80, 24, world);
    eye.press("!\r");
    assert!(eye.shows().contains("the passphrase, please"), "{}", eye.shows());
    eye.press("correct horse battery\r");
    assert_eq!(eye.world.stopped(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever octets come: the page is whole, in bounds, and nothing is changed.
    #[test]
    fn any_octets_leave_a_page(
        octets in proptest::collection::vec(any::<u8>(), 0..400),
        configured in any::<bool>(),
    ) {
        let mut world = World::default();
        if configured {
            world.change("configured");
        }
        let mut eye = Eye::new(80, 24, world);
        for chunk in octets.chunks(7) {
            eye.hear(chunk);
        }
        eye.hear(&[3]);
        let shown = eye.shows();
        prop_assert!(shown.starts_with("Postern "), "{}", shown);
        prop_assert_eq!(eye.world.stopped(), 0);
    }
}
