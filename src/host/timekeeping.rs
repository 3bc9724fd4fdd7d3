//! Who keeps the clock, and how well: chrony's word in plain words, else the kernel's.

use std::fmt::Write as _;

use super::clock;
use super::machine::{System, time_of};

/// The answer of `chronyc -c` to a question, or why there is none.
type Said = Result<String, String>;

/// How the clock is kept, for people.
#[must_use]
pub fn state(system: &System) -> String {
    let ask = |what: &str| time_of(system, &["-n", "-c", what]).map_err(|f| f.to_string());
    match told(&ask("tracking"), || ask("sources")) {
        Ok(text) => text,
        Err(why) => format!("chrony does not answer: {why}\n{}", kernel()),
    }
}

/// What chrony says in words.
fn told(tracking: &Said, sources: impl FnOnce() -> Said) -> Said {
    let text = tracking.as_ref().map_err(Clone::clone)?;
    let fields: Vec<&str> = text.trim().split(',').collect();
    let [_, reference, stratum, _, offset, _, rms, drift, .., leap] = fields.as_slice() else {
        return Err(format!("its answer has {} fields", fields.len()));
    };
    let mut text = String::new();
    if *leap == "Not synchronised" || reference.is_empty() {
        text.push_str("the clock is kept by nobody: no time server has answered yet\n");
    } else {
        let _ = writeln!(text, "the clock is kept by {reference} (stratum {stratum})");
        let _ = writeln!(text, "it is off by {}, lately by {}", seconds(offset), seconds(rms));
        let _ = writeln!(text, "left alone it would drift by {drift} millionths");
    }
    if !["Normal", "Not synchronised"].contains(leap) {
        let _ = writeln!(text, "a leap second comes: {leap}");
    }
    match sources() {
        Ok(rows) if rows.trim().is_empty() => {
            text.push_str(
                "no time server has an address: [time] names none, or the name server of \
                 the managing interface does not know them\n",
            );
        }
        Ok(rows) => rows.lines().filter_map(source).for_each(|line| text.push_str(&line)),
        Err(why) => {
            let _ = writeln!(text, "its servers cannot be listed: {why}");
        }
    }
    Ok(text)
}

/// A line of `chronyc -c sources`.
fn source(row: &str) -> Option<String> {
    let fields: Vec<&str> = row.split(',').collect();
    let [_, state, name, stratum, _, reach, last, offset, ..] = fields.as_slice() else {
        return None;
    };
    let how = match *state {
        "*" => "is followed",
        "+" => "agrees",
        "-" => "is left out",
        "x" => "tells another time than the others",
        "~" => "varies too much",
        _ => "does not answer",
    };
    // An octal register of the last eight questions.
    let heard = u8::from_str_radix(reach, 8).unwrap_or_default().count_ones();
    let mut line = format!("server {name} {how}: {heard} of the last 8 questions answered");
    if heard > 0 {
        let _ = write!(line, ", {last} s ago, stratum {stratum}, off by {}", seconds(offset));
    }
    line.push('\n');
    Some(line)
}

/// Seconds in a unit that people read.
fn seconds(text: &str) -> String {
    let value: f64 = text.parse().unwrap_or_default();
    let size = value.abs();
    if size < 0.001 {
        format!("{:.0} us", size * 1e6)
    } else if size < 1.0 {
        format!("{:.1} ms", size * 1e3)
    } else {
        format!("{size:.1} s")
    }
}

fn kernel() -> String {
    match clock::bound() {
        Err(cause) => format!("the kernel does not say: {cause}\n"),
        Ok(None) => "the kernel says that nobody keeps its clock\n".to_owned(),
        Ok(Some(off)) => {
            let off = off.as_millis();
            format!("the kernel says that its clock is kept, and off by {off} ms at most\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chrony_is_put_into_words() {
        let kept = "C0000201,192.0.2.1,2,1790000000.1,-0.000012,0.0,0.0034,-12.5,0.0,0.1,0.01,\
                    0.01,64.0,Normal\n";
        let rows = "^,*,192.0.2.1,1,6,377,21,0.0021,0.0021,0.01\n^,?,192.0.2.2,0,6,0,0,0,0,0\n";
        let text = told(&Ok(kept.to_owned()), || Ok(rows.to_owned())).unwrap();
        assert_eq!(
            text,
            "the clock is kept by 192.0.2.1 (stratum 2)\n\
             it is off by 12 us, lately by 3.4 ms\n\
             left alone it would drift by -12.5 millionths\n\
             server 192.0.2.1 is followed: 8 of the last 8 questions answered, 21 s ago, \
             stratum 1, off by 2.1 ms\n\
             server 192.0.2.2 does not answer: 0 of the last 8 questions answered\n"
        );
        let lost = "00000000,,0,0.000000000,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised";
        let text = told(&Ok(lost.to_owned()), || Ok(String::new())).unwrap();
        assert!(text.starts_with("the clock is kept by nobody"), "{text}");
        assert!(text.contains("[time]"), "{text}");
        assert!(told(&Ok("506 Cannot talk to daemon".to_owned()), || Ok(String::new())).is_err());
    }

    #[test]
    fn the_kernel_has_a_word_for_it() {
        assert!(kernel().starts_with("the kernel "), "{}", kernel());
    }
}
