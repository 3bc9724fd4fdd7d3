//! Octets that the program of version 1 wrote, read by this one.

use super::*;
use crate::mail::address::{Domain, Mailbox};
use crate::mail::envelope::Notify;
use crate::mail::queued::Settlement;
use crate::mail::reply::PeerReply;
use crate::spool::record::{Draft, HEADER_OCTETS, Header, Kind, NotAHead, Place, read_head};
use crate::spool::state::{decode, encode, page_of, read_page};

/// A whole message record (segment 9, salt 77): header, head, content.
const MESSAGE: &str = "\
    504c52314d0000000000000054e143480201000005000000c100000016000000fc76ebff005a07980010 \
    000009000000019876543210000000000000000000420762696c6c696e670080d8c1a28c34a0cff8a28c \
    3400010f617070406578616d706c652e6f7267030b6578616d706c652e6f7267020f616e6e406578616d \
    706c652e6e6574030b6578616d706c652e6e6574010101010001167266633832323b416e6e406578616d \
    706c652e6e65740f626f62406578616d706c652e636f6d030b6578616d706c652e636f6d000001010101 \
    01010851513331343135390101010103e0ffd3a28c34010100070202a604010501010c6e6f2073756368 \
    20757365725375626a6563743a206f6e650d0a0d0a626f64790d0a";
/// A page of the state database with one message.
const PAGE: &str = "\
    01a88baf150109f0a2049003c28080808080808080808080a18695bb98030762696c6c696e670080d8c1 \
    a28c34a0cff8a28c3400011601010b6578616d706c652e636f6d03e0ffd3a28c3401";
/// What the state database said about itself.
const META: &str = "\
    0161eda5ba09f0a204060163";

const ID: QueueId = QueueId(0x0198_7654_3210_0000_0000_0000_0000_0042);

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn label() -> Label {
    Label {
        source: SourceName::new("billing").unwrap(),
        class: MessageClass::Otp,
        accepted: WallTime(1_790_000_000_000),
        expires: WallTime(1_790_000_900_000),
        notification: false,
        priority: 0,
        notice: None,
    }
}

fn stored() -> Stored {
    let mailbox = |text: &str| Mailbox::parse(text, true).unwrap();
    let notify = Notify::On { success: true, failure: true, delay: false };
    let reply = PeerReply::new(550, "5.1.1".parse().ok(), "no such user");
    let settlement = Settlement::Failed { reply };
    Stored {
        label: label(),
        envelope: Envelope {
            recipients: vec![
                Recipient {
                    forward_path: mailbox("ann@example.net"),
                    notify: Some(notify),
                    orcpt: Some("rfc822;Ann@example.net".into()),
                },
                Recipient::plain(mailbox("bob@example.com")),
            ],
            body: BodyType::EightBitMime,
            smtputf8: true,
            require_tls: true,
            ret: Some(Ret::Hdrs),
            envid: Some("QQ314159".into()),
            ..Envelope::from(ReversePath::Mailbox(mailbox("app@example.org")))
        },
        carried: Some(Carried {
            held: true,
            open: vec![(1, 3, WallTime(1_790_000_300_000), true)],
        }),
        settles: vec![Change::Settled { id: QueueId(7), recipient: 2, settlement }],
    }
}

#[test]
fn a_message_of_version_1_is_read_with_defaults() {
    let record = octets(MESSAGE);
    let header = Header::decode(&record, 77, 9).unwrap();
    assert_eq!((header.version, header.kind, header.id, header.index), (1, Kind::Message, ID, 5));
    let end = HEADER_OCTETS + usize::try_from(header.head_octets).unwrap();
    let head = &record[HEADER_OCTETS..end];
    assert_eq!(crc32fast::hash(head), header.head_checksum);
    assert_eq!(read_head::<Stored>(&header, head), Ok(stored()));
    assert_eq!(&record[end..], b"Subject: one\r\n\r\nbody\r\n");
    // In the layout of another version the same octets are something else, or nothing.
    let renamed = Header { version: PRESENT, ..header };
    assert_ne!(read_head::<Stored>(&renamed, head), Ok(stored()));
    for version in [0, PRESENT + 1, u8::MAX] {
        let unknown = Header { version, ..header };
        assert_eq!(read_head::<Stored>(&unknown, head), Err(NotAHead), "{version}");
    }
}

#[test]
fn a_page_of_version_1_is_read_with_defaults() {
    let at = Position { segment: 9, offset: 70_000 };
    let page = read_page(&page_of(at), &octets(PAGE)).unwrap();
    let recipient = QueuedRecipient {
        index: 1,
        domain: Domain::parse("example.com").unwrap(),
        attempts: 3,
        next: WallTime(1_790_000_300_000),
        delay_noticed: true,
    };
    let queued =
        Queued { id: ID, label: label(), held: true, octets: 22, recipients: vec![recipient] };
    assert_eq!(page, [Live { at, octets: 400, queued }]);
    let meta = decode::<Meta>(b"meta", &octets(META)).unwrap();
    assert_eq!(meta, Meta { through: at, records: 6, count: 1, digest: 99 });
}

#[test]
fn what_is_copied_on_is_written_in_todays_version() {
    let mut stored = stored();
    stored.label.priority = -3;
    stored.label.notice = Some(WallTime(5));
    stored.envelope.priority = Some(-3);
    stored.envelope.tls_optional = true;
    let draft = Draft::new(Kind::Message, ID, &stored, bytes::Bytes::new()).unwrap();
    let place = Place { segment: 1, index: 0, covered: 0 };
    let header = Header::decode(&draft.header(5, place), 5, 1).unwrap();
    assert_eq!(header.version, PRESENT);
    assert_eq!(read_head::<Stored>(&header, &draft.head), Ok(stored.clone()));
    let at = Position { segment: 1, offset: 0 };
    let queued = stored.queued(ID, 22);
    let page = vec![Live { at, octets: 400, queued }];
    let value = encode(&page_of(at), &page).unwrap();
    assert_eq!(value[0], PRESENT);
    assert_eq!(read_page(&page_of(at), &value), Some(page));
}
