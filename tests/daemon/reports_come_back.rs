//! Notifications as a sender gets them: one for each failure, to the right one, in the form that
//! programs understand, and never about themselves.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::client::{LETTER, queue_id};
use crate::sink::Delivered;
use crate::stage::{Daemon, Said, Stage};

/// What Python's parser makes of a report.
const READER: &str = r"
import email, email.policy, json, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
parts = list(m.iter_parts())
fields = [[list(map(list, block.items())) for block in part.get_payload()]
          for part in parts if part.get_content_type() == 'message/delivery-status']
defects = [str(d) for p in m.walk() for d in p.defects]
kind = m['content-type'].params.get('report-type')
print(json.dumps({'type': m.get_content_type(), 'report': kind,
  'parts': [p.get_content_type() for p in parts], 'from': m['from'], 'to': m['to'],
  'subject': m['subject'], 'date': bool(m['date']), 'id': m['message-id'],
  'auto': m['auto-submitted'], 'fields': fields, 'defects': defects,
  'text': parts[0].get_content() if parts else '',
  'returned': parts[-1].get_payload(decode=False) if parts and
     parts[-1].get_content_type() == 'text/rfc822-headers' else ''}))
";

fn read(report: &Delivered) -> Value {
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&report.content).unwrap();
    let said = Said::of(&python.wait_with_output().unwrap());
    assert_eq!(said.code, 0, "{}: {}", said.err, report.text());
    serde_json::from_str(&said.out).unwrap()
}

/// A field of one of the blocks of message/delivery-status.
fn field<'a>(report: &'a Value, block: usize, name: &str) -> &'a str {
    let fields = report["fields"][0][block].as_array().unwrap();
    let found = fields.iter().find(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("{name} in {fields:?}"))[1].as_str().unwrap()
}

fn report_to(daemon: &Daemon, address: &str) -> Delivered {
    daemon
        .stage
        .sink
        .wait(|message| message.reverse_path().is_empty() && message.forward_paths() == [address])
}

/// Nothing more comes than what was taken.
fn silence(daemon: &Daemon) {
    daemon.wait_queued(0);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(daemon.stage.sink.count(), 0, "{:?}", daemon.stage.sink.take(|_| true));
}

#[test]
fn a_refused_recipient_is_reported_once_to_the_reverse_path() {
    let daemon = Stage::new().start();
    let to = ["refuse1@example.net", "b@example.net", "refuse2@example.net"];
    let id = daemon.app().post(&to);
    daemon.stage.sink.wait(|message| message.forward_paths() == ["b@example.net"]);
    let delivered = report_to(&daemon, "a@example.org");
    assert!(!delivered.text().contains("Hello."), "the header is returned, not the body");
    let report = read(&delivered);
    assert_eq!(report["defects"], serde_json::json!([]), "{report}");
    assert_eq!(
        (&report["type"], &report["report"]),
        (&"multipart/report".into(), &"delivery-status".into())
    );
    let parts = ["text/plain", "message/delivery-status", "text/rfc822-headers"];
    assert_eq!(report["parts"], serde_json::json!(parts), "{report}");
    assert_eq!(report["auto"], "auto-replied", "{report}");
    assert_eq!(report["date"], true);
    assert!(report["id"].as_str().unwrap().ends_with("@gw.example.org>"), "{report}");
    assert_eq!(report["to"], "a@example.org", "{report}");
    assert!(report["returned"].as_str().unwrap().contains("Subject: a letter"), "{report}");
    assert_eq!(field(&report, 0, "Reporting-MTA"), "dns; gw.example.org");
    assert_eq!(report["fields"][0].as_array().unwrap().len(), 3, "two recipients: {report}");
    for (block, recipient) in [(1, to[0]), (2, to[2])] {
        assert_eq!(field(&report, block, "Final-Recipient"), format!("rfc822; {recipient}"));
        assert_eq!(field(&report, block, "Action"), "failed");
        assert_eq!(field(&report, block, "Status"), "5.1.1");
        assert_eq!(field(&report, block, "Diagnostic-Code"), "smtp; 550 5.1.1 No such mailbox");
    }
    let text = report["text"].as_str().unwrap();
    assert!(text.contains(to[0]) && text.contains(to[2]) && text.contains(&id), "{text}");
    silence(&daemon);
    let trace = daemon.cli(&["message", "trace", &id]).out;
    assert_eq!(trace.matches("report").count(), 1, "{trace}");
    daemon.stop();
}

#[test]
fn a_null_reverse_path_is_reported_to_the_owner() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    let reply = app.submit("", &["refuse@example.net"], LETTER);
    queue_id(&reply);
    let report = read(&report_to(&daemon, "owner@example.com"));
    assert_eq!(field(&report, 1, "Final-Recipient"), "rfc822; refuse@example.net");
    silence(&daemon);
    daemon.stop();
}

#[test]
fn never_means_never_and_success_is_told_where_the_next_host_cannot() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    let submit = |app: &mut crate::client::Client, mail: &str, recipient: &str| {
        assert!(app.say(&format!("MAIL FROM:<a@example.org>{mail}")).starts_with("250"));
        assert!(app.say(&format!("RCPT TO:{recipient}")).starts_with("250"));
        assert!(app.say("DATA").starts_with("354"));
        app.send(LETTER);
        app.send(b"\r\n.\r\n");
        queue_id(&app.reply())
    };
    submit(&mut app, "", "<refuse@example.net> NOTIFY=NEVER");
    submit(&mut app, "", "<refuse@example.net> NOTIFY=SUCCESS,DELAY");
    silence(&daemon);

    // The next host promises to report: the wish is passed on.
    let orcpt = "<b@example.net> NOTIFY=SUCCESS ORCPT=rfc822;first@example.net";
    submit(&mut app, " RET=FULL ENVID=abc", orcpt);
    let passed = daemon.stage.sink.wait(|_| true);
    assert!(passed.mail.contains("RET=FULL") && passed.mail.contains("ENVID=abc"), "{passed:?}");
    let recipient = &passed.recipients[0];
    assert!(recipient.contains("NOTIFY=SUCCESS"), "{recipient}");
    assert!(recipient.contains("ORCPT=rfc822;first@example.net"), "{recipient}");
    silence(&daemon);

    // It does not: we tell that the mail was relayed (RFC 3461 section 5.2.2).
    daemon.stage.sink.forget_dsn();
    std::thread::sleep(Duration::from_secs(6));
    submit(&mut app, " ENVID=abc", orcpt);
    let report = read(&report_to(&daemon, "a@example.org"));
    assert_eq!(field(&report, 1, "Action"), "relayed");
    assert_eq!(field(&report, 0, "Original-Envelope-Id"), "abc");
    assert_eq!(field(&report, 1, "Original-Recipient"), "rfc822; first@example.net");
    let passed = daemon.stage.sink.wait(|_| true);
    assert!(!passed.recipients[0].contains("NOTIFY"), "{passed:?}");

    // The whole message comes back where the sender asked for it.
    submit(&mut app, " RET=FULL", "<refuse@example.net>");
    let whole = report_to(&daemon, "a@example.org");
    assert!(whole.text().contains("Hello."), "{}", whole.text());
    silence(&daemon);
    daemon.stop();
}

/// A report that nobody takes is the end of it.
#[test]
fn there_is_no_report_of_a_report() {
    let daemon = Stage::new().start();
    let mut app = daemon.app();
    let reply = app.submit("refuse@example.org", &["refuse@example.net"], LETTER);
    queue_id(&reply);
    daemon.wait_told("to=<refuse@example.org>");
    silence(&daemon);
    let failed = daemon.told().matches("status=bounced").count();
    assert_eq!(failed, 2, "the message and its report: {}", daemon.told());
    daemon.stop();
}
