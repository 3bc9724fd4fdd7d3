//! Doors: bound to a device, told when the address is taken, and passed by systemd.
//!
//! The passed socket needs a process of its own: this program again, started by a shell-sized
//! stand-in for systemd.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use postern::config::checked::{Listener, ListenerKind};
use postern::host::passed;
use postern::net::listen::{Unpassed, bind, open_doors};

fn listener(name: &str, address: &str, device: Option<&str>) -> Listener {
    Listener {
        name: name.to_owned(),
        address: address.parse().unwrap(),
        kind: ListenerKind::Submission,
        device: device.map(ToOwned::to_owned),
        network_sources: false,
        clear_text: false,
    }
}

#[tokio::test]
async fn a_passed_socket_is_taken_by_its_name() {
    if std::env::var_os("LISTEN_FDS").is_none() {
        return stand_in_for_systemd();
    }
    let listeners = [
        listener("bound", "127.0.0.1:0", None),
        // Nobody could bind this address here: it is the passed socket that is taken.
        listener("passed", "192.0.2.1:587", None),
    ];
    let doors = open_doors(&listeners, passed::sockets().unwrap(), Unpassed::Bind).unwrap();
    let address = doors[1].local_address().unwrap();
    println!("PASSED {address}");
    // Once: what was taken is not passed again.
    assert!(passed::sockets().unwrap().is_empty());
}

/// `systemd-socket-activate` in a few words: a listening socket as descriptor 3.
fn stand_in_for_systemd() {
    const SYSTEMD: &str = "import os, socket, sys\n\
        s = socket.create_server(('127.0.0.1', 0))\n\
        port = s.getsockname()[1]\n\
        os.dup2(s.fileno(), 3)\n\
        os.set_inheritable(3, True)\n\
        os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES=sys.argv[2], \
                          LISTEN_PID=str(os.getpid()))\n\
        print('PORT', port, flush=True)\n\
        os.execv(sys.argv[1], [sys.argv[1], '--exact', \
                 'a_passed_socket_is_taken_by_its_name', '--nocapture'])\n";
    let run = |name: &str| {
        let program = std::env::current_exe().unwrap();
        let output = Command::new("python3").args(["-c", SYSTEMD]).arg(program).arg(name).output();
        let output = output.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let (good, text) = run("passed");
    let port = text.lines().find_map(|line| line.strip_prefix("PORT ")).unwrap();
    assert!(good && text.contains(&format!("PASSED 127.0.0.1:{port}")), "{text}");
    // A name that no listener has is a mistake of the unit: said, not ignored.
    let (good, _) = run("unheard-of");
    assert!(!good);
}

#[tokio::test]
async fn a_device_is_bound_and_faults_name_the_listener() {
    let on_loopback = bind(&listener("a", "127.0.0.1:0", Some("lo"))).unwrap();
    let taken = on_loopback.local_addr().unwrap().to_string();
    let fault = bind(&listener("b", &taken, Some("lo"))).unwrap_err();
    assert_eq!(fault.doing, "binding the listener");
    assert!(fault.subject.contains(&taken), "{fault}");
    let fault = bind(&listener("c", "127.0.0.1:0", Some("nosuchdevice0"))).unwrap_err();
    assert!(fault.subject.starts_with("c "), "{fault}");
}
