//! The live trace: the SMTP dialogue of one source as it submits, or of deliveries to one domain.
//!
//! One trace at a time, in memory alone, bounded in lines, octets and time. Who begins a session
//! looks once whether somebody traces; without a trace nothing else is done.
//!
//! **Invariant:** neither what AUTH carries nor the content of a message ever comes in here, see
//! [`overhear`].

mod overhear;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::base::time::WallTime;
use crate::control::dialogue::{Dialogue, DialogueRow, Speaker, Traced};
use crate::host::clock;
use crate::mail::address::Domain;
use crate::mail::source::SourceName;
use overhear::Overhearing;

/// The longest trace: an operator looks at it meanwhile.
const SECS_MAX: u64 = 15 * 60;

/// Lines and octets that wait to be fetched.
const ROWS_MAX: usize = 4000;
const OCTETS_MAX: usize = 512 * 1024;

/// Lines of a session that are kept until its source is known: EHLO, STARTTLS, EHLO and AUTH of the
/// most talkative client are thirty.
const HELD_MAX: usize = 100;

/// Lines of one answer.
const POLLED_MAX: usize = 1000;

/// So long after its end the lines of a trace can still be fetched.
const KEPT: Duration = Duration::from_secs(60);

/// Whether somebody traces, and whom.
#[derive(Debug, Default)]
pub struct Tap(ArcSwapOption<Watch>);

/// A trace.
#[derive(Debug)]
struct Watch {
    of: Traced,
    until: WallTime,
    sessions: AtomicU64,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    rows: VecDeque<DialogueRow>,
    octets: usize,
    number: u64,
    lost: u64,
}

impl Ring {
    fn push(&mut self, row: DialogueRow) {
        self.octets += row.text.len();
        self.rows.push_back(row);
        while self.rows.len() > ROWS_MAX || self.octets > OCTETS_MAX {
            let Some(gone) = self.rows.pop_front() else { return };
            self.octets -= gone.text.len();
            self.lost += 1;
        }
    }
}

impl Watch {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn about(&self) -> String {
        match &self.of {
            Traced::Source(name) => format!("source {name}"),
            Traced::Destination(domain) => format!("destination {domain}"),
        }
    }

    fn runs(&self, now: WallTime) -> bool {
        now < self.until
    }
}

impl Tap {
    /// Begins a trace; an older one is forgotten.
    pub fn begin(&self, of: Traced, secs: u64) -> Dialogue {
        let secs = secs.clamp(1, SECS_MAX);
        let watch = Watch {
            of,
            until: clock::wall().after(Duration::from_secs(secs)),
            sessions: AtomicU64::new(0),
            ring: Mutex::default(),
        };
        let about = watch.about();
        self.0.store(Some(Arc::new(watch)));
        Dialogue { about, left_secs: secs, ..Dialogue::default() }
    }

    /// Lines after number `after`.
    #[must_use]
    pub fn poll(&self, after: u64) -> Dialogue {
        let Some(watch) = self.0.load_full() else { return Dialogue::default() };
        let now = clock::wall();
        if now >= watch.until.after(KEPT) {
            self.0.store(None);
            return Dialogue::default();
        }
        let ring = watch.ring();
        let rows = ring.rows.iter().filter(|row| row.number > after).take(POLLED_MAX);
        Dialogue {
            about: watch.about(),
            rows: rows.cloned().collect(),
            lost: ring.lost,
            // What is left of the last second counts: 0 means that it is over.
            left_secs: watch.until.since(now).as_millis().div_ceil(1000).try_into().unwrap_or(0),
        }
    }

    /// Ends the trace and forgets its lines; whether there was one.
    pub fn end(&self) -> bool {
        self.0.swap(None).is_some()
    }

    /// The trace that runs.
    fn running(&self) -> Option<Arc<Watch>> {
        // The look of every session: one load.
        let watch = self.0.load();
        let watch = watch.as_ref()?;
        let now = clock::wall();
        if now >= watch.until.after(KEPT) {
            self.0.store(None);
            return None;
        }
        watch.runs(now).then(|| watch.clone())
    }

    /// An ear for a connection to one of our listeners, if its source may be the one that is
    /// traced.
    pub(super) fn submission(&self, peer: SocketAddr, listener: &str) -> Option<Box<Ear>> {
        let watch = self.running()?;
        if !matches!(watch.of, Traced::Source(_)) {
            return None;
        }
        let mut ear = Ear::new(watch, Some(Vec::new()));
        ear.remark(&format!("{peer} comes to the listener {listener}"));
        Some(Box::new(ear))
    }

    /// An ear for a connection that mail for `domain` leaves by, if that is traced.
    pub(super) fn delivery(&self, domain: &Domain, relay: &str, egress: &str) -> Option<Box<Ear>> {
        let watch = self.running()?;
        let Traced::Destination(traced) = &watch.of else { return None };
        if traced != domain.as_str() {
            return None;
        }
        let mut ear = Ear::new(watch, None);
        ear.remark(&format!("connected to {relay} by {egress}"));
        Some(Box::new(ear))
    }
}

/// What one session says to a trace.
pub struct Ear {
    watch: Arc<Watch>,
    /// Its number; 0: not given yet, because it is not known whose session it is.
    session: u64,
    heard: Overhearing,
    /// Lines until the source is known; none: it is, and lines go on at once.
    held: Option<Vec<(WallTime, Speaker, String)>>,
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Ear {
    fn new(watch: Arc<Watch>, held: Option<Vec<(WallTime, Speaker, String)>>) -> Self {
        let mut ear = Self { watch, session: 0, heard: Overhearing::new(), held };
        if ear.held.is_none() {
            ear.session = ear.watch.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        }
        ear
    }

    /// The client said this.
    pub(super) fn client(&mut self, octets: &[u8]) {
        self.heard.client(octets);
        self.pass_on();
    }

    /// The server said this.
    pub(super) fn server(&mut self, octets: &[u8]) {
        self.heard.server(octets);
        self.pass_on();
    }

    /// TLS is on.
    pub(super) fn encrypted(&mut self, suite: &str) {
        self.heard.encrypted(suite);
        self.pass_on();
    }

    /// A word of the driver's.
    pub(super) fn remark(&mut self, text: &str) {
        self.heard.remark(text.to_owned());
        self.pass_on();
    }

    /// The source of the session, if it is known by now. Whether the ear is to stay.
    pub(super) fn identify(&mut self, source: Option<&SourceName>) -> bool {
        let (Some(source), true) = (source, self.held.is_some()) else { return true };
        if !matches!(&self.watch.of, Traced::Source(traced) if traced == source) {
            return false;
        }
        self.session = self.watch.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        let held = self.held.take().unwrap_or_default();
        self.tell(held);
        true
    }

    fn pass_on(&mut self) {
        let rows = self.heard.rows();
        if rows.is_empty() {
            return;
        }
        let now = clock::wall();
        let rows = rows.into_iter().map(|(speaker, text)| (now, speaker, text));
        match &mut self.held {
            Some(held) => {
                let room = HELD_MAX.saturating_sub(held.len());
                held.extend(rows.take(room));
            }
            None => self.tell(rows.collect()),
        }
    }

    fn tell(&self, rows: Vec<(WallTime, Speaker, String)>) {
        let mut ring = self.watch.ring();
        for (at, speaker, text) in rows {
            if self.watch.runs(at) {
                ring.number += 1;
                let (number, session) = (ring.number, self.session);
                ring.push(DialogueRow { number, at, session, speaker, text });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SourceName {
        SourceName::new(text).unwrap()
    }

    #[test]
    fn only_the_traced_source_is_heard_and_from_its_first_word() {
        let tap = Tap::default();
        let peer: SocketAddr = "192.0.2.1:4711".parse().unwrap();
        assert!(tap.submission(peer, "tls").is_none());
        let begun = tap.begin(Traced::Source(name("billing")), u64::MAX);
        assert_eq!((begun.about.as_str(), begun.left_secs), ("source billing", SECS_MAX));
        let domain = Domain::parse("example.net").unwrap();
        assert!(tap.delivery(&domain, "mx", "main").is_none());
        let mut other = tap.submission(peer, "tls").unwrap();
        let mut ours = tap.submission(peer, "tls").unwrap();
        for ear in [&mut other, &mut ours] {
            ear.server(b"220 gw\r\n");
            ear.client(b"EHLO a\r\n");
            assert!(ear.identify(None));
        }
        assert!(tap.poll(0).rows.is_empty());
        assert!(!other.identify(Some(&name("shop"))));
        assert!(ours.identify(Some(&name("billing"))));
        ours.client(b"QUIT\r\n");
        let rows = tap.poll(0).rows;
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        let first = "192.0.2.1:4711 comes to the listener tls";
        assert_eq!(texts, [first, "220 gw", "EHLO a", "QUIT"]);
        assert!(rows.iter().all(|row| row.session == 1));
        assert_eq!(tap.poll(3).rows.len(), 1);
        assert!(tap.end() && !tap.end());
        assert_eq!(tap.poll(0), Dialogue::default());
        // Whoever still holds an ear speaks to nobody.
        ours.client(b"RSET\r\n");
        assert!(tap.poll(0).rows.is_empty());
    }

    #[test]
    fn a_trace_takes_little_room_whatever_is_said() {
        let tap = Tap::default();
        tap.begin(Traced::Destination("example.net".to_owned()), 60);
        let domain = Domain::parse("example.net").unwrap();
        let mut ear = tap.delivery(&domain, "mx[192.0.2.1]:25", "main").unwrap();
        for _ in 0..3 * ROWS_MAX {
            ear.server(b"250 ok\r\n");
        }
        let polled = tap.poll(0);
        assert_eq!(polled.rows.len(), POLLED_MAX);
        assert!(polled.lost >= 2 * ROWS_MAX as u64);
        let watch = tap.0.load_full().unwrap();
        assert!(watch.ring().rows.len() <= ROWS_MAX);
    }
}
