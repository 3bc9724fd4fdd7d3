//! A fault: something of *ours* failed (disk, name server, engine). Peers hear 4xx, never 5xx.

use std::fmt;

/// What we were doing, to what, and why it failed. For the journal; never shown to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The step, as a gerund: "appending to the ledger".
    pub doing: &'static str,
    /// The thing it was done to: a path, a name, an id.
    pub subject: String,
    /// The cause in the words of whoever reported it.
    pub cause: String,
}

impl Fault {
    /// A fault from its three parts.
    pub fn new(doing: &'static str, subject: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self { doing, subject: subject.to_string(), cause: cause.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.doing, self.subject, self.cause)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_a_sentence() {
        let fault = Fault::new("opening", "/var/spool", "permission denied");
        assert_eq!(fault.to_string(), "opening /var/spool: permission denied");
    }
}
