//! Small forms of a report: xtext, folded fields, wrapped text, ASCII.

/// Decodes xtext (RFC 3461 section 4). `None` if it is no xtext or hides a control character:
/// then the written form is harmless and is used as it is.
pub(super) fn unxtext(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        if octet != b'+' {
            decoded.push(octet);
            continue;
        }
        let mut hex = || octets.next().and_then(|b| char::from(b).to_digit(16));
        let value = hex()? * 16 + hex()?;
        decoded.push(u8::try_from(value).ok()?);
    }
    let decoded = String::from_utf8(decoded).ok()?;
    (!decoded.chars().any(char::is_control)).then_some(decoded)
}

/// `name: value`, folded at white space where it would exceed 76 octets (RFC 5322 2.2.3).
pub(super) fn field(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push(':');
    let mut column = name.len() + 1;
    for word in value.split(' ').filter(|word| !word.is_empty()) {
        if column > name.len() + 1 && column + 1 + word.len() > 76 {
            out.push_str("\r\n ");
            column = 1;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push_str("\r\n");
}

/// Text in lines of at most 72 octets where words allow it, each behind `margin`.
pub(super) fn wrapped(out: &mut String, margin: &str, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() > 72 {
            out.push_str("\r\n");
            column = 0;
        }
        if column == 0 {
            out.push_str(margin);
            column = margin.len();
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push_str("\r\n");
}

/// The text with `?` for every character beyond ASCII, unless they are allowed.
pub(super) fn plain(text: &str, utf8: bool) -> String {
    if utf8 || text.is_ascii() {
        return text.to_owned();
    }
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_decoded_unless_it_hides_something() {
        assert_eq!(unxtext("a+2Bb@c.d").as_deref(), Some("a+b@c.d"));
        for bad in ["a+", "a+2", "a+GG", "a+0D+0Ab", "+00", "+FF"] {
            assert_eq!(unxtext(bad), None, "{bad}");
        }
    }

    #[test]
    fn fields_are_folded_and_lose_nothing() {
        let mut out = String::new();
        let value = "smtp; 550 5.1.1 ".to_owned() + &"word ".repeat(60);
        field(&mut out, "Diagnostic-Code", &value);
        assert!(out.lines().all(|line| line.len() <= 76), "{out}");
        let unfolded = out.replace("\r\n ", " ");
        assert_eq!(unfolded.trim_end(), format!("Diagnostic-Code: {}", value.trim_end()));
    }

    #[test]
    fn text_is_wrapped() {
        let mut out = String::new();
        wrapped(&mut out, "    ", &"some words ".repeat(30));
        assert!(
            out.lines()
                .all(|line| line.len() <= 76 && line.starts_with("    s")
                    || line.starts_with("    w"))
        );
    }
}
