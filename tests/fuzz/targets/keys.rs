//! The reader of what comes from a terminal.

use postern::base::time::Instant;
use postern::console::screen::keys::{Decoder, Heard, Key};

/// Law: cut anywhere, the octets mean the same as long as time stands still; a letter is printable;
/// nothing is kept for ever.
pub(crate) fn keys(octets: &[u8]) {
    let now = Instant(0);
    let whole = Decoder::new(None).feed(octets, now);
    let mut pieces = Decoder::new(Some(9600));
    let mut heard = Vec::new();
    for octet in octets {
        heard.extend(pieces.feed(&[*octet], now));
    }
    assert_eq!(whole, heard);
    for found in &heard {
        if let Heard::Key(Key::Letter(letter)) = found {
            assert!((' '..='~').contains(letter), "{letter:?}");
        }
    }
    let late = Instant(1_000_000);
    let _ = pieces.handle_timeout(late);
    assert_eq!(pieces.poll_timeout(), None);
    // Whatever came before: Enter is Enter.
    assert_eq!(pieces.feed(b"x\r", late), [Heard::Key(Key::Letter('x')), Heard::Key(Key::Enter)]);
}
