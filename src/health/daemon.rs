//! What the daemon says of itself, over its control socket.

use std::path::Path;

use crate::control::answer::{Answer, Status};
use crate::control::call::Line;
use crate::control::request::Request;

/// The daemon at one moment.
#[derive(Debug)]
pub(super) enum Daemon {
    /// It does not answer, and why.
    Silent(String),
    /// It does.
    Speaks {
        /// How it is.
        status: Box<Status>,
        /// The settings in force.
        settings: Vec<(String, String)>,
        /// Records and messages that it has set aside since it was started.
        set_aside: u64,
    },
}

impl Daemon {
    /// Asks it.
    pub(super) fn ask(socket: &Path) -> Self {
        match look(socket) {
            Ok(daemon) => daemon,
            Err(why) => Self::Silent(why),
        }
    }
}

fn look(socket: &Path) -> Result<Daemon, String> {
    let mut line = Line::open(socket).map_err(|error| error.to_string())?;
    let Answer::Status(status) = ask(&mut line, &Request::Status {})? else { return Err(odd()) };
    let Answer::Settings(rows) = ask(&mut line, &Request::ConfigShow {})? else {
        return Err(odd());
    };
    let Answer::Metrics(text) = ask(&mut line, &Request::Metrics {})? else { return Err(odd()) };
    let settings = rows.into_iter().map(|row| (row.key, row.value)).collect();
    Ok(Daemon::Speaks { status, settings, set_aside: set_aside(&text) })
}

/// One question, whose answer may be trouble.
pub(super) fn ask(line: &mut Line, request: &Request) -> Result<Answer, String> {
    match line.ask(request) {
        Ok(Answer::Trouble(trouble)) => Err(trouble.to_string()),
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.to_string()),
    }
}

/// What an answer of another kind is called.
pub(super) fn odd() -> String {
    "the daemon answers something else than was asked".to_owned()
}

fn set_aside(metrics: &str) -> u64 {
    let value = |line: &str| line.strip_prefix("postern_quarantined_total ")?.trim().parse().ok();
    metrics.lines().find_map(value).unwrap_or_default()
}

/// A daemon that is well, for tests.
#[cfg(test)]
pub(super) fn sample() -> Status {
    let status = serde_json::json!({
        "state": "running", "reasons": [], "version": "1", "hostname": "gw.example.org",
        "lab": true, "started": 1, "now": 2, "config": "", "listeners": [],
        "egresses": [{ "name": "main", "device": "lo", "addresses": [], "state": "up",
                       "reason": null }],
        "sources_active": 1, "sources": 1,
        "queue": { "messages": 0, "recipients": 0, "held": 0, "in_flight": 0, "lanes": 0 },
        "spool": { "state": "open", "path": "", "segments": 1, "free_octets": 1,
                   "sync_micros": 1 },
        "totals": { "sessions_open": 0, "accepted": 0, "refused": 0, "delivered": 0,
                    "deferred": 0, "failed": 0, "expired": 0, "faults": 0 },
        "walls": [],
    });
    serde_json::from_value(status).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_aside_is_counted() {
        let text = "# TYPE postern_quarantined_total counter\npostern_quarantined_total 3\n";
        assert_eq!(set_aside(text), 3);
        assert_eq!(set_aside(""), 0);
    }

    #[test]
    fn nobody_at_the_socket_is_an_answer() {
        let Daemon::Silent(why) = Daemon::ask(Path::new("/nowhere/control.sock")) else {
            panic!("somebody answered");
        };
        assert!(why.contains("no daemon answers"), "{why}");
    }
}
