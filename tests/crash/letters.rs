//! Letters that can be written again at any time from their number and length, and the book of
//! what was acknowledged and what arrived.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use postern::base::chance::Chance;

/// Between the answer to a final dot and a kill: the outcome of such a delivery may be lost. It is
/// on its way to the ledger within 100 ms; the rest is what a busy machine takes.
pub(crate) const IN_FLIGHT: Duration = Duration::from_secs(3);

/// A letter and to whom it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) id: u64,
    pub(crate) octets: usize,
    pub(crate) recipients: Vec<String>,
}

impl Letter {
    /// A letter of a random size to up to three recipients, of whom some are put off.
    pub(crate) fn draw(id: u64, chance: &mut Chance) -> Self {
        let octets = match chance.below(1000) {
            0..2 => 5_000_000,
            2..15 => 700 * 1024,
            15..100 => 20 * 1024,
            _ => 600 + usize::try_from(chance.below(4000)).unwrap(),
        };
        let recipients = (0..=chance.below(3))
            .map(|n| {
                let kind = if chance.below(8) == 0 { "later" } else { "now" };
                format!("{kind}-{id}-{n}@d{}.far.example", chance.below(6))
            })
            .collect();
        Self { id, octets, recipients }
    }

    /// Header and body, octet for octet as submitted.
    pub(crate) fn content(&self) -> Vec<u8> {
        content(self.id, self.octets)
    }
}

/// The letter `id`: complete, of at least `octets`, every line another one.
pub(crate) fn content(id: u64, octets: usize) -> Vec<u8> {
    let mut out = format!(
        "From: <app@own.example>\r\nTo: <all@far.example>\r\nSubject: letter {id} of {octets}\r\n\
         Date: Sat, 21 Nov 2026 20:00:00 +0000\r\nMessage-ID: <{id}.{octets}@own.example>\r\n\r\n"
    )
    .into_bytes();
    let mut chance = Chance::new(id);
    let filler = "..a line that begins with dots and goes on so that large letters have few lines ";
    while out.len() < octets {
        let times = if octets > 100_000 { 10 } else { 1 };
        out.extend_from_slice(filler.repeat(times).as_bytes());
        out.extend_from_slice(format!("{:016x}\r\n", chance.draw()).as_bytes());
    }
    out
}

/// Number and length of the letter in `received`, if it is one of ours.
pub(crate) fn recognize(received: &[u8]) -> Option<(u64, usize)> {
    let at = memchr::memmem::find(received, b"\r\nSubject: letter ")? + 18;
    let line = &received[at..at + memchr::memchr(b'\r', &received[at..])?];
    let (id, octets) = std::str::from_utf8(line).ok()?.split_once(" of ")?;
    Some((id.parse().ok()?, octets.parse().ok()?))
}

/// One arrival of a letter at one recipient.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    /// Which run of the daemon brought it.
    life: usize,
    at: Instant,
    /// Checksum of all octets, those that the gateway added included.
    checksum: u32,
}

#[derive(Debug, Default)]
struct Pages {
    next: u64,
    acknowledged: BTreeMap<u64, Letter>,
    arrivals: BTreeMap<String, Vec<Arrival>>,
    /// Ends of the runs so far.
    kills: Vec<Instant>,
    complaints: Vec<String>,
    /// Refusals by their codes.
    refusals: BTreeMap<String, u64>,
    unanswered: u64,
    deferrals: u64,
    /// Reports of the gateway, if some are expected.
    reports: Option<Vec<String>>,
    open: usize,
}

/// Figures of a whole story.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) acknowledged: usize,
    pub(crate) recipients: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) duplicates: usize,
    pub(crate) oldest_duplicate: Duration,
    pub(crate) unacknowledged_arrivals: usize,
    pub(crate) turned_away: u64,
    pub(crate) unanswered: u64,
    pub(crate) deferrals: u64,
    pub(crate) complaints: Vec<String>,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} acknowledged for {} recipients, {} lost, {} duplicates (the oldest answered {} ms \
             before the kill), {} arrivals of letters whose 250 was never heard, {} turned away, \
             {} unanswered, {} deferrals",
            self.acknowledged,
            self.recipients,
            self.lost.len(),
            self.duplicates,
            self.oldest_duplicate.as_millis(),
            self.unacknowledged_arrivals,
            self.turned_away,
            self.unanswered,
            self.deferrals
        )
    }
}

/// The book.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Pages>);

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no letter has had.
    pub(crate) fn number(&self) -> u64 {
        let mut pages = self.pages();
        pages.next += 1;
        pages.next
    }

    /// The 250 for `letter` was heard.
    pub(crate) fn acknowledge(&self, letter: Letter) {
        let mut pages = self.pages();
        let missing = |r: &&String| !pages.arrivals.contains_key(*r);
        pages.open += letter.recipients.iter().filter(missing).count();
        pages.acknowledged.insert(letter.id, letter);
    }

    /// A clear refusal was heard.
    pub(crate) fn turned_away(&self, code: &str) {
        *self.pages().refusals.entry(code.to_owned()).or_default() += 1;
    }

    /// Refusals so far, by their codes.
    pub(crate) fn refusals(&self) -> BTreeMap<String, u64> {
        self.pages().refusals.clone()
    }

    /// The connection ended before the answer.
    pub(crate) fn unanswered(&self) {
        self.pages().unanswered += 1;
    }

    /// The receiver put a recipient off.
    pub(crate) fn deferred(&self) {
        self.pages().deferrals += 1;
    }

    /// Something that must not happen did.
    pub(crate) fn complain(&self, complaint: String) {
        self.pages().complaints.push(complaint);
    }

    /// The present run of the daemon.
    pub(crate) fn life(&self) -> usize {
        self.pages().kills.len()
    }

    /// The present run ends here.
    pub(crate) fn killed(&self) {
        self.pages().kills.push(Instant::now());
    }

    /// Letters acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.pages().acknowledged.len()
    }

    /// From now on reports of the gateway are no mistake.
    pub(crate) fn expect_reports(&self) {
        self.pages().reports = Some(Vec::new());
    }

    /// Reports that arrived since.
    pub(crate) fn reports(&self) -> Vec<String> {
        self.pages().reports.clone().unwrap_or_default()
    }

    /// Whether something has arrived for a recipient.
    pub(crate) fn has_arrived(&self, recipient: &str) -> bool {
        self.pages().arrivals.contains_key(recipient)
    }

    /// Recipients of acknowledged letters that have not got them yet.
    pub(crate) fn open(&self) -> usize {
        self.pages().open
    }

    /// A letter has arrived, and its final dot is about to be answered.
    pub(crate) fn arrived(&self, life: usize, recipients: &[String], received: &[u8]) {
        let report = memchr::memmem::find(received, b"multipart/report").is_some();
        let Some((id, octets)) = recognize(received).filter(|_| !report) else {
            let shown = String::from_utf8_lossy(&received[..received.len().min(8000)]).into_owned();
            let mut pages = self.pages();
            match &mut pages.reports {
                Some(reports) => reports.push(shown),
                None => pages.complaints.push(format!("not one of the letters: {shown}")),
            }
            return;
        };
        let intact = received.ends_with(&content(id, octets));
        let arrival = Arrival { life, at: Instant::now(), checksum: crc32fast::hash(received) };
        let mut pages = self.pages();
        if !intact {
            pages.complaints.push(format!("letter {id} arrived with other octets"));
        }
        for recipient in recipients {
            let first = pages.arrivals.get(recipient).is_none_or(Vec::is_empty);
            if first && pages.acknowledged.contains_key(&id) {
                pages.open -= 1;
            }
            pages.arrivals.entry(recipient.clone()).or_default().push(arrival);
        }
    }

    /// Adds it all up.
    pub(crate) fn figures(&self) -> Figures {
        let pages = self.pages();
        let mut figures = Figures {
            acknowledged: pages.acknowledged.len(),
            turned_away: pages.refusals.values().sum(),
            unanswered: pages.unanswered,
            deferrals: pages.deferrals,
            complaints: pages.complaints.clone(),
            ..Figures::default()
        };
        for letter in pages.acknowledged.values() {
            for recipient in &letter.recipients {
                figures.recipients += 1;
                if !pages.arrivals.contains_key(recipient) {
                    figures.lost.push(recipient.clone());
                }
            }
        }
        for (recipient, arrivals) in &pages.arrivals {
            let id = recipient.split('-').nth(1).and_then(|id| id.parse().ok()).unwrap_or(0);
            if !pages.acknowledged.contains_key(&id) {
                figures.unacknowledged_arrivals += 1;
            }
            for pair in arrivals.windows(2) {
                figures.duplicates += 1;
                pages.judge(recipient, pair[0], pair[1], &mut figures);
            }
        }
        figures
    }
}

impl Pages {
    /// A second copy is excused by a kill between the two that came while the first was in flight.
    fn judge(&self, recipient: &str, first: Arrival, second: Arrival, figures: &mut Figures) {
        if first.checksum != second.checksum {
            figures.complaints.push(format!("two copies for {recipient} differ"));
        }
        let age = match self.kills.get(first.life) {
            Some(kill) if second.life > first.life => kill.saturating_duration_since(first.at),
            _ => Duration::MAX,
        };
        if age > IN_FLIGHT {
            figures.complaints.push(format!(
                "{recipient} got it twice, in runs {} and {}, and was not in flight at the end of \
                 the first ({age:?})",
                first.life, second.life
            ));
        } else {
            figures.oldest_duplicate = figures.oldest_duplicate.max(age);
        }
    }
}
