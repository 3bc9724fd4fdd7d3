//! What a host offers in its reply to EHLO (RFC 5321 4.1.1.1).

/// The extensions that concern us. Each channel has its own: an offer made in clear text is
/// forgotten when TLS begins (RFC 3207 section 4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "an extension is offered or it is not")]
pub struct Offer {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 1870; `Some(0)` is "no limit that I could name".
    pub size: Option<u64>,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 8689.
    pub require_tls: bool,
    /// RFC 2852; the least by-time in seconds that it takes with mode R, 0 if it names none.
    pub deliver_by: Option<u32>,
    /// RFC 6710.
    pub priority: bool,
}

impl Offer {
    /// Reads the text of a 250 reply to EHLO; its first line is the peer's name.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut offer = Self::default();
        for line in text.split("\r\n").skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => offer.pipelining = true,
                // A value that is no number is no limit: the host will tell us itself.
                "SIZE" => offer.size = Some(words.next().and_then(|w| w.parse().ok()).unwrap_or(0)),
                "8BITMIME" => offer.eight_bit_mime = true,
                "SMTPUTF8" => offer.smtputf8 = true,
                "DSN" => offer.dsn = true,
                "STARTTLS" => offer.starttls = true,
                "REQUIRETLS" => offer.require_tls = true,
                "DELIVERBY" => offer.deliver_by = Some(min_by_time(words.next())),
                "MT-PRIORITY" => offer.priority = true,
                _ => {}
            }
        }
        offer
    }
}

/// `deliverby-param = min-by-time *( ',' extension-token )`, where min-by-time may be empty
/// (RFC 2852 section 2). What is no number is no promise that could be broken.
fn min_by_time(parameter: Option<&str>) -> u32 {
    let first = parameter.and_then(|word| word.split(',').next()).unwrap_or_default();
    let digits = first.len() <= 9 && first.bytes().all(|b| b.is_ascii_digit());
    if digits { first.parse().unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case_and_the_name_is_not_one() {
        let offer = Offer::read("PIPELINING\r\nsize 1000\r\n8BitMime\r\nX-ODD a b\r\n\r\nDSN");
        assert_eq!(offer.size, Some(1000));
        assert!(offer.eight_bit_mime && offer.dsn);
        assert!(!offer.pipelining && !offer.starttls && !offer.smtputf8 && !offer.require_tls);
        assert_eq!(Offer::read("x\r\nSIZE 99999999999999999999").size, Some(0));
        assert_eq!(Offer::read("x\r\nSIZE").size, Some(0));
        assert_eq!(Offer::read("x").size, None);
        assert!(Offer::read("x\r\nMt-Priority MIXER").priority);
    }

    #[test]
    fn the_least_by_time_of_a_host_is_read() {
        for (line, expected) in [
            ("DELIVERBY", Some(0)),
            ("deliverby 240", Some(240)),
            ("DELIVERBY 30,x-odd,y", Some(30)),
            ("DELIVERBY ,x-odd", Some(0)),
            ("DELIVERBY soon", Some(0)),
            ("DELIVERBY +5", Some(0)),
            ("DELIVERBY 9999999999", Some(0)),
            ("DSN", None),
        ] {
            assert_eq!(Offer::read(&format!("x\r\n{line}")).deliver_by, expected, "{line}");
        }
    }
}
