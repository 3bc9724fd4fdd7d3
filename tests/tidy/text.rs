//! Reading Rust as text: just enough of its grammar to find names, and no more.

/// The text with comments, strings and character literals blanked; lines stay where they were.
pub(crate) fn code_of(text: &str) -> String {
    let octets = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < octets.len() {
        // Only these octets begin a comment or a literal; the rest is copied in runs.
        let telling = |octet: &u8| matches!(octet, b'/' | b'"' | b'\'' | b'b' | b'c' | b'r');
        let run = octets[at..].iter().position(telling).unwrap_or(octets.len() - at);
        code.push_str(&text[at..at + run]);
        at += run;
        if at == octets.len() {
            break;
        }
        let rest = &text[at..];
        let skipped = comment(rest).or_else(|| string(rest, &code)).or_else(|| character(rest));
        if let Some(length) = skipped {
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            code.push(' ');
            at += length;
        } else {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            code.push_str(&rest[..next]);
            at += next;
        }
    }
    code
}

/// Octets of the comment that `rest` begins with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// Octets of the string literal that `rest` begins with, raw and byte strings included.
fn string(rest: &str, before: &str) -> Option<usize> {
    if before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or_default();
        after.starts_with('"')
            || (prefix.ends_with('r')
                && after.trim_start_matches('#').starts_with('"')
                && after.starts_with('#'))
    })?;
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = hashes + 1;
        let length = body[inside..].find(&end).map_or(body.len(), |at| inside + at + end.len());
        return Some(prefix.len() + length);
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Octets of the character literal that `rest` begins with; lifetimes are none.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices();
    if chars.next()?.1 != '\'' {
        return None;
    }
    let (_, first) = chars.next()?;
    if first == '\\' {
        let escape = rest.get(3..)?.find('\'')?;
        return Some(3 + escape + 1);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 1)
}

/// Code with the modules marked `#[cfg(test)]` cut out, by their braces.
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let after = &rest[at + MARK.len()..];
        let end = match (after.find('{'), after.find(';')) {
            (Some(open), semicolon) if semicolon.is_none_or(|semicolon| open < semicolon) => {
                open + block(&after[open..])
            }
            (_, Some(semicolon)) => semicolon + 1,
            _ => after.len(),
        };
        rest = &after[end..];
    }
    kept.push_str(rest);
    kept
}

/// Octets up to the brace that closes the one `code` begins with.
fn block(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every identifier and keyword, in order.
pub(crate) fn idents(code: &str) -> Vec<String> {
    code.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Names that are ours: those on a path (`futures_util::`, `::common`) were given by others, and
/// our own are seen where they are declared.
pub(crate) fn own_names(code: &str) -> Vec<String> {
    let squeezed = squeeze(code);
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(start) = squeezed[at..].find(is_word).map(|found| found + at) {
        let length = squeezed[start..].find(|c| !is_word(c)).unwrap_or(squeezed.len() - start);
        at = start + length;
        if !squeezed[..start].ends_with("::") && !squeezed[at..].starts_with("::") {
            names.push(squeezed[start..at].to_owned());
        }
    }
    names
}

/// The words that a name is made of: `QueueManager`, `queue_manager` and `queue-manager` alike.
pub(crate) fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before_lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before_lower) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(c.to_lowercase());
        }
        before_lower = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Top-level modules that the code of the file at `place` (below `src/`) names.
pub(crate) fn imports(place: &str, code: &str) -> Vec<String> {
    let squeezed: String = squeeze(code);
    let mut found = Vec::new();
    let mut roots = vec!["crate::".to_owned()];
    let depth = place.split('/').count() - usize::from(place.ends_with("/mod.rs"));
    roots.push("super::".repeat(depth));
    if place == "main.rs" {
        roots.push("postern::".to_owned());
    }
    for root in &roots {
        let mut from = 0;
        while let Some(at) = squeezed[from..].find(root.as_str()).map(|at| at + from) {
            from = at + root.len();
            let before = squeezed[..at].chars().next_back();
            if before.is_some_and(|c| is_word(c) || c == ':') {
                continue;
            }
            found.extend(heads(&squeezed[from..]));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Code without the blanks around `::` and braces.
pub(crate) fn squeeze(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut blank = false;
    for c in code.chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        if blank && is_word(c) && out.chars().next_back().is_some_and(is_word) {
            out.push(' ');
        }
        blank = false;
        out.push(c);
    }
    out
}

/// First names of a path, or of each path in the braces that it opens with.
fn heads(rest: &str) -> Vec<String> {
    if !rest.starts_with('{') {
        let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
        return vec![name];
    }
    let inside = &rest[1..block(rest) - 1];
    let (mut depth, mut names, mut start) = (0_usize, Vec::new(), 0);
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                names.extend(heads(&inside[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.extend(heads(&inside[start..]));
    names.retain(|name| !name.is_empty());
    names
}

/// True if the squeezed code imports `name` or writes a path that begins with it.
pub(crate) fn mentions_crate(squeezed: &str, name: &str) -> bool {
    let mut from = 0;
    while let Some(at) = squeezed[from..].find(name).map(|at| at + from) {
        from = at + name.len();
        let before = &squeezed[..at];
        let after = &squeezed[from..];
        let inner = before.ends_with("::") && before.trim_end_matches(':').ends_with(is_word);
        let starts = !before.ends_with(is_word) && !before.ends_with('.') && !inner;
        let used = before.ends_with("use ") || before.ends_with("externcrate ");
        let whole = !after.starts_with(is_word);
        if starts && whole && (after.starts_with("::") || (used && !after.starts_with('('))) {
            return true;
        }
    }
    false
}
