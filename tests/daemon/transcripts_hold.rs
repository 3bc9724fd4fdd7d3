//! The dialogues of `tests/transcripts` against the daemon, over TLS, down to what the receiving
//! host gets.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::player;
use crate::stage::Stage;
use crate::wire::Wire;

/// Its message may only leave where the next host promises as much, and ours does not.
const NEVER_DELIVERED: &str = "requiretls.smtp";

#[test]
fn every_transcript_without_a_script_holds() {
    let daemon = Stage::new().start();
    let sink = daemon.stage.sink.clone();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "smtp"))
        .collect();
    paths.sort();
    let (mut played, mut failed) = (0, Vec::new());
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let stage = player::stage(&text);
        if stage.core || name == NEVER_DELIVERED {
            continue;
        }
        played += 1;
        let sink = sink.clone();
        // Notifications go to example.org; what was submitted goes to example.net.
        let next = move || {
            let ours = sink.take(|message| {
                message.forward_paths().iter().all(|path| path.ends_with("@example.net"))
            });
            ours.map(|message| (message.content, None))
        };
        let address = daemon.address(&stage.door);
        let mut wire = Wire::connect(address, stage.door == "tls", Box::new(next)).adding_fields();
        let play = || player::play(&name, &text, &mut wire);
        if catch_unwind(AssertUnwindSafe(play)).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
    assert!(played >= 60, "{played} transcripts can be played against the daemon");
    daemon.stop();
}
