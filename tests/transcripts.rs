//! Every dialogue of `tests/transcripts/*.smtp`, played against the core. The same files are
//! played against the daemon over TLS by whoever implements `player::Transport`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "transcripts/core.rs"]
mod core;
#[path = "transcripts/gate.rs"]
mod gate;
#[path = "transcripts/player.rs"]
mod player;
#[path = "transcripts/wire.rs"]
mod wire;

use std::fs;
use std::path::Path;

use self::core::Core;

fn transcripts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "smtp"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    found.sort();
    found
}

#[test]
fn every_transcript_holds_against_the_core() {
    let transcripts = transcripts();
    assert!(transcripts.len() >= 40, "{} transcripts", transcripts.len());
    let mut failed = Vec::new();
    for (name, text) in &transcripts {
        let play = || player::play(name, text, &mut Core::new(&player::stage(text)));
        if std::panic::catch_unwind(play).is_err() {
            failed.push(name.clone());
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// What a transcript says in one segment, a slow network may bring octet by octet. Transcripts
/// about what lies in one segment say so with the word `segment` in a comment.
#[test]
fn every_transcript_holds_octet_by_octet() {
    struct Slowly(Core);
    impl player::Transport for Slowly {
        fn send(&mut self, octets: &[u8]) {
            for octet in octets {
                self.0.send(&[*octet]);
            }
        }
        fn line(&mut self) -> Option<String> {
            self.0.line()
        }
        fn shake_hands(&mut self) {
            self.0.shake_hands();
        }
        fn vanish(&mut self) {
            self.0.vanish();
        }
        fn admitted(&mut self) -> Option<(Vec<u8>, Option<String>)> {
            self.0.admitted()
        }
        fn ended(&mut self) -> player::Ended {
            self.0.ended()
        }
        fn pass(&mut self, secs: u64) {
            self.0.pass(secs);
        }
        fn script(&mut self, kind: &str, reply: &str) {
            self.0.script(kind, reply);
        }
    }
    for (name, text) in transcripts() {
        if !text.contains("segment") {
            player::play(&name, &text, &mut Slowly(Core::new(&player::stage(&text))));
        }
    }
}

/// The driver, its listeners and real TLS in front of the same house.
#[test]
fn every_transcript_without_a_script_holds_over_sockets() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let reception = gate::Reception::start(&runtime);
    let mut failed = Vec::new();
    let mut played = 0;
    for (name, text) in transcripts() {
        let stage = player::stage(&text);
        if stage.core {
            continue;
        }
        played += 1;
        let play = || player::play(&name, &text, &mut reception.connect(&stage.door));
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(play)).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
    assert!(played >= 40, "{played} transcripts can be played over sockets");
}
