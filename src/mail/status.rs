//! Enhanced mail system status codes (RFC 3463).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `class.subject.detail`, for example `5.7.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EnhancedStatus {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// 0 to 999.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl EnhancedStatus {
    /// A status from its three numbers.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// The text is not an enhanced status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an enhanced status code (RFC 3463): class.subject.detail is expected")]
pub struct NotAStatus;

impl FromStr for EnhancedStatus {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        let mut parts = text.split('.');
        let mut number = |digits_max: usize| {
            let part = parts.next().ok_or(NotAStatus)?;
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if !digits || part.len() > digits_max {
                return Err(NotAStatus);
            }
            part.parse::<u16>().map_err(|_| NotAStatus)
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        match (class, parts.next()) {
            (2 | 4 | 5, None) => Ok(Self::new(u8::try_from(class).unwrap_or(5), subject, detail)),
            _ => Err(NotAStatus),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_grammar_of_rfc_3463_is_read() {
        assert_eq!("5.7.1".parse(), Ok(EnhancedStatus::new(5, 7, 1)));
        assert_eq!("2.0.0".parse(), Ok(EnhancedStatus::new(2, 0, 0)));
        for wrong in ["", "5", "5.7", "5.7.1.1", "3.0.0", "5.7.1000", "+5.7.1", "5.7.x", "5..1"] {
            assert_eq!(wrong.parse::<EnhancedStatus>(), Err(NotAStatus), "{wrong}");
        }
    }
}
