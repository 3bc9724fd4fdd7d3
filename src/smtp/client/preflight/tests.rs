//! What a host is told of a message that asks for more than delivery, and what it is spared.

use super::*;
use crate::base::id::QueueId;
use crate::mail::address::ReversePath;
use crate::mail::class::MessageClass;
use crate::mail::source::SourceName;
use crate::mail::stage::Label;

const WALL: WallTime = WallTime(1_790_000_000_000);

fn parcel(sender: &str) -> Parcel {
    let sender = Mailbox::parse(sender, false).map_or(ReversePath::Null, ReversePath::Mailbox);
    let mut envelope = Envelope::from(sender);
    envelope.recipients = vec![Recipient::plain(Mailbox::parse("x@b.example", false).unwrap())];
    let label = Label {
        source: SourceName::new("test").unwrap(),
        class: MessageClass::Otp,
        accepted: WALL,
        expires: WALL,
        notification: false,
        priority: 0,
        notice: None,
    };
    let content = bytes::Bytes::from_static(b"Subject: x\r\n\r\ny\r\n");
    Parcel { id: QueueId::new(WALL, 1), label, envelope, content }
}

/// MAIL and RCPT as they are said to a host that offers `offer`, or the answer that spares it.
fn said(parcel: &Parcel, offer: &str, authenticated: bool) -> Result<(String, String), String> {
    let offer = Offer::read(&format!("mx\r\n{offer}"));
    let peer = Peer { offer: &offer, authenticated, wall: WALL };
    let preflight = Preflight::new(parcel, &peer).map_err(|reply| reply.to_string())?;
    let (mut mail, mut recipient) = (BytesMut::new(), BytesMut::new());
    preflight.write_mail(parcel, &mut mail);
    preflight.write_recipient(&parcel.envelope.recipients[0], &mut recipient);
    let text = |line: BytesMut| String::from_utf8(line.to_vec()).unwrap().trim_end().to_owned();
    Ok((text(mail), text(recipient)))
}

fn deadline(millis: i64, mode: ByMode) -> DeliverBy {
    let deadline = WallTime(WALL.0.checked_add_signed(millis).unwrap());
    DeliverBy { deadline, mode, trace: false, handover: false }
}

#[test]
fn requiretls_is_said_only_to_a_host_that_proved_itself_and_offers_it() {
    let mail = "MAIL FROM:<a@source.example>";
    let report = "MAIL FROM:<>";
    for (sender, asked, authenticated, offered, expected) in [
        ("a@source.example", true, true, true, Ok(format!("{mail} REQUIRETLS"))),
        ("a@source.example", true, true, false, Err("5.7.30 ")),
        ("a@source.example", true, false, true, Err("5.7.10 ")),
        ("a@source.example", true, false, false, Err("5.7.10 ")),
        ("a@source.example", false, true, true, Ok(mail.to_owned())),
        ("a@source.example", false, false, false, Ok(mail.to_owned())),
        // A report is protected if it can be, and never lost for it (RFC 8689 section 5).
        ("", true, true, true, Ok(format!("{report} REQUIRETLS"))),
        ("", true, true, false, Ok(report.to_owned())),
        ("", true, false, true, Ok(report.to_owned())),
        ("", true, false, false, Ok(report.to_owned())),
    ] {
        let mut parcel = parcel(sender);
        parcel.envelope.require_tls = asked;
        let offer = if offered { "REQUIRETLS" } else { "DSN-NOT" };
        let row = format!("{sender:?} {asked} {authenticated} {offered}");
        match (said(&parcel, offer, authenticated), expected) {
            (Ok((mail, _)), Ok(expected)) => assert_eq!(mail, expected, "{row}"),
            (Err(reply), Err(expected)) => assert!(reply.starts_with(expected), "{row}: {reply}"),
            (heard, expected) => panic!("{row}: {heard:?}, not {expected:?}"),
        }
    }
}

#[test]
fn the_priority_goes_to_hosts_that_know_it() {
    let mut parcel = parcel("a@source.example");
    for (priority, offer, expected) in [
        (Some(-3), "MT-PRIORITY MIXER", " MT-PRIORITY=-3"),
        (Some(9), "MT-PRIORITY", " MT-PRIORITY=9"),
        // RFC 6710 4.1: each message has a priority, and 4.2: it must be said.
        (None, "MT-PRIORITY", " MT-PRIORITY=0"),
        (Some(9), "DSN", ""),
    ] {
        parcel.envelope.priority = priority;
        let (mail, _) = said(&parcel, offer, false).unwrap();
        assert_eq!(mail, format!("MAIL FROM:<a@source.example>{expected}"), "{offer}");
    }
}

#[test]
fn a_deadline_goes_on_with_what_is_left_of_it() {
    use ByMode::{Notify, Return};
    let mail = |by: &str| Ok(format!("MAIL FROM:<a@source.example>{by}"));
    for (by, offer, expected) in [
        (deadline(98_999, Return), "DELIVERBY 30", mail(" BY=98;R")),
        (deadline(98_000, Return), "DELIVERBY 98", mail(" BY=98;R")),
        (deadline(97_999, Return), "DELIVERBY 98", Err("5.4.7 ")),
        (deadline(98_000, Return), "DELIVERBY 240", Err("5.4.7 ")),
        (deadline(1_000, Return), "DELIVERBY", mail(" BY=1;R")),
        // BY=0;R would be a syntax error (section 4).
        (deadline(999, Return), "DELIVERBY", Err("5.4.7 ")),
        (deadline(0, Return), "DELIVERBY", Err("5.4.7 ")),
        (deadline(-1, Return), "DSN", Err("5.4.7 ")),
        // 4.1.4.1: never to a host that cannot promise it.
        (deadline(600_000, Return), "DSN", Err("5.3.3 ")),
        (deadline(600_000, Notify), "DELIVERBY 9999", mail(" BY=600;N")),
        (deadline(0, Notify), "DELIVERBY", mail(" BY=0;N")),
        (deadline(-1, Notify), "DELIVERBY", mail(" BY=-1;N")),
        (deadline(-30_000, Notify), "DELIVERBY", mail(" BY=-30;N")),
        (deadline(600_000, Notify), "SIZE-NOT", mail("")),
    ] {
        let mut parcel = parcel("a@source.example");
        parcel.envelope.deliver_by = Some(by);
        let row = format!("{by:?} {offer}");
        match (said(&parcel, offer, false), expected) {
            (Ok((mail, _)), Ok(expected)) => assert_eq!(mail, expected, "{row}"),
            (Err(reply), Err(expected)) => assert!(reply.starts_with(expected), "{row}: {reply}"),
            (heard, expected) => panic!("{row}: {heard:?}, not {expected:?}"),
        }
    }
}

#[test]
fn the_trace_goes_on_and_no_deadline_exceeds_nine_digits() {
    let mut parcel = parcel("a@source.example");
    let far = DeliverBy { trace: true, ..deadline(1 << 50, ByMode::Return) };
    parcel.envelope.deliver_by = Some(far);
    let (mail, _) = said(&parcel, "DELIVERBY", false).unwrap();
    assert_eq!(mail, "MAIL FROM:<a@source.example> BY=999999999;RT");
}

/// The administrator's word over RFC 2852 4.1.4.1: in time to any host, late to none.
#[test]
fn a_handover_in_time_is_enough_where_the_administrator_says_so() {
    let mut parcel = parcel("a@source.example");
    for (millis, offer, expected) in [
        (600_000, "DSN", Some("MAIL FROM:<a@source.example>")),
        (1, "DSN", Some("MAIL FROM:<a@source.example>")),
        (600_000, "DELIVERBY 30", Some("MAIL FROM:<a@source.example> BY=600;R")),
        (10_000, "DELIVERBY 30", Some("MAIL FROM:<a@source.example>")),
        (0, "DSN", None),
        (-5, "DELIVERBY", None),
    ] {
        let by = DeliverBy { handover: true, ..deadline(millis, ByMode::Return) };
        parcel.envelope.deliver_by = Some(by);
        let heard = said(&parcel, offer, false);
        match expected {
            Some(mail) => assert_eq!(heard.unwrap().0, mail, "{millis} {offer}"),
            None => assert!(heard.unwrap_err().starts_with("5.4.7 "), "{millis} {offer}"),
        }
    }
}

/// RFC 2852 4.1.4.2: where the deadline does not go on, the host shall tell of delays.
#[test]
fn a_host_without_deliverby_is_asked_to_tell_of_delays() {
    let on = |success, failure, delay| Some(Notify::On { success, failure, delay });
    for (notify, offer, millis, expected) in [
        (None, "DSN", 60_000, " NOTIFY=FAILURE,DELAY"),
        (on(true, false, false), "DSN", 60_000, " NOTIFY=SUCCESS,DELAY"),
        (on(false, true, true), "DSN", 60_000, " NOTIFY=FAILURE,DELAY"),
        (Some(Notify::Never), "DSN", 60_000, " NOTIFY=NEVER"),
        (None, "DSN", 0, ""),
        (on(true, false, false), "DSN", -1, " NOTIFY=SUCCESS"),
        (None, "DSN\r\nDELIVERBY", 60_000, ""),
        (None, "SIZE", 60_000, ""),
    ] {
        let mut parcel = parcel("a@source.example");
        parcel.envelope.deliver_by = Some(deadline(millis, ByMode::Notify));
        parcel.envelope.recipients[0].notify = notify;
        let (_, recipient) = said(&parcel, offer, false).unwrap();
        assert_eq!(recipient, format!("RCPT TO:<x@b.example>{expected}"), "{notify:?} {offer}");
    }
}
