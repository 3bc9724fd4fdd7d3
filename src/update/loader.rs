//! The file of the boot loader, systemd-boot: which version it says it is, and whether one may take
//! the place of another.

use std::cmp::Ordering;

/// A mark in the file, for programs that update it (bootctl(1)): `MARK VERSION END`.
const MARK: &[u8] = b"#### LoaderInfo: systemd-boot ";
const END: &[u8] = b" ####";

/// Characters of a version; more is no version.
const VERSION_OCTETS_MAX: usize = 100;

/// The version that a file says it is; none: it is no systemd-boot.
#[must_use]
pub fn version(file: &[u8]) -> Option<&str> {
    let begin = file.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let rest = file[begin..].get(..VERSION_OCTETS_MAX).unwrap_or(&file[begin..]);
    let end = rest.windows(END.len()).position(|window| window == END)?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// Whether `ours` takes the place of `present`: it is newer, and not without a signature where
/// there was one. What is no systemd-boot was put there by somebody and stays.
#[must_use]
pub fn replaces(ours: &[u8], present: &[u8]) -> bool {
    let newer = match (version(ours), version(present)) {
        (Some(ours), Some(present)) => compare(ours, present).is_gt(),
        _ => false,
    };
    newer && (is_signed(ours) || !is_signed(present))
}

/// Whether a program for UEFI carries signatures: its table of certificates is not empty (Microsoft
/// PE format, "Optional header data directories": the fifth, after 112 octets for 64-bit programs).
#[must_use]
pub fn is_signed(file: &[u8]) -> bool {
    let number = |at: usize| {
        let octets = file.get(at..at.checked_add(4)?)?;
        octets.try_into().ok().map(u32::from_le_bytes)
    };
    let begin = number(0x3c).and_then(|at| usize::try_from(at).ok());
    // The signature `PE`, the file header, directories of eight octets: address and size.
    let size = begin.and_then(|begin| number(begin.checked_add(4 + 20 + 112 + 4 * 8 + 4)?));
    size.is_some_and(|size| size > 0)
}

/// Orders versions of Debian's and upstream's kind: numbers by their value, a tilde before
/// everything, even before the end (deb-version(7)).
fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        while weight(left) != 0 || weight(right) != 0 {
            let order = weight(left).cmp(&weight(right));
            if order.is_ne() {
                return order;
            }
            (left, right) = (&left[1..], &right[1..]);
        }
        let numbers = (number(&mut left), number(&mut right));
        let order = (numbers.0.len(), numbers.0).cmp(&(numbers.1.len(), numbers.1));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// What the first octet weighs; 0: the end, or a number begins.
fn weight(text: &[u8]) -> i32 {
    match text.first() {
        None | Some(b'0'..=b'9') => 0,
        Some(b'~') => -1,
        Some(octet) if octet.is_ascii_alphabetic() => i32::from(*octet),
        Some(octet) => i32::from(*octet) + 256,
    }
}

/// Takes the number at the beginning, without its leading zeros.
fn number<'t>(text: &mut &'t [u8]) -> &'t [u8] {
    let end = text.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(end);
    *text = rest;
    let zeros = digits.iter().take_while(|octet| **octet == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A program for UEFI, as far as is looked at.
    pub(crate) fn loader(version: &str, signed: bool) -> Vec<u8> {
        let mut file = vec![0; 0x100];
        file[0x3c] = 0x40;
        file[0x40 + 4 + 20 + 112 + 4 * 8 + 4] = u8::from(signed);
        file.extend(format!("#### LoaderInfo: systemd-boot {version} ####").bytes());
        file
    }

    #[test]
    fn a_file_says_which_version_it_is() {
        assert_eq!(version(&loader("257.13-1~deb13u1", false)), Some("257.13-1~deb13u1"));
        assert_eq!(version(b"shim"), None);
        assert_eq!(version(b"#### LoaderInfo: systemd-boot 257"), None);
        assert!(is_signed(&loader("257", true)) && !is_signed(&loader("257", false)));
        assert!(!is_signed(b"") && !is_signed(&[0xff; 0x50]));
    }

    #[test]
    fn only_a_newer_one_takes_the_place() {
        for (older, newer) in [
            ("257.9-1~deb13u1", "257.13-1~deb13u1"),
            ("257.13-1~deb13u1", "257.13-1"),
            ("257.13-1~deb13u1", "257.13-1~deb13u2"),
            ("257", "257.1"),
            ("258~rc2", "258"),
            ("99", "258"),
        ] {
            let (old, new) = (loader(older, true), loader(newer, true));
            assert!(replaces(&new, &old), "{newer} after {older}");
            assert!(!replaces(&old, &new) && !replaces(&new, &new), "{older} {newer}");
        }
        let (signed, plain) = (loader("257", true), loader("258", false));
        assert!(!replaces(&plain, &signed), "firmware that checks would start nothing");
        assert!(replaces(&plain, &loader("257", false)));
        assert!(!replaces(&plain, b"somebody else's"));
    }
}
