//! Honest structures, ambiguous ones, and bombs.

use std::time::Instant;

use super::*;

fn parts(content: &str) -> Result<(usize, usize), &'static str> {
    measure(content.as_bytes()).map(|s| (s.parts, s.depth)).map_err(|refusal| refusal.rule)
}

const MIXED: &str = "Content-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n\
    --a\r\n\r\ntext\r\n\
    --a\r\nContent-Type: multipart/alternative;\r\n boundary=\"b\"\r\n\r\n\
    --b\r\n\r\none\r\n--b  \r\n\r\ntwo\r\n--b--\r\n\
    --a\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\
    Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--a--\r\n\
    epilogue\r\n";

#[test]
fn honest_structures_are_measured() {
    assert_eq!(parts("Subject: x\r\n\r\n-- \r\nbody\r\n"), Ok((1, 0)));
    assert_eq!(parts("Subject: x\r\n"), Ok((1, 0)));
    assert_eq!(parts(""), Ok((1, 0)));
    assert_eq!(parts(MIXED), Ok((8, 3)));
    let unclosed = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\ntext";
    assert_eq!(parts(unclosed), Ok((2, 1)));
    let prefix =
        "Content-Type: multipart/mixed; boundary=a\r\n\r\n--ab\r\n--a\r\n\r\n--a--\r\n--a\r\n";
    assert_eq!(parts(prefix), Ok((2, 1)));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let same = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\
        Content-Type: multipart/mixed; boundary=a\r\n\r\n--a--\r\n";
    let encoded = "Content-Type: multipart/mixed; boundary=a\r\n\
        Content-Transfer-Encoding: BASE64\r\n\r\n--a\r\n";
    let twice = "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\
        Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--a--\r\n";
    let none = "Content-Type: multipart/mixed\r\n\r\n--a\r\n";
    for bad in [same, encoded, twice, none] {
        assert_eq!(parts(bad), Err("mime-ambiguous"), "{bad}");
    }
}

/// A nest of `depth` multiparts.
fn nest(depth: usize) -> String {
    let head = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    (0..depth).map(head).collect()
}

#[test]
fn bombs_are_refused_in_linear_time() {
    for depth in [1, 19, 20, 21, 1000, 100_000] {
        let started = Instant::now();
        let result = parts(&nest(depth));
        let expected = if depth <= MIME_DEPTH_MAX { None } else { Some("mime-too-deep") };
        assert_eq!(result.err(), expected, "{depth}");
        assert!(started.elapsed().as_secs() < 5, "{depth}: {:?}", started.elapsed());
    }
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    for (count, line) in [(998, "--b\r\n\r\n"), (1_000_000, "--b\r\n\r\n"), (1_000_000, "--b\r\n")]
    {
        let expected = if count < MIME_PARTS_MAX { None } else { Some("mime-too-many-parts") };
        assert_eq!(parts(&format!("{head}{}", line.repeat(count))).err(), expected, "{count}");
    }
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    assert_eq!(parts(&messages), Err("mime-too-deep"));
    let header = format!("X: {}\r\n\r\n", "y".repeat(10_000_000));
    assert_eq!(parts(&header), Err("mime-header-too-large"));
    let fields = "X: y\r\n".repeat(100_000);
    assert_eq!(parts(&fields), Err("mime-header-too-large"));
    let comment = format!("Content-Type: text/plain {}\r\n\r\n", "(".repeat(200_000));
    assert_eq!(parts(&comment), Err("mime-ambiguous"));
}

#[test]
fn near_misses_of_a_boundary_cost_no_more_than_reading_them() {
    let boundary = "x".repeat(69);
    let head = format!("Content-Type: multipart/mixed; boundary={boundary}y\r\n\r\n");
    let body = format!("--{boundary}\r\n").repeat(100_000);
    let started = Instant::now();
    assert_eq!(parts(&format!("{head}{body}")), Ok((1, 1)));
    let dashes = "--\r\n".repeat(2_000_000);
    assert_eq!(parts(&format!("{head}{dashes}")), Ok((1, 1)));
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
