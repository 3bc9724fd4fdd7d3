//! How long a passphrase would stand against somebody who tries: said, not enforced beyond the
//! plainly bad.

use std::fmt::Display;

use super::words::Said;

/// Characters that a passphrase has at least.
pub const CHARACTERS_MIN: usize = 12;
/// Octets that it has at most.
pub const CHARACTERS_MAX: usize = 256;

/// Bits below which a passphrase is refused although it is long: `aaaaaaaaaaaa`, `123412341234`.
const BITS_MIN: u32 = 30;

/// Words that everybody tries first.
const KNOWN: &[&str] = &[
    "password",
    "passphrase",
    "postern",
    "admin",
    "root",
    "secret",
    "letmein",
    "welcome",
    "qwerty",
    "qwertz",
    "asdf",
    "abc",
    "login",
    "master",
    "gateway",
    "changeme",
    "default",
    "company",
];

/// What is thought of a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// It stands against guesses over the console.
    Fair,
    /// It stands against a stolen disk for some time.
    Good,
    /// It stands.
    Strong,
}

impl Strength {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fair => "fair",
            Self::Good => "good",
            Self::Strong => "strong",
        }
    }
}

/// Judges a passphrase; `name` is the machine's, which is no secret.
///
/// # Errors
/// Why it cannot be taken.
pub fn judge(text: &str, name: &str) -> Result<Strength, Said> {
    if text.len() < CHARACTERS_MIN {
        let short = CHARACTERS_MIN - text.len();
        let values: [&dyn Display; 2] = [&text.len(), &short];
        return Err(Said::with("It has {} characters; {} more are needed.", &values));
    }
    if text.len() > CHARACTERS_MAX {
        return Err(Said::with("It has more than {} characters.", &[&CHARACTERS_MAX]));
    }
    if text != text.trim() {
        return Err(Said::from("It begins or ends with a blank, which nobody sees."));
    }
    match bits(text, name) {
        bits if bits < BITS_MIN => Err(Said::from("It is guessed too easily.")),
        bits if bits < 50 => Ok(Strength::Fair),
        bits if bits < 70 => Ok(Strength::Good),
        _ => Ok(Strength::Strong),
    }
}

/// A careful guess at the bits that an attacker must try. What repeats, counts up or is known
/// counts once.
fn bits(text: &str, name: &str) -> u32 {
    let mut rest = text.to_ascii_lowercase();
    let host = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let mut known = 0;
    for word in KNOWN.iter().copied().chain((host.len() > 2).then_some(host.as_str())) {
        while rest.contains(word) {
            rest = rest.replacen(word, "", 1);
            known += 1;
        }
    }
    let letters: Vec<char> = rest.chars().collect();
    // A letter is fresh unless it follows from what came before.
    let fresh = |at: usize| {
        let step = |a: char, b: char| (u32::from(b)).abs_diff(u32::from(a)) <= 1;
        let runs = at > 0 && step(letters[at - 1], letters[at]);
        let again = (1..=8).any(|back| {
            at > back
                && letters[at] == letters[at - back]
                && letters[at - 1] == letters[(at - 1).wrapping_sub(back).min(at)]
        });
        !runs && !again
    };
    let count = (0..letters.len()).filter(|&at| fresh(at)).count();
    let class = |of: fn(char) -> bool| text.chars().any(of);
    let kinds = [
        class(|c| c.is_ascii_lowercase()),
        class(|c| c.is_ascii_uppercase()),
        class(|c| c.is_ascii_digit()),
        class(|c| !c.is_ascii_alphanumeric()),
    ];
    let kinds = u32::try_from(kinds.iter().filter(|kind| **kind).count()).unwrap_or(1);
    // Tenths of bits for a letter: people's words carry some 2.5 bits a letter, more kinds more.
    let each = 20 + 10 * kinds;
    u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(each) / 10 + 5 * known.min(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plainly_bad_is_refused() {
        for bad in [
            "short",
            "aaaaaaaaaaaaaaaa",
            "abcdefghijklmnop",
            "123412341234",
            "passwordpassword",
            "postern-admin1",
            "relayrelayrelay",
            " leading blank is bad",
        ] {
            assert!(judge(bad, "relay.example.com").is_err(), "{bad}");
        }
    }

    #[test]
    fn better_ones_are_told_apart() {
        let judge = |text| judge(text, "relay.example.com").unwrap();
        assert!(judge("tulip-wagon-7") <= Strength::Good);
        assert_eq!(judge("correct horse battery staple"), Strength::Strong);
        assert_eq!(judge("k7#Vq9!mZx2@Lp4"), Strength::Strong);
    }
}
