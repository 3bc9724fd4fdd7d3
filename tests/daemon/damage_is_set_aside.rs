//! A spool that was damaged while nobody looked: what was hit is set aside and told, the rest is
//! delivered; and a state that is gone costs nothing.

use std::fs;
use std::path::PathBuf;

use crate::client::queue_id;
use crate::stage::Stage;

fn segments(stage: &Stage) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![stage.path("spool")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_damaged_message_is_quarantined_and_the_others_go() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    let letter = |text: &str| format!("From: <a@example.org>\r\nSubject: x\r\n\r\n{text}");
    let mut post = |name: &str, text: &str| {
        let to = format!("defer-{name}@example.net");
        queue_id(&app.submit("a@example.org", &[&to], letter(text).as_bytes()))
    };
    post("one", "one");
    let hit = post("two", "a mark that is easy to find");
    post("three", "three");
    let stage = daemon.stop();
    let mut damaged = 0;
    for path in segments(&stage) {
        let mut octets = fs::read(&path).unwrap();
        let mark = b"a mark that is easy to find";
        if let Some(at) = octets.windows(mark.len()).position(|window| window == mark) {
            octets[at + 3] ^= 0x20;
            fs::write(&path, octets).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    stage.sink.set_deferring(false);
    let daemon = stage.start();
    daemon.json(&["queue", "retry", "--all"]);
    for _ in 0..2 {
        let message = daemon.stage.sink.wait(|message| !message.reverse_path().is_empty());
        assert_ne!(message.forward_paths(), ["defer-two@example.net"]);
    }
    let line = daemon.wait_told(&format!("{hit}: quarantined"));
    assert!(line.contains("WARN"), "{line}");
    daemon.wait_queued(0);
    daemon.app().post(&["b@example.net"]);
    daemon.stage.sink.wait(|message| message.forward_paths() == ["b@example.net"]);
    daemon.stop();
}

#[test]
fn a_state_that_is_gone_is_made_anew() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    for n in 0..20 {
        app.post(&[&format!("defer{n}@example.net")]);
    }
    daemon.wait_queued(20);
    let stage = daemon.crash();
    let spool = stage.path("spool");
    let names: Vec<String> = fs::read_dir(&spool)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let found = names.iter().find(|name| name.starts_with("state"));
    let folder = found.unwrap_or_else(|| panic!("no state in {names:?}"));
    fs::remove_dir_all(spool.join(folder)).unwrap();
    let daemon = stage.start();
    daemon.wait_told("state rebuilt");
    daemon.wait_queued(20);
    daemon.stage.sink.set_deferring(false);
    daemon.json(&["queue", "retry", "--all"]);
    for _ in 0..20 {
        daemon.stage.sink.wait(|_| true);
    }
    daemon.wait_queued(0);
    daemon.stop();
}
