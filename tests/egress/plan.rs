//! The same cells behind the walls that `postern egress plan` writes, in place of those that the
//! bed builds by hand; and mail through them, from greeting to last acknowledgement.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use postern::net::broker::words::Orders;
use postern::net::egress::EgressClient;
use tokio::io::AsyncWriteExt as _;

use crate::bed::broker::{Broker, PROGRAM, egress};
use crate::bed::echo::echo;
use crate::bed::wires::{BROKER, Bed, Family, Wire};
use crate::town::{PATIENCE, Town};

/// The wait for a connection.
const WAIT: Duration = Duration::from_millis(200);

/// What the plan is made from: both ways out, with their routers.
fn document() -> String {
    let way = |name: &str, wire: Wire| {
        let (v4, v6) = (wire.ours(Family::V4), wire.ours(Family::V6));
        let (router4, router6) = (wire.router(Family::V4), wire.router(Family::V6));
        format!(
            "[egress.{name}]\ndevice = \"{}\"\nipv4 = \"{v4}/24\"\nipv6 = \"{v6}/64\"\n\
             gateway4 = \"{router4}\"\ngateway6 = \"{router6}\"\n\
             resolvers = [\"9.9.9.9\", \"2620:fe::fe\", \"93.184.1.7\", \"2a05:1::7\"]\n",
            wire.near()
        )
    };
    format!(
        "version = 1\nhostname = \"gw.example.org\"\nlab = true\n[spool]\npath = \"/var/spool/x\"\n\
         [listener.intake]\naddress = \"{}:2525\"\ndevice = \"i0\"\nkind = \"smtp\"\n\
         clear_text = true\nnetwork_sources = true\n[network]\nmanage = [\"m0\"]\n\
         egress_user = \"{BROKER}\"\n{}{}\
         [source.net]\nproof = \"network\"\nnetworks = [\"10.2.0.0/24\"]\n\
         pairs = [{{ reverse_path = \"*@example.org\", from = \"*@example.org\" }}]\n\
         unsigned = \"allow\"\n",
        Wire::Intake.ours4(),
        way("a", Wire::A),
        way("b", Wire::B)
    )
}

/// The walls of the bed are taken down, and those of the plan are put up.
fn apply(bed: &Bed) {
    bed.tear_down();
    let folder = tempfile::Builder::new().prefix("postern-plan").tempdir().unwrap();
    let path = folder.path().join("postern.toml");
    std::fs::write(&path, document()).unwrap();
    let mut plan = Command::new(PROGRAM);
    plan.args(["egress", "plan", "--format", "shell", "--config"]).arg(&path);
    let output = plan.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let script = folder.path().join("plan.sh");
    std::fs::write(&script, &output.stdout).unwrap();
    let done = bed.gateway.within(|| Command::new("sh").arg(&script).output().unwrap());
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}

/// A name, and what is done: `TABLE` is the table of A.
const BREAKS: [(&str, &str); 12] = [
    ("up", ""),
    ("admin down", "link set ea0 down\n"),
    ("carrier lost", "far link set af0 down\n"),
    ("default withdrawn", "-4 route del default table 101\n-6 route del default table 101\n"),
    ("table flushed", "-4 route flush table 101\n-6 route flush table 101\n"),
    (
        "rules flushed",
        "-4 rule del priority 1001\n-4 rule del priority 2001\n\
         -6 rule del priority 1001\n-6 rule del priority 2001\n",
    ),
    ("addresses removed", "addr del A4 dev ea0\naddr del A6 dev ea0\n"),
    (
        "addresses on manage",
        "addr del A4 dev ea0\naddr del A6 dev ea0\naddr add A4 dev m0\naddr add A6 dev m0 nodad\n",
    ),
    (
        "addresses on B",
        "addr del A4 dev ea0\naddr del A6 dev ea0\n\
         addr add A4 dev eb0\naddr add A6 dev eb0 nodad\n",
    ),
    ("renamed", "link set ea0 name ea9\n"),
    ("unplugged", "link del ea0\n"),
    (
        "a better route by manage",
        "-4 route add default via 10.1.0.1 dev m0 metric 1\n\
         -6 route add default via fd01:1::1 dev m0 metric 1\n",
    ),
];

fn break_it(bed: &Bed, lines: &str) {
    let lines = lines
        .replace("A4", &format!("{}/24", Wire::A.ours4()))
        .replace("A6", &format!("{}/64", Wire::A.ours6()));
    for line in lines.lines() {
        match line.strip_prefix("far ") {
            Some(line) => bed.internet.ip(&format!("{line}\n")),
            None => bed.gateway.ip(&format!("{line}\n")),
        }
    }
}

/// Whether a connection can be made and answers.
async fn reaches(client: &EgressClient, to: SocketAddr) -> bool {
    client.connect_tcp("a", to, WAIT).await.is_ok()
}

async fn strike(name: &str, lines: &str) -> (u64, usize) {
    let bed = Bed::new();
    apply(&bed);
    let hosts = Family::BOTH.map(|family| family.host(7));
    bed.add_hosts(&hosts);
    let places: Vec<SocketAddr> =
        hosts.iter().flat_map(|host| [25, 53, 443].map(|port| (*host, port).into())).collect();
    let _echo = echo(&bed.internet, places.clone());
    let resolvers = ["93.184.1.7:53", "[2a05:1::7]:53"];
    let orders = Orders { egresses: vec![egress(Wire::A, "a", &resolvers)], ..Orders::default() };
    let broker = Broker::start(&bed.gateway, orders).await;
    let mut health = broker.client.health();
    health.wait_for(|health| health.values().all(Option::is_none)).await.unwrap();
    let mut old = Vec::new();
    for place in &places {
        let opened = broker.client.connect_tcp("a", *place, PATIENCE).await;
        let mut stream = opened.unwrap_or_else(|e| panic!("{name}, before, to {place}: {e}"));
        stream.write_all(b"hello").await.unwrap();
        old.push(stream);
    }
    break_it(&bed, lines);
    let mut open = 0;
    for (stream, place) in old.iter().zip(&places) {
        // The socket may refuse; the wire is what counts.
        let _ = stream.try_write(b"hello again");
        open += usize::from(reaches(&broker.client, *place).await);
    }
    tokio::time::sleep(WAIT).await;
    drop(old);
    let heard = bed.capture.take();
    assert_eq!(heard.wrong, [], "{name}");
    (heard.rights(), open)
}

#[test]
fn the_planned_walls_hold() {
    let mut cells = 0;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, lines) in BREAKS {
        let (right, open) = runtime.block_on(strike(name, lines));
        println!("{name:28} {right:4} right, 0 wrong, {open} of 6 open");
        let works = ["up", "a better route by manage"].contains(&name);
        // An address that another interface has is still one of the machine's; what goes, goes by
        // the right wire with the right source, until the broker has looked.
        let lent = name.starts_with("addresses on");
        assert!(lent || open == if works { 6 } else { 0 }, "{name}: {open}");
        cells += 12;
    }
    println!("{cells} cells behind the walls of the plan");
}

/// A whole delivery: nothing that the kernel says for a socket that was closed is lost, or the
/// other end would wait for it and say its last words again and again.
#[test]
fn mail_flows_through_the_planned_walls() {
    let town = Town::new("");
    apply(&town.bed);
    let mut application = town.application();
    for domain in ["example.net", "four.test", "six.test"] {
        let to = format!("x@{domain}");
        application.post(&to);
        town.receiver.wait(&to, PATIENCE);
    }
    // The last sessions end; what is then still to be acknowledged would be asked for again.
    std::thread::sleep(Duration::from_secs(3));
    let sockets = town.bed.internet.ask("ss", &["-Htn", "state", "last-ack", "sport", "=", ":25"]);
    assert_eq!(sockets.trim(), "", "the other end waits for acknowledgements");
    let heard = town.bed.capture.take();
    assert_eq!(heard.wrong, []);
    assert!(heard.rights() > 30, "{heard:?}");
    println!("{} packets of the mail path", heard.rights());
}
