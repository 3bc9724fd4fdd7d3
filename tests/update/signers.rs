//! Release keys that are kept apart: each signs on its own, and the machine wants two.

use std::fs;
use std::process::Output;

use postern::service::update::Wishes;

use crate::machine::{Machine, not_shown, tree};

fn said(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

#[test]
fn a_release_is_signed_by_one_key_after_the_other() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let at_once = fs::read(machine.release("1.1.0", &[]).bundle).unwrap();
    let (ran, release) = machine.release_by(&["release-1"], "1.1.0", &[]);
    assert!(ran.status.success() && said(&ran).contains("1 more of 2 signatures"), "{ran:?}");
    let bundle = release.bundle.to_str().unwrap();
    let sign = |name: &str, more: &[&str]| {
        let key = machine.key(name);
        let mut line = vec!["update", "sign", bundle, "--key", &key];
        line.extend(more);
        machine.postern(&line)
    };
    let refused = |why: &str| {
        let refused = machine.stage(&release.bundle, &Wishes::default()).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    };

    // One signature is none, and the same key again adds nothing.
    refused("1 of 2 signatures");
    let before = fs::read(bundle).unwrap();
    let again = sign("release-1", &[]);
    assert!(!again.status.success() && said(&again).contains("signed already"), "{again:?}");
    assert_eq!(fs::read(bundle).unwrap(), before);
    let (twice, _) = machine.release_by(&["release-2", "release-2"], "1.2.0", &[]);
    assert!(!twice.status.success() && said(&twice).contains("signed already"), "{twice:?}");

    // Nobody signs for files that are not those of the manifest, or for half of them.
    let middle = before.len() / 2;
    let mut bent = before.clone();
    bent[middle] ^= 1;
    for (octets, why) in [(&bent[..], "as its manifest says"), (&before[..middle], "cut short")] {
        fs::write(bundle, octets).unwrap();
        let ran = sign("release-3", &[]);
        assert!(!ran.status.success() && said(&ran).contains(why), "{ran:?}");
        assert_eq!(fs::read(bundle).unwrap(), octets);
        assert!(!machine.at("build-1.1.0/postern-1.1.0.pbu.new").exists());
    }
    fs::write(bundle, &before).unwrap();

    // The second key: what both at once would have made, and what a server offers.
    let shop = machine.at("shop");
    let ran = sign("release-3", &["--offer", shop.to_str().unwrap()]);
    assert!(ran.status.success(), "{ran:?}");
    let text = said(&ran);
    assert!(text.contains(&release.root_hash.to_string()) && !text.contains("more of"), "{text}");
    assert!(fs::read(bundle).unwrap() == at_once, "not what both keys make at once");
    for name in ["manifest.json", "manifest.sig.1", "manifest.sig.2"] {
        assert!(shop.join(name).exists(), "{name}");
    }
    assert_eq!(machine.stage(&release.bundle, &Wishes::default()).unwrap(), "1.1.0");
}
