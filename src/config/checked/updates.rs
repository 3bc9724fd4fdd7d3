//! Where updates come from, and when they are put in force.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The folder of a server that offers updates: `https://HOST[:PORT]/PATH/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct UpdateUrl {
    /// The host: a name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, from `/`.
    pub path: String,
}

impl UpdateUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// The text is none, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").ok_or("does not begin with https://")?;
        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || "/._~-+%".contains(c);
        if !path.chars().all(legal) || path.contains("/../") || path.ends_with("/..") {
            return Err("has a path with characters that are not plain".to_owned());
        }
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => {
                let _v6: std::net::Ipv6Addr =
                    host.parse().map_err(|_| "has no IPv6 address in its brackets".to_owned())?;
                (host, rest.strip_prefix(':').or(rest.is_empty().then_some("443")))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, Some("443")),
            },
        };
        let port = port.and_then(|port| port.parse().ok()).filter(|port| *port > 0);
        let port = port.ok_or("has no port behind its colon")?;
        let name = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        if host.is_empty() || host.len() > 253 || !host.chars().all(name) {
            return Err("has no plain name of a host".to_owned());
        }
        Ok(Self { host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }

    /// The URL of a file in this folder.
    #[must_use]
    pub fn join(&self, file: &str) -> Self {
        let slash = if self.path.ends_with('/') { "" } else { "/" };
        Self { path: format!("{}{slash}{file}", self.path), ..self.clone() }
    }
}

impl fmt::Display for UpdateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, path } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        match port {
            443 => write!(f, "https://{host}{path}"),
            port => write!(f, "https://{host}:{port}{path}"),
        }
    }
}

impl From<UpdateUrl> for String {
    fn from(url: UpdateUrl) -> Self {
        url.to_string()
    }
}

/// A time of day, UTC, in which the machine may restart for an update; it may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Window {
    /// Minutes after midnight at which it opens.
    pub opens: u16,
    /// Minutes after midnight at which it closes.
    pub closes: u16,
}

/// Minutes of a day.
const DAY: u16 = 24 * 60;

impl Window {
    /// Reads `02:00-04:30`.
    ///
    /// # Errors
    /// The text is none, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "is no window".to_owned();
        let (opens, closes) = text.split_once('-').ok_or_else(wrong)?;
        let minutes = |text: &str| {
            let (hours, minutes) = text.trim().split_once(':')?;
            let two = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 2);
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let window = Self {
            opens: minutes(opens).ok_or_else(wrong)?,
            closes: minutes(closes).ok_or_else(wrong)?,
        };
        if window.opens == window.closes { Err("is open for no time".into()) } else { Ok(window) }
    }

    /// Whether it is open at a second since 1970, UTC.
    #[must_use]
    pub fn is_open(self, unix_secs: u64) -> bool {
        let minute = u16::try_from(unix_secs / 60 % u64::from(DAY)).unwrap_or(0);
        if self.opens < self.closes {
            (self.opens..self.closes).contains(&minute)
        } else {
            minute >= self.opens || minute < self.closes
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let two = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{}-{}", two(self.opens), two(self.closes))
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

/// What the document says about updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpdateConfig {
    /// Where they come from; none: only from files and sticks.
    pub url: Option<UpdateUrl>,
    /// The folder below it.
    pub channel: String,
    /// When the machine may restart for one; none: at any time, when it is told to.
    pub window: Option<Window>,
    /// PEM of authorities beside the Web's that may vouch for the server.
    pub roots: Option<PathBuf>,
}

impl Default for UpdateConfig {
    fn default() -> Self {
        Self { url: None, channel: "stable".to_owned(), window: None, roots: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_they_are_written() {
        for good in [
            "https://updates.example.com/postern/",
            "https://updates.example.com:8443/a/b",
            "https://[2001:db8::1]:8443/",
            "https://192.0.2.1/x",
        ] {
            assert_eq!(UpdateUrl::parse(good).unwrap().to_string(), good);
        }
        let bare = UpdateUrl::parse("https://Example.com").unwrap();
        assert_eq!(bare.join("stable/manifest.json").path, "/stable/manifest.json");
        for wrong in [
            "http://example.com/",
            "https://",
            "https://a b/",
            "https://user@example.com/",
            "https://example.com:0/",
            "https://example.com:x/",
            "https://example.com/a?b",
            "https://example.com/../x",
            "https://[::g]/",
        ] {
            assert!(UpdateUrl::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        let at = |hours: u64, minutes: u64| (hours * 60 + minutes) * 60 + 86_400 * 20_000;
        let night = Window::parse("02:00-04:30").unwrap();
        assert!(night.is_open(at(2, 0)) && night.is_open(at(4, 29)));
        assert!(!night.is_open(at(1, 59)) && !night.is_open(at(4, 30)));
        let late = Window::parse("23:00-01:00").unwrap();
        assert!(late.is_open(at(23, 30)) && late.is_open(at(0, 30)) && !late.is_open(at(12, 0)));
        assert_eq!(late.to_string(), "23:00-01:00");
        for wrong in ["", "2-4", "02:00", "24:00-01:00", "02:00-02:00", "2:00-04:00"] {
            assert!(Window::parse(wrong).is_err(), "{wrong}");
        }
    }
}
