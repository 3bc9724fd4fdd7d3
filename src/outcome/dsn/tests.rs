//! Who is told, and what the report says.

use super::*;
use crate::mail::address::ReversePath;
use crate::mail::class::MessageClass;
use crate::mail::envelope::{DeliverBy, Envelope};
use crate::mail::source::SourceName;
use crate::mail::stage::Label;

const WALL: WallTime = WallTime(1_790_000_000_000);

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text, true).unwrap()
}

fn parcel(reverse_path: &str, recipients: &[&str]) -> Parcel {
    let reverse_path = if reverse_path.is_empty() {
        ReversePath::Null
    } else {
        ReversePath::Mailbox(mailbox(reverse_path))
    };
    let mut envelope = Envelope::from(reverse_path);
    envelope.recipients = recipients.iter().map(|r| Recipient::plain(mailbox(r))).collect();
    Parcel {
        id: QueueId::new(WALL, 7),
        label: Label {
            source: SourceName::new("shop").unwrap(),
            class: MessageClass::Transactional,
            accepted: WALL,
            expires: WALL.after(std::time::Duration::from_secs(86_400)),
            notification: false,
            priority: 0,
            notice: None,
        },
        envelope,
        content: Bytes::from_static(
            b"From: shop@example.org\r\nSubject: Invoice 42\r\n\r\nSecret body\r\n",
        ),
    }
}

fn line(recipient: u16, fate: Fate, code: u16, status: &str, text: &str) -> Line {
    Line {
        recipient,
        fate,
        reply: PeerReply::new(code, status.parse().ok(), text),
        remote: Domain::parse("mx.example.net").ok(),
        attempted: Some(WALL),
    }
}

fn report(parcel: &Parcel, lines: &[Line]) -> Result<Report, Omitted> {
    let hostname = Domain::parse("gate.example.org").unwrap();
    let owner = mailbox("owner@example.org");
    let desk =
        Desk { hostname: &hostname, owner: Some(&owner), id: QueueId::new(WALL, 9), now: WALL };
    compose(parcel, desk, lines)
}

fn text(report: &Report) -> String {
    String::from_utf8(report.content.to_vec()).unwrap()
}

#[test]
fn a_failure_report_has_its_three_parts() {
    let mut parcel = parcel("shop@example.org", &["no@example.net", "full@example.net"]);
    parcel.envelope.envid = Some("QQ+2B314".into());
    parcel.envelope.recipients[0].orcpt = Some("rfc822;No+2Bx@example.net".into());
    let lines = [
        line(0, Fate::Failed, 550, "5.1.1", "No such user here"),
        line(1, Fate::Expired, 452, "4.2.2", "Mailbox full"),
    ];
    let report = report(&parcel, &lines).unwrap();
    assert_eq!((report.to.as_str(), report.kind), ("shop@example.org", Kind::Failure));
    assert!(!report.smtputf8);
    let text = text(&report);
    for expected in [
        "From: Mail Delivery System <MAILER-DAEMON@gate.example.org>\r\n",
        "To: <shop@example.org>\r\n",
        "Auto-Submitted: auto-replied\r\n",
        "Original-Envelope-Id: QQ+314\r\n",
        "Reporting-MTA: dns; gate.example.org\r\n",
        "Arrival-Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n",
        "Original-Recipient: rfc822; No+x@example.net\r\n",
        "Final-Recipient: rfc822; no@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        "Remote-MTA: dns; mx.example.net\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 No such user here\r\n",
        "Final-Recipient: rfc822; full@example.net\r\nAction: failed\r\nStatus: 4.4.7\r\n",
        "Last-Attempt-Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n",
        "does not know this address",
        "typing errors",
        "Subject: Invoice 42\r\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
    assert!(!text.contains("Secret body"), "the header only");
    assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 998));
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    let media: Vec<&str> = text.lines().filter(|line| line.starts_with("Content-Type:")).collect();
    assert!(media[0].starts_with("Content-Type: multipart/report; report-type=delivery-status;"));
    let parts = ["text/plain; charset=utf-8", "message/delivery-status", "text/rfc822-headers"];
    assert_eq!(media[1..], parts.map(|part| format!("Content-Type: {part}")));
}

/// A reader of another house (RFC 6522: text, machine-readable part, header of the message).
#[test]
fn another_reader_finds_the_same_parts() {
    use mail_parser::{MessageParser, MimeHeaders};
    let parcel = parcel("shop@example.org", &["ann@example.net"]);
    let failed = line(0, Fate::Failed, 550, "5.1.1", "No such user");
    let report = report(&parcel, &[failed]).unwrap();
    let message = MessageParser::default().parse(&report.content[..]).unwrap();
    let kinds: Vec<String> = message
        .parts
        .iter()
        .filter_map(|part| part.content_type())
        .map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()))
        .collect();
    let expected =
        ["multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers"];
    assert_eq!(kinds, expected);
}

#[test]
fn notify_is_respected() {
    let on = |success, failure, delay| Some(Notify::On { success, failure, delay });
    let until = WALL;
    let fates = [Fate::Failed, Fate::Expired, Fate::Delayed { until }, Fate::Relayed];
    let rows = [
        (None, [true, true, true, false]),
        (Some(Notify::Never), [false; 4]),
        (on(true, false, false), [false, false, false, true]),
        (on(false, true, false), [true, true, false, false]),
        (on(false, false, true), [false, false, true, false]),
        (on(true, true, true), [true; 4]),
    ];
    for (notify, wanted) in rows {
        let mut parcel = parcel("shop@example.org", &["no@example.net"]);
        parcel.envelope.recipients[0].notify = notify;
        for (fate, wanted) in fates.into_iter().zip(wanted) {
            let told = report(&parcel, &[line(0, fate, 250, "2.0.0", "ok")]);
            assert_eq!(told.is_ok(), wanted, "{notify:?} {fate:?}");
            assert!(told.is_ok() || told == Err(Omitted::NotWanted));
        }
    }
}

#[test]
fn the_null_reverse_path_hears_nothing_and_its_owner_does() {
    let failed = [line(0, Fate::Failed, 550, "5.1.1", "no")];
    let mut parcel = parcel("", &["no@example.net"]);
    assert_eq!(report(&parcel, &failed).unwrap().to.as_str(), "owner@example.org");
    let hostname = Domain::parse("gate.example.org").unwrap();
    let desk = Desk { hostname: &hostname, owner: None, id: parcel.id, now: WALL };
    assert_eq!(compose(&parcel, desk, &failed), Err(Omitted::NowhereToGo));
    parcel.label.notification = true;
    assert_eq!(report(&parcel, &failed), Err(Omitted::AboutNotification));
}

#[test]
fn the_whole_message_only_if_asked_small_and_plain() {
    let failed = [line(0, Fate::Failed, 550, "5.1.1", "no")];
    let mut parcel = parcel("shop@example.org", &["no@example.net"]);
    parcel.envelope.ret = Some(Ret::Full);
    let whole = text(&report(&parcel, &failed).unwrap());
    assert!(whole.contains("Secret body") && whole.contains("message/rfc822"));
    let delayed = [line(0, Fate::Delayed { until: WALL }, 450, "4.2.0", "greylisted")];
    let delay = text(&report(&parcel, &delayed).unwrap());
    assert!(!delay.contains("Secret body") && delay.contains("Will-Retry-Until: "));
    assert!(delay.contains("Action: delayed\r\nStatus: 4.2.0\r\n"));
    parcel.content = Bytes::from("Subject: x\r\n\r\n".to_owned() + &"y".repeat(300 * 1024));
    assert!(report(&parcel, &failed).unwrap().content.len() < 10_000);
    parcel.content = Bytes::from("Subject: x\r\n\r\nSecr\u{e9}t");
    assert!(!text(&report(&parcel, &failed).unwrap()).contains("Secr"));
}

#[test]
fn international_messages_get_international_reports_and_others_never() {
    let failed = [line(0, Fate::Failed, 550, "5.1.1", "kein Empf\u{e4}nger")];
    let mut parcel = parcel("jos\u{e9}@example.org", &["m\u{fc}ller@b\u{fc}cher.example"]);
    parcel.envelope.smtputf8 = true;
    let international = report(&parcel, &failed).unwrap();
    assert!(international.smtputf8);
    let international = text(&international);
    assert!(international.contains("message/global-delivery-status"));
    assert!(international.contains("Final-Recipient: utf-8; m\u{fc}ller@b\u{fc}cher.example\r\n"));
    parcel.envelope.smtputf8 = false;
    parcel.content = Bytes::from("Subject: \u{e4}\r\n\r\nx");
    parcel.envelope.reverse_path = ReversePath::Mailbox(mailbox("a@b\u{fc}cher.example"));
    parcel.envelope.recipients = vec![Recipient::plain(mailbox("x@b\u{fc}cher.example"))];
    let plain = report(&parcel, &failed).unwrap();
    assert!(!plain.smtputf8 && plain.content.is_ascii());
    assert!(text(&plain).contains("rfc822; x@xn--bcher-kva.example"));
}

#[test]
fn hostile_answers_stay_inside_their_field() {
    let parcel = parcel("shop@example.org", &["no@example.net"]);
    let evil = "no\r\nBcc: all@example.org\r\n\r\n--=_postern_x";
    let report = report(&parcel, &[line(0, Fate::Failed, 550, "", evil)]).unwrap();
    let text = text(&report);
    assert!(!text.contains("\nBcc:") && !text.contains("\n--=_postern_x"));
    let boundary = format!("\r\n--=_postern_{}", QueueId::new(WALL, 9));
    assert_eq!(text.matches(&boundary).count(), 4);
}

fn by(mode: ByMode, trace: bool, deadline: WallTime) -> DeliverBy {
    DeliverBy { deadline, mode, trace, handover: false }
}

/// RFC 2852 4.1.3 and section 5.
#[test]
fn reports_about_deadlines_say_what_the_deadline_was() {
    let mut parcel = parcel("shop@example.org", &["x@example.net"]);
    let hour = std::time::Duration::from_secs(3600);
    let deadline = WallTime(WALL.0 - 1000);
    let field = "Deliver-By-Date: Mon, 21 Sep 2026 14:13:19 +0000\r\n";
    let status = |parcel: &Parcel, fate| {
        let text = text(&report(parcel, &[line(0, fate, 451, "4.3.0", "later")]).unwrap());
        assert!(text.contains("Arrival-Date: ") && text.contains(field), "{text}");
        let status = text.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap();
        status.to_owned()
    };
    parcel.envelope.deliver_by = Some(by(ByMode::Return, false, deadline));
    parcel.label.expires = deadline;
    assert_eq!(status(&parcel, Fate::Expired), "5.4.7");
    // The patience of the class was the shorter one.
    parcel.label.expires = WallTime(WALL.0 - 2000);
    assert_eq!(status(&parcel, Fate::Expired), "4.4.7");
    parcel.envelope.deliver_by = Some(by(ByMode::Notify, false, deadline));
    assert_eq!(status(&parcel, Fate::Delayed { until: WALL.after(hour) }), "4.4.7");
    assert_eq!(status(&parcel, Fate::Expired), "4.4.7");
    parcel.envelope.deliver_by = Some(by(ByMode::Notify, false, WALL.after(hour)));
    let early = report(&parcel, &[line(0, Fate::Delayed { until: WALL }, 451, "4.3.0", "later")]);
    assert!(text(&early.unwrap()).contains("Status: 4.3.0\r\n"), "before the deadline");
}

/// RFC 2852 4.1.4 and 4.1.4.2, RFC 3461 5.2.2: who hears of a message that was passed on.
#[test]
fn hops_are_told_as_the_deadline_asks() {
    let on = |success| Some(Notify::On { success, failure: true, delay: false });
    let (before, after) = (WallTime(WALL.0 - 1), WALL.after(std::time::Duration::from_secs(9)));
    let hop = |dsn, deadlines| Hop { dsn, deadlines };
    let (plain, back, next) = (None, ByMode::Return, ByMode::Notify);
    for (deliver_by, notify, hop, expected) in [
        (plain, None, hop(false, false), None),
        (plain, on(true), hop(false, false), Some(Fate::Relayed)),
        (plain, on(true), hop(true, true), None),
        (Some(by(back, false, after)), None, hop(false, false), None),
        (Some(by(back, false, after)), on(true), hop(false, true), Some(Fate::Relayed)),
        (Some(by(back, true, after)), None, hop(true, true), Some(Fate::Traced)),
        (Some(by(back, true, after)), on(false), hop(true, true), Some(Fate::Traced)),
        (Some(by(next, false, after)), None, hop(true, false), Some(Fate::Traced)),
        (Some(by(next, false, after)), None, hop(true, true), None),
        (Some(by(next, false, before)), None, hop(true, false), None),
        (Some(by(next, true, before)), None, hop(true, false), Some(Fate::Traced)),
    ] {
        let mut parcel = parcel("shop@example.org", &["x@example.net"]);
        parcel.envelope.deliver_by = deliver_by;
        parcel.envelope.recipients[0].notify = notify;
        assert_eq!(passed_on(&parcel, 0, hop, WALL), expected, "{deliver_by:?} {notify:?} {hop:?}");
    }
    let mut parcel = parcel("shop@example.org", &["x@example.net"]);
    parcel.envelope.deliver_by = Some(by(back, true, after));
    let traced = line(0, Fate::Traced, 250, "2.0.0", "taken");
    let report_text = text(&report(&parcel, std::slice::from_ref(&traced)).unwrap());
    assert!(report_text.contains("Action: relayed\r\nStatus: 2.0.0\r\n"), "{report_text}");
    parcel.envelope.recipients[0].notify = Some(Notify::Never);
    assert_eq!(report(&parcel, &[traced]), Err(Omitted::NotWanted));
}

/// RFC 8689 section 5.
#[test]
fn of_a_message_with_requiretls_the_header_alone_comes_back() {
    let mut parcel = parcel("shop@example.org", &["x@example.net"]);
    parcel.envelope.ret = Some(Ret::Full);
    let failed = [line(0, Fate::Failed, 0, "5.7.30", "REQUIRETLS support required")];
    assert!(text(&report(&parcel, &failed).unwrap()).contains("Secret body"));
    parcel.envelope.require_tls = true;
    let text = text(&report(&parcel, &failed).unwrap());
    assert!(!text.contains("Secret body") && text.contains("Subject: Invoice 42"), "{text}");
    assert!(text.contains("secure as it has to be."), "{text}");
}
