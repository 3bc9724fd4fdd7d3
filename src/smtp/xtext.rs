//! Xtext: the hexadecimal escapes of DSN and AUTH parameters (RFC 3461 section 4).

/// Whether `text` is xtext: printable ASCII without `+` and `=`, and `+XX` with upper-case digits.
#[must_use]
pub fn is_xtext(text: &str) -> bool {
    decode(text).is_some()
}

/// The octets that `text` stands for; `None` if it is not xtext.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => {
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                octets.push(high << 4 | low);
            }
            b'=' => return None,
            b'!'..=b'~' => octets.push(octet),
            _ => return None,
        }
    }
    Some(octets)
}

/// `octets` as xtext.
#[must_use]
pub fn encode(octets: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            b'+' | b'=' => {}
            b'!'..=b'~' => {
                text.push(char::from(octet));
                continue;
            }
            _ => {}
        }
        text.push('+');
        text.push(char::from(DIGITS[usize::from(octet >> 4)]));
        text.push(char::from(DIGITS[usize::from(octet & 15)]));
    }
    text
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), Some(all));
        assert_eq!(encode(b"a+b=c@d"), "a+2Bb+3Dc@d");
    }

    #[test]
    fn what_is_not_xtext_is_refused() {
        for bad in ["a=b", "+", "+2", "+2b", "a b", "é", "+G0"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
