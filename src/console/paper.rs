//! Lines as a plain terminal takes them: 7-bit ASCII, at most 79 columns, folded at words.
//!
//! 79 and not 80: after the 80th character many terminals stand in the next line already, and the
//! end of the line makes an empty one.

use std::time::Duration;

/// Columns of a line.
pub const COLUMNS: usize = 79;

/// The text as printable ASCII: typographers' signs become what a typewriter has, everything else
/// a question mark.
#[must_use]
pub fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            ' '..='~' => plain.push(letter),
            '\t' | '\u{a0}' => plain.push(' '),
            '\u{2018}' | '\u{2019}' => plain.push('\''),
            '\u{201c}' | '\u{201d}' => plain.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => plain.push('-'),
            '\u{2026}' => plain.push_str(".."),
            // Languages with accents are read without them.
            'á' | 'à' | 'â' => plain.push('a'),
            'é' | 'è' | 'ê' | 'ë' => plain.push('e'),
            'í' | 'î' | 'ï' => plain.push('i'),
            'ó' | 'ô' => plain.push('o'),
            'ú' | 'ù' | 'û' => plain.push('u'),
            'ñ' => plain.push('n'),
            'ç' => plain.push('c'),
            'Á' | 'À' => plain.push('A'),
            'É' | 'È' | 'Ê' => plain.push('E'),
            'Ú' => plain.push('U'),
            'ä' => plain.push_str("ae"),
            'ö' | 'œ' => plain.push_str("oe"),
            'ü' => plain.push_str("ue"),
            'ß' => plain.push_str("ss"),
            'Ä' => plain.push_str("Ae"),
            'Ö' => plain.push_str("Oe"),
            'Ü' => plain.push_str("Ue"),
            '¿' | '¡' => {}
            _ => plain.push('?'),
        }
    }
    plain
}

/// The text in lines; further lines of one paragraph begin with `indent` spaces. A word that is
/// longer than a line is cut.
#[must_use]
pub fn fold(text: &str, indent: usize) -> Vec<String> {
    fold_to(text, indent, COLUMNS)
}

/// The same for lines of another width.
#[must_use]
pub fn fold_to(text: &str, indent: usize, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let indent = " ".repeat(indent.min(columns / 2));
    if text.is_empty() {
        return vec![String::new()];
    }
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let paragraph = ascii(paragraph);
        if paragraph.len() <= columns {
            // What fits stays as it is, columns and all.
            lines.push(paragraph.trim_end().to_owned());
            continue;
        }
        let first = paragraph.len() - paragraph.trim_start().len();
        let mut line = " ".repeat(first.min(columns / 2));
        let mut empty = true;
        for word in paragraph.split_whitespace() {
            for piece in pieces(word, columns - indent.len().max(line.len().min(first))) {
                let gap = usize::from(!empty);
                if !empty && line.len() + gap + piece.len() > columns {
                    lines.push(std::mem::replace(&mut line, indent.clone()));
                    empty = true;
                }
                if !empty {
                    line.push(' ');
                }
                line.push_str(piece);
                empty = false;
            }
        }
        lines.push(if empty { String::new() } else { line });
    }
    lines
}

/// A word in pieces of at most `width` characters; the word is ASCII.
fn pieces(word: &str, width: usize) -> impl Iterator<Item = &str> {
    let width = width.max(1);
    (0..word.len()).step_by(width).filter_map(move |at| word.get(at..(at + width).min(word.len())))
}

/// The text, cut to a width; `..` says that something is missing.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    let text = ascii(text);
    if text.len() <= width {
        return text;
    }
    let kept = text.get(..width.saturating_sub(2)).unwrap_or_default();
    format!("{}..", kept.trim_end())
}

/// A duration in at most two units: `3d 4h`, `12m 5s`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let secs = duration.as_secs();
    let units = [("d", secs / 86_400), ("h", secs / 3600 % 24), ("m", secs / 60 % 60)];
    let mut parts: Vec<String> = Vec::new();
    for (unit, count) in units.into_iter().chain([("s", secs % 60)]) {
        if parts.len() == 2 || (count == 0 && parts.is_empty()) {
            continue;
        }
        parts.push(format!("{count}{unit}"));
    }
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.starts_with('0')).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// A number of octets in binary units, as disks and memory are spoken of here.
#[must_use]
pub fn octets(octets: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in UNITS {
        if octets >= size {
            let tenths = octets / (size / 10).max(1);
            let (whole, tenth) = (tenths / 10, tenths % 10);
            let short = whole >= 10 || tenth == 0;
            return if short {
                format!("{whole} {unit}")
            } else {
                format!("{whole}.{tenth} {unit}")
            };
        }
    }
    format!("{octets} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_is_left() {
        assert_eq!(ascii("a\u{1b}[2Jb\u{2013}c\u{2026}\u{2603}\u{0}"), "a?[2Jb-c..??");
        assert_eq!(ascii("Prüfung, año, où"), "Pruefung, ano, ou");
    }

    #[test]
    fn lines_are_folded_at_words_and_long_words_are_cut() {
        let text = format!("{} end", "word ".repeat(40));
        let lines = fold(&text, 2);
        assert!(lines.len() > 2);
        assert!(lines.iter().all(|line| line.len() <= COLUMNS), "{lines:?}");
        assert!(lines[1].starts_with("  word"), "{lines:?}");
        let long = fold(&"x".repeat(200), 4);
        assert!(long.iter().all(|line| line.len() <= COLUMNS), "{long:?}");
        assert_eq!(long.concat().replace(' ', ""), "x".repeat(200));
        assert_eq!(fold("a\n\n  b", 0), ["a", "", "  b"]);
    }

    #[test]
    fn measures_are_short() {
        let secs = Duration::from_secs;
        assert_eq!(span(secs(0)), "0s");
        assert_eq!(span(secs(65)), "1m 5s");
        assert_eq!(span(secs(3600)), "1h");
        assert_eq!(span(secs(90_061)), "1d 1h");
        assert_eq!(octets(999), "999 B");
        assert_eq!(octets(1536), "1.5 KiB");
        assert_eq!(octets(2 << 30), "2 GiB");
        assert_eq!(octets(230 << 20), "230 MiB");
        assert_eq!(cut("abcdefghij", 6), "abcd..");
    }
}
