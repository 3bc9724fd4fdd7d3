//! Durations and sizes as people write them: `5m`, `1h30m`, `250ms`, `25MB`, `32MiB`.

use std::time::Duration;

/// Reads a duration: numbers with units `ms s m h d`, the larger first.
///
/// # Errors
/// The text is none, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no duration");
    let mut millis = 0_u64;
    let mut rest = text.trim();
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        if unit >= last_unit {
            return Err(wrong());
        }
        (last_unit, rest) = (unit, &rest[letters..]);
        millis = number.checked_mul(unit).and_then(|n| n.checked_add(millis)).ok_or_else(wrong)?;
    }
    if last_unit == u64::MAX { Err(wrong()) } else { Ok(Duration::from_millis(millis)) }
}

/// Reads a size: a number of octets, or with `kB MB GB` (powers of 1000) or `KiB MiB GiB`.
///
/// # Errors
/// The text is none, in words.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no size");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// Writes a duration so that [`duration`] reads it.
#[must_use]
pub fn write_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")]
    {
        if millis / unit > 0 {
            text.push_str(&(millis / unit).to_string());
            text.push_str(name);
            millis %= unit;
        }
    }
    text
}

/// Writes a size so that [`size`] reads it: the largest unit that divides it.
#[must_use]
pub fn write_size(octets: u64) -> String {
    for (unit, name) in [
        (1 << 30, "GiB"),
        (1_000_000_000, "GB"),
        (1 << 20, "MiB"),
        (1_000_000, "MB"),
        (1 << 10, "KiB"),
        (1000, "kB"),
    ] {
        if octets > 0 && octets.is_multiple_of(unit) {
            return format!("{}{name}", octets / unit);
        }
    }
    octets.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in
            [("5m", 300_000), ("48h", 172_800_000), ("1h30m", 5_400_000), ("250ms", 250), ("0s", 0)]
        {
            let read = duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(millis));
            assert_eq!(duration(&write_duration(read)).unwrap(), read);
        }
        for bad in ["", "5", "m", "5 m", "5x", "-5m", "5m5m", "5s1m", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, octets) in [("25MB", 25_000_000), ("25MiB", 26_214_400), ("1000", 1000)] {
            assert_eq!(size(text), Ok(octets));
            assert_eq!(size(&write_size(octets)), Ok(octets));
        }
        for bad in ["", "MB", "25 XB", "-1", "99999999999GiB", "1.5MB"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
