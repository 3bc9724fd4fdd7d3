//! Every dialogue of `tests/console/*.txt`, played against the console without a terminal.
//!
//! `> line` is typed, `^` is ctrl-C, `~ 30` lets seconds pass, `@ ..` changes the world (see
//! `console/world.rs`). What follows is what the console does, exactly: `| line` is printed,
//! `? text` asks for a line, `?? text` for a secret, `! verb` asks the host role or the daemon,
//! `-` hangs up. `POSTERN_TRANSCRIPTS=write cargo test --test console` writes what happens instead
//! of comparing it; read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "console/player.rs"]
mod player;
#[path = "console/world.rs"]
mod world;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use player::Player;
use postern::base::time::Instant;
use postern::console::Console;
use postern::console::intake::Intake;
use postern::console::outbox::Action;

fn transcripts() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/console");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn every_dialogue_is_as_it_was_written_down() {
    let write = std::env::var("POSTERN_TRANSCRIPTS").is_ok_and(|word| word == "write");
    let transcripts = transcripts();
    assert!(transcripts.len() >= 8, "{} dialogues", transcripts.len());
    let mut wrong = String::new();
    for (path, text) in transcripts {
        let played = Player::default().play(&text);
        if write {
            fs::write(&path, &played).unwrap();
        } else if played != text {
            let first = played.lines().zip(text.lines()).position(|(now, then)| now != then);
            let at = first.unwrap_or_else(|| played.lines().count().min(text.lines().count()));
            let _ = write!(
                wrong,
                "\n{}:{}:\n  written:  {}\n  happened: {}\n",
                path.display(),
                at + 1,
                text.lines().nth(at).unwrap_or("(end)"),
                played.lines().nth(at).unwrap_or("(end)"),
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_player_notices_a_secret_and_a_wide_line() {
    for (secret, text) in [("open sesame, please", "open sesame, please!"), ("x", &"y".repeat(80))]
    {
        let found = std::panic::catch_unwind(|| player::proper(text, &[secret.to_owned()]));
        assert!(found.is_err(), "{text}");
    }
    assert!(std::panic::catch_unwind(|| player::proper("caf\u{e9}", &[])).is_err());
    player::proper("a line as it should be", &["another secret".to_owned()]);
}

/// Noise of a serial line: whatever octets come, the console lives, asks nothing that changes
/// anything, and its next screen is whole.
#[test]
fn noise_on_the_line_changes_nothing() {
    let mut chance = 88_172_645_463_325_252_u64;
    let mut octets = || {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        (0..=chance % 40)
            .map(|at| u8::try_from((chance >> (at % 56)) & 0xff).unwrap())
            .collect::<Vec<u8>>()
    };
    for start in ["unclaimed", "configured"] {
        let mut world = world::World::default();
        world.change(start);
        let mut console = Console::new("ttyS0", Instant(0));
        let mut intake = Intake::default();
        let mut now = Instant(0);
        for _ in 0..4000 {
            for typed in intake.feed(&octets()) {
                now = Instant(now.0 + 1000);
                console.handle_typed(typed, now);
                while let Some(action) = console.poll_action() {
                    if let Action::Ask(ask) = action {
                        let verb = world::verb(&ask);
                        let harmless = ["host status", "login", "draw"].contains(&verb.as_str());
                        assert!(harmless, "noise has asked for {verb}");
                        console.handle_told(world.answer(&ask), now);
                    }
                }
                assert!(console.listens(), "it hangs");
            }
        }
        let lines = Player::from(console, world, now).play("^\n");
        assert!(lines.contains("| Postern "), "{lines}");
    }
}
