//! The control socket and the command line against it: roles, records, tables, exit codes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use postern::base::fault::Fault;
use postern::base::id::QueueId;
use postern::base::time::WallTime;
use postern::control::answer::{
    Acted, Checked, DifferenceRow, EgressRow, FactRow, ListenerRow, Page, QueueMessage, QueueRow,
    QueueSums, Rotated, SettingRow, SourceDetail, SourceRow, SpoolRow, Status, StepRow, Trouble,
    TroubleKind,
};
use postern::control::check::{EgressCheck, Grade};
use postern::control::diagnose::{Diagnosis, Test, TestStep};
use postern::control::dialogue::{Dialogue, DialogueRow, Speaker, Traced};
use postern::control::keeper::Keeper;
use postern::control::lanes::{ByClass, LaneRow, TopDomain};
use postern::control::office::{Done, Office, QueueAct, SourceAct};
use postern::control::request::{PageAsk, QueueFilter, Role};
use postern::control::server;
use postern::event::Delay;
use postern::event::counters::Totals;
use postern::event::deed::{Deed, Recorded, Verification};
use postern::event::herald::Herald;
use postern::event::hour::LastHour;
use postern::host::{clock, peer};
use postern::mail::class::MessageClass;
use postern::mail::source::{SourceName, SourceState};
use postern::sign::statement::Signed;

/// An office with one message and one source; writes down what it was asked.
#[derive(Default)]
struct Desk {
    asked: Mutex<Vec<String>>,
}

const ID: QueueId = QueueId(0x0199_6d35_b47b_0000_0000_0000_0000_0007);

fn name() -> SourceName {
    SourceName::new("billing").unwrap()
}

fn row() -> QueueRow {
    QueueRow {
        id: ID,
        source: name(),
        class: MessageClass::Otp,
        accepted: WallTime(clock::wall().0 - 95_000),
        octets: 26_214_400,
        held: Some("source billing is disabled".to_owned()),
        recipients: 2,
        domains: vec!["example.org".to_owned()],
        attempts: 3,
        next: WallTime(0),
        reply: None,
        lanes: vec!["provider".to_owned()],
    }
}

fn lane() -> LaneRow {
    let delay = Delay {
        class: MessageClass::Otp,
        provider: "provider".to_owned(),
        delivered: 1000,
        p50_millis: 140,
        p99_millis: 1_900,
    };
    LaneRow {
        lane: "provider".to_owned(),
        egress: "main".to_owned(),
        state: "paused".to_owned(),
        reason: Some("421 4.7.0 Rate limit\u{1b}[2J".to_owned()),
        until: Some(WallTime(clock::wall().0 + 300_500)),
        connections: 0,
        allowed: 1,
        connections_max: 10,
        messages_per_connection: 20,
        messages_per_minute: Some(600),
        classes: ByClass { otp: 1, transactional: 20, subscribed: 300 },
        ready: 300,
        waiting: 21,
        in_flight: 0,
        held: 4,
        oldest: Some(WallTime(clock::wall().0 - 95_000)),
        next: None,
        reply: None,
        domains: 2,
        shut: 0,
        top: vec![TopDomain { domain: "example.org".to_owned(), messages: 317 }],
        delays: vec![delay],
    }
}

fn source() -> SourceRow {
    SourceRow {
        name: name(),
        state: SourceState::Disabled,
        configured: SourceState::Active,
        proof: "password".to_owned(),
        class: MessageClass::Otp,
        queued: 17,
        held: 17,
        accepted: 4711,
    }
}

fn not_here<T>() -> Done<T> {
    Err(Trouble::new(TroubleKind::NotFound, "there is no such message in the queue"))
}

impl Desk {
    fn note(&self, text: String) {
        self.asked.lock().unwrap().push(text);
    }
}

impl Office for Desk {
    async fn status(&self) -> Done<Status> {
        Ok(Status {
            state: "stopped".to_owned(),
            reasons: vec!["stop-all by alice".to_owned()],
            version: "0.1.0".to_owned(),
            hostname: "relay.example.com".to_owned(),
            lab: true,
            started: WallTime(0),
            now: WallTime(90_061_000),
            config: "/etc/postern/postern.toml".to_owned(),
            listeners: vec![ListenerRow {
                name: "submission".to_owned(),
                address: "127.0.0.1:587".to_owned(),
                kind: "submission".to_owned(),
            }],
            egresses: vec![],
            checks: vec![],
            sources_active: 1,
            sources: 2,
            queue: QueueSums { messages: 3, recipients: 5, held: 1, in_flight: 0, lanes: 2 },
            spool: SpoolRow {
                state: SpoolRow::OPEN.to_owned(),
                path: "/var/lib/postern/spool".to_owned(),
                segments: 2,
                free_octets: 5_000_000_000,
                sync_micros: 850,
            },
            totals: Totals { accepted: 9, ..Totals::default() },
            walls: vec![],
            held: vec![],
            delays: vec![],
            health: None,
            last_hour: LastHour { accepted: 4, ..LastHour::default() },
        })
    }
    async fn metrics(&self) -> Done<String> {
        Ok("postern_up 1\n".to_owned())
    }
    async fn facts(&self, _: u64, _: u64) -> Done<Vec<FactRow>> {
        Ok(vec![])
    }
    async fn queue_list(&self, _: QueueFilter, page: PageAsk) -> Done<Page<QueueRow>> {
        Ok(Page { rows: vec![row()], total: 21, offset: page.offset })
    }
    async fn queue_show(&self, _: QueueId) -> Done<QueueMessage> {
        not_here()
    }
    async fn queue_act(
        &self,
        act: QueueAct,
        filter: QueueFilter,
        _: String,
        dry_run: bool,
    ) -> Done<Acted> {
        self.note(format!("{act:?} {} {dry_run}", serde_json::to_string(&filter).unwrap()));
        Ok(Acted { messages: 21, dry_run, note: String::new() })
    }
    async fn message_trace(&self, id: QueueId, after: u64) -> Done<Vec<FactRow>> {
        let fact = |number, event: &str, text: &str| FactRow {
            number,
            at: WallTime(1_790_000_000_000),
            event: event.to_owned(),
            message: Some(id),
            text: text.to_owned(),
        };
        Ok(match after {
            0 => vec![fact(5, "recipient_delivered", "sent")],
            _ => vec![fact(9, "message_completed", "removed")],
        })
    }
    async fn message_explain(&self, _: QueueId) -> Done<Vec<StepRow>> {
        Ok(vec![StepRow { at: None, step: "deliver".to_owned(), text: "waits".to_owned() }])
    }
    async fn source_list(&self, page: PageAsk) -> Done<Page<SourceRow>> {
        Ok(Page { rows: vec![source()], total: 1, offset: page.offset })
    }
    async fn source_show(&self, _: SourceName) -> Done<SourceDetail> {
        not_here()
    }
    async fn source_act(
        &self,
        act: SourceAct,
        name: SourceName,
        by: String,
        dry_run: bool,
    ) -> Done<Acted> {
        self.note(format!("{act:?} {name} {by} {dry_run}"));
        Ok(Acted { messages: 17, dry_run, note: String::new() })
    }
    async fn source_rotate(&self, name: SourceName, _: u64, _: String) -> Done<Rotated> {
        let (user, password) = ("billing".to_owned(), "xyzzy-secret".to_owned());
        Ok(Rotated { name, user, password, grace_until: WallTime(1_790_000_000_000) })
    }
    async fn stop_all(&self, stopped: bool, _: String) -> Done<Acted> {
        self.note(format!("stop_all {stopped}"));
        Ok(Acted::default())
    }
    async fn egress_act(&self, name: String, why: Option<String>, by: String) -> Done<Acted> {
        let note = format!("{by} {} {name}", if why.is_some() { "suspends" } else { "resumes" });
        Ok(Acted { messages: 0, dry_run: false, note })
    }
    async fn queue_lanes(&self, page: PageAsk) -> Done<Page<LaneRow>> {
        Ok(Page { rows: vec![lane()], total: 1, offset: page.bounds().0 as u64 })
    }
    async fn lane_release(
        &self,
        lane: String,
        _: Option<SourceName>,
        by: String,
        dry_run: bool,
    ) -> Done<Acted> {
        let note = format!("{lane} released by {by}");
        Ok(Acted { messages: 7, dry_run, note })
    }
    async fn egress_list(&self) -> Done<Vec<EgressRow>> {
        Ok(vec![])
    }
    async fn egress_check(&self, _: Option<String>, _: Option<String>) -> Done<Vec<EgressCheck>> {
        not_here()
    }
    async fn egress_attest(&self, _: Option<String>) -> Done<Signed> {
        not_here()
    }
    async fn diagnose(&self, test: Test, role: String, target: String) -> Done<Diagnosis> {
        let steps = vec![TestStep::new("connect", Grade::Fail, "it refuses connections")];
        let next = Some("see that the host listens".to_owned());
        Ok(Diagnosis { test, role, target, steps, next })
    }
    async fn trace_begin(&self, of: Traced, secs: u64) -> Done<Dialogue> {
        let Traced::Source(name) = of else { return not_here() };
        self.note(format!("trace {name} {secs}"));
        let (about, left_secs) = (format!("source {name}"), secs);
        Ok(Dialogue { about, left_secs, ..Dialogue::default() })
    }
    async fn trace_poll(&self, after: u64) -> Done<Dialogue> {
        let row = DialogueRow {
            number: after + 1,
            at: WallTime(0),
            session: 1,
            speaker: Speaker::Client,
            text: "EHLO app".to_owned(),
        };
        Ok(Dialogue { about: "source billing".to_owned(), rows: vec![row], lost: 0, left_secs: 0 })
    }
    async fn trace_end(&self) -> Done<Acted> {
        Ok(Acted::default())
    }
    async fn config_show(&self) -> Done<Vec<SettingRow>> {
        Ok(vec![SettingRow { key: "lab".to_owned(), value: "true".to_owned() }])
    }
    async fn config_check(&self, _: String) -> Done<Checked> {
        Ok(Checked::default())
    }
    async fn config_diff(&self, text: Option<String>) -> Done<Vec<DifferenceRow>> {
        let key = text.map_or_else(|| "none".to_owned(), |text| text.len().to_string());
        Ok(vec![DifferenceRow { key, old: Some("1".to_owned()), new: None }])
    }
    async fn config_reload(&self, _: String) -> Done<Checked> {
        Ok(Checked { good: false, complaints: vec!["x: bad".to_owned()], warnings: vec![] })
    }
    async fn audit_show(&self, _: PageAsk) -> Done<Page<Recorded>> {
        Ok(Page { rows: vec![], total: 0, offset: 0 })
    }
    async fn audit_verify(&self) -> Done<Verification> {
        let finding = "record 3 was altered".to_owned();
        Ok(Verification { records: 2, good: false, first_bad: Some(3), finding })
    }
}

/// A daemon's control socket with `role` for everyone, until it is dropped.
struct House {
    folder: tempfile::TempDir,
    desk: Arc<Desk>,
    deeds: Arc<Mutex<Vec<Deed>>>,
    _runtime: tokio::runtime::Runtime,
}

impl House {
    fn open(role: Option<Role>, disk_full: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (desk, deeds) = (Arc::new(Desk::default()), Arc::new(Mutex::new(Vec::new())));
        let book = deeds.clone();
        let record = move |deed: Deed| {
            if disk_full {
                return Err(Fault::new("recording", "audit", "no space left"));
            }
            book.lock().unwrap().push(deed);
            Ok(())
        };
        let herald = Arc::new(Herald::new(clock::wall));
        let keeper = Keeper::new(desk.clone(), Arc::new(move |_| role), Arc::new(record), herald);
        let socket = folder.path().join("control.sock");
        let listener = runtime.block_on(async { server::open(&socket) }).unwrap();
        runtime.spawn(server::serve(listener, Arc::new(keeper), peer::user_name));
        Self { folder, desk, deeds, _runtime: runtime }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        let socket = self.socket();
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        arguments.extend(["--socket", socket.to_str().unwrap()]);
        postern(&arguments)
    }

    fn outcomes(&self) -> Vec<String> {
        let deeds = self.deeds.lock().unwrap();
        deeds.iter().map(|d| format!("{} {}: {}", d.action, d.subject, d.outcome)).collect()
    }

    fn asked(&self) -> Vec<String> {
        self.desk.asked.lock().unwrap().clone()
    }
}

fn postern(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_postern")).args(arguments).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn tables_are_for_people_and_json_for_programs() {
    let house = House::open(Some(Role::Administrator), false);
    let (code, table, _) = house.run("queue list --page 2 --limit 20");
    assert_eq!(code, 0);
    let expected = [
        "ID                            AGE   SIZE  SOURCE   CLASS  OPEN  TRIES  NEXT  \
         TO               STATE\n",
        &format!("{ID}  1m35s  27 MB  billing  otp       2      3  now   "),
        "example.org, ..  held: source billing is disabled\nmessages 21 to 21 of 21\n",
    ]
    .concat();
    assert_eq!(table, expected);
    let (_, json, _) = house.run("queue list --json");
    let page: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(page["rows"][0]["id"], ID.to_string());
    let (_, table, _) = house.run("source list");
    assert_eq!(
        table,
        "NAME     STATE                          PROOF     CLASS  ACCEPTED  QUEUED  HELD\n\
         billing  disabled (configured: active)  password  otp        4711      17    17\n\
         1 sources\n"
    );
    let (_, status, _) = house.run("status");
    assert_eq!(
        status,
        "state          stopped: stop-all by alice\n\
         gateway        relay.example.com (postern 0.1.0)\n\
         running for    1d1h\n\
         configuration  /etc/postern/postern.toml\n\
         sources        1 of 2 active\n\
         queue          3 messages, 5 recipients open, 1 held, 0 in flight, 2 lanes\n\
         spool          open: /var/lib/postern/spool, 5000 MB free, 2 segments, sync 850 us\n\
         since start    9 accepted, 0 refused, 0 delivered, 0 deferred, 0 failed, 0 expired\n\
         last hour      4 accepted, 0 refused, 0 delivered, 0 deferred\n\
         sessions       0 open\n\
         listener       submission: submission 127.0.0.1:587\n\
         laboratory     yes: this gateway is not for the Internet\n"
    );
    assert_eq!(house.run("config diff").1, "- none = 1\n");
    assert_eq!(house.run("metrics").1, "postern_up 1\n");
}

#[test]
fn a_way_is_tried_and_a_dialogue_is_followed() {
    let house = House::open(Some(Role::Operator), false);
    let (code, text, _) = house.run("diagnose tls --from main mx.example.org");
    let shown = "tls mx.example.org by main\nSTEP     HOW   WHAT\n\
                 connect  FAIL  it refuses connections\nnext: see that the host listens\n";
    assert_eq!((code, text.as_str()), (1, shown));
    let (code, text, _) = house.run("trace smtp --source billing --for 2s");
    assert_eq!((code, text.as_str()), (0, "1970-01-01T00:00:00.000Z [1] C: EHLO app\n"));
    assert_eq!(house.asked(), ["trace billing 2"]);
    assert_eq!(
        house.outcomes(),
        [
            "trace smtp source billing for 2 s: begun",
            "trace smtp source billing for 2 s: done",
            "trace end : begun",
            "trace end : done: 0 messages",
        ]
    );
    assert_eq!(house.run("diagnose ping --from main").0, 2, "nobody is named");
    let viewer = House::open(Some(Role::Viewer), false);
    for line in ["diagnose ping --from main x.example", "trace smtp --source billing"] {
        let (code, _, told) = viewer.run(line);
        assert!(code == 1 && told.contains("role operator is needed"), "{told}");
    }
}

#[test]
fn deeds_are_done_and_recorded() {
    let house = House::open(Some(Role::Administrator), false);
    assert_eq!(house.run("source disable billing").1, "done: 17 messages\n");
    assert_eq!(house.run("queue purge --all --dry-run").1, "would touch 21 messages\n");
    assert_eq!(house.run("queue purge --domain Example.ORG").1, "done: 21 messages\n");
    assert_eq!(house.run("stop-all").0, 0);
    let (_, text, _) = house.run("source rotate billing");
    assert!(text.contains("password      xyzzy-secret\n"), "{text}");
    let who = format!("{} (uid {})", peer::user_name(peer::own_uid()), peer::own_uid());
    assert_eq!(house.asked()[0], format!("Disable billing {who} false"));
    assert!(house.asked()[2].contains("\"domain\":\"example.org\""));
    let filter = QueueFilter { domain: Some("example.org".to_owned()), ..QueueFilter::default() };
    let domain = serde_json::to_string(&filter).unwrap();
    assert_eq!(
        house.outcomes(),
        [
            "source disable billing: done: 17 messages".to_owned(),
            "queue purge the whole queue (dry run): begun".to_owned(),
            "queue purge the whole queue (dry run): done: would touch 21 messages".to_owned(),
            format!("queue purge {domain}: begun"),
            format!("queue purge {domain}: done: 21 messages"),
            "stop-all : done: 0 messages".to_owned(),
            "source rotate billing: begun".to_owned(),
            "source rotate billing: done".to_owned(),
        ]
    );
}

#[test]
fn a_role_that_does_not_reach_is_refused_and_recorded() {
    for (role, line, allowed) in [
        (None, "status", false),
        (Some(Role::Viewer), "status", true),
        (Some(Role::Viewer), "source disable billing", false),
        (Some(Role::Operator), "source disable billing", true),
        (Some(Role::Operator), "queue purge --all", false),
        (Some(Role::Operator), "source rotate billing", false),
        (Some(Role::Operator), "config reload", false),
    ] {
        let house = House::open(role, false);
        let (code, out, err) = house.run(line);
        if allowed {
            assert_eq!(code, 0, "{role:?} {line}: {err}");
        } else {
            assert_eq!((code, out.as_str()), (1, ""), "{role:?} {line}");
            assert!(err.contains("is needed"), "{err}");
            assert_eq!(house.asked(), Vec::<String>::new());
            assert!(house.outcomes()[0].contains(": refused: "), "{:?}", house.outcomes());
        }
    }
}

#[test]
fn a_full_disk_stands_before_a_purge_and_not_before_the_kill_switch() {
    let house = House::open(Some(Role::Administrator), true);
    let (code, _, err) = house.run("queue purge --all");
    assert_eq!(code, 1);
    assert!(err.contains("not done, because it cannot be recorded"), "{err}");
    let (code, out, _) = house.run("source disable billing");
    assert_eq!(code, 0);
    assert!(out.contains("NOT recorded"), "{out}");
    assert_eq!(house.asked().len(), 1);
}

#[test]
fn lanes_are_listed_for_viewers_and_released_by_operators() {
    let house = House::open(Some(Role::Viewer), false);
    let (code, table, _) = house.run("queue lanes");
    assert_eq!(code, 0);
    let line = table.lines().nth(1).unwrap();
    for part in ["provider  main", "paused, ends in 5m", "0/1/10", "600/min", "example.org 317"] {
        assert!(line.contains(part), "{part} is missing in\n{table}");
    }
    assert!(table.contains("421 4.7.0 Rate limit?[2J"), "{table}");
    assert!(table.contains("otp") && table.contains("1.900"), "{table}");
    let (_, json, _) = house.run("queue lanes --json");
    let page: serde_json::Value = serde_json::from_str(&json).unwrap();
    let row = &page["rows"][0];
    assert_eq!((&row["classes"]["subscribed"], &row["state"]), (&300.into(), &"paused".into()));
    assert_eq!(house.run("lane release provider").0, 1, "a viewer only looks");
    let house = House::open(Some(Role::Operator), false);
    let (code, out, _) = house.run("lane release provider --source billing");
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("done: 7 messages; provider released by "), "{out}");
    assert!(house.outcomes().last().unwrap().contains("done"), "{:?}", house.outcomes());
}

#[test]
fn exit_codes_say_done_failed_or_wrong() {
    let house = House::open(Some(Role::Administrator), false);
    for (line, expected) in [
        ("status", 0),
        (&*format!("queue show {ID}"), 1),
        ("queue show nonsense", 2),
        ("queue hold", 2),
        ("queue hold --all --held", 2),
        ("nonsense", 2),
        ("config reload", 2),
        ("audit verify", 1),
        ("audit verify --file /nonexistent", 1),
        ("config check /nonexistent", 2),
    ] {
        assert_eq!(house.run(line).0, expected, "{line}");
    }
    let (code, _, err) = postern(&["status", "--socket", "/nonexistent"]);
    assert_eq!(code, 1);
    assert!(err.contains("is `postern serve` running"), "{err}");
}

#[test]
fn a_configuration_is_checked_without_a_daemon() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bad = root.join("tests/config/ten-mistakes.toml");
    let (code, out, _) = postern(&["config", "check", bad.to_str().unwrap()]);
    assert_eq!(code, 2);
    // Ten mistakes, and the certificate that this machine has not.
    assert!(out.ends_with("ten-mistakes.toml: 11 complaints\n"), "{out}");
    let (_, json, _) = postern(&["config", "check", bad.to_str().unwrap(), "--json"]);
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&found["good"], &found["complaints"][0]["line"]), (&false.into(), &2.into()));
}

#[test]
fn password_lines_can_be_put_into_a_configuration() {
    let (code, out, _) = postern(&["source", "hash", "--generate"]);
    assert_eq!(code, 0);
    let lines = out.replace("[[source.NAME.password]]", "[[source.billing.password]]");
    let sample =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/postern.toml"))
            .unwrap();
    postern::config::read(&(sample + &lines), &postern::config::Anywhere).unwrap();
}

#[test]
fn a_trace_is_followed_to_its_end() {
    let house = House::open(Some(Role::Viewer), false);
    let (code, out, _) = house.run(&format!("message trace {ID}"));
    assert_eq!((code, out.as_str()), (0, "2026-09-21T14:13:20.000Z  sent\n"));
    let (_, out, _) = house.run(&format!("message trace {ID} --follow"));
    assert!(out.ends_with("  sent\n2026-09-21T14:13:20.000Z  removed\n"), "{out}");
    assert_eq!(
        house.run(&format!("message explain {ID}")).1,
        "WHEN     STEP     WHAT AND WHY\nto come  deliver  waits\n"
    );
}

#[test]
fn a_stranger_to_the_protocol_is_told_and_bounded() {
    let house = House::open(Some(Role::Administrator), false);
    let ask = |octets: &[u8]| {
        let mut stream = UnixStream::connect(house.socket()).unwrap();
        stream.write_all(octets).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    };
    for request in
        ["{}\n", "GET / HTTP/1.1\n", "{\"verb\":\"stop-all\",\"dry_run\":true}\n", "\0\n"]
    {
        assert!(ask(request.as_bytes()).contains("\"invalid\""), "{request}");
    }
    assert!(ask(&vec![b'x'; 65 * 1024 + 1]).contains("one line of at most"));
    assert!(ask(b"{\"verb\":\"status\"}\n").starts_with("{\"answer\":\"status\""));
}

#[test]
fn a_socket_is_opened_once_and_taken_over_from_the_dead() {
    let house = House::open(Some(Role::Viewer), false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = |path: &Path| runtime.block_on(async { server::open(path) });
    let second = open(&house.socket()).unwrap_err();
    assert!(second.to_string().contains("another daemon"), "{second}");
    let dead = house.folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    assert!(open(&dead).is_ok());
    let file = house.folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(open(&file).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
