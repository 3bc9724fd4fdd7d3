//! What a process that dies of itself leaves behind: the messages that were in its hands.
//!
//! The table costs two stores per message. Only when the process aborts (a stack that overflowed,
//! memory that could not be had, a bug in a library) does a signal handler write it to a file that
//! was opened before. SIGKILL and power cuts leave nothing: they are nobody's fault.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use nix::sys::uio::pwrite;

use crate::base::fault::Fault;
use crate::base::id::QueueId;

/// Messages in hand at a time that are written down; whoever finds no place is not.
const PLACES: usize = 1024;

/// Signals by which a process dies of itself.
const SIGNALS: [Signal; 5] =
    [Signal::SIGABRT, Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE];

struct Place {
    taken: AtomicBool,
    high: AtomicU64,
    low: AtomicU64,
}

static TABLE: [Place; PLACES] = [const {
    Place { taken: AtomicBool::new(false), high: AtomicU64::new(0), low: AtomicU64::new(0) }
}; PLACES];

/// Where the last words go, and what was done about each signal before.
static PAPER: OnceLock<File> = OnceLock::new();
static BEFORE: [OnceLock<SigAction>; SIGNALS.len()] = [const { OnceLock::new() }; SIGNALS.len()];

/// A message in hand, until this is dropped.
#[derive(Debug)]
pub struct Held(usize);

/// Takes a message in hand; nothing if too many are.
pub fn hold(id: QueueId) -> Option<Held> {
    let octets = id.octets();
    let (high, low) = octets.split_at(8);
    let word = |half: &[u8]| half.iter().fold(0, |word, octet| word << 8 | u64::from(*octet));
    // Where to look first does not matter; the end of an id is as good as any.
    let first = usize::from(octets[15]) * 4;
    let place = (0..PLACES).map(|n| (first + n) % PLACES).find(|place| {
        TABLE[*place].taken.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    })?;
    TABLE[place].high.store(word(high), Relaxed);
    TABLE[place].low.store(word(low), Relaxed);
    Some(Held(place))
}

impl Drop for Held {
    fn drop(&mut self) {
        let place = &TABLE[self.0];
        place.high.store(0, Relaxed);
        place.low.store(0, Relaxed);
        place.taken.store(false, Release);
    }
}

/// From now on an abort writes what is in hand to `paper`. Once in a process; later calls do
/// nothing.
///
/// # Errors
/// The kernel refuses a handler.
#[allow(unsafe_code, reason = "a signal handler is the only witness of an abort")]
pub fn write_on_abort(paper: File) -> Result<(), Fault> {
    if PAPER.set(paper).is_err() {
        return Ok(());
    }
    // On the alternative stack: the own one may be what overflowed.
    let action = SigAction::new(SigHandler::Handler(die), SaFlags::SA_ONSTACK, SigSet::empty());
    for (signal, before) in SIGNALS.into_iter().zip(&BEFORE) {
        // JUSTIFICATION: no safe interface can promise what a handler does.
        // SAFETY: `die` does nothing that is not async-signal-safe: it loads atomics, writes to
        // an open descriptor and sets an action; it neither allocates nor locks.
        let old = unsafe { sigaction(signal, &action) };
        let old = old.map_err(|e| Fault::new("listening for", signal, e))?;
        let _ = before.set(old);
    }
    Ok(())
}

/// Writes what is in hand, and lets the signal do what it would have done.
#[allow(unsafe_code, reason = "a signal handler is the only witness of an abort")]
extern "C" fn die(number: i32) {
    if let Some(paper) = PAPER.get() {
        let mut offset = 0;
        for place in &TABLE {
            let (high, low) = (place.high.load(Relaxed), place.low.load(Relaxed));
            let id = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
            if high != 0 && pwrite(paper.as_fd(), &id, offset).is_ok() {
                offset += 16;
            }
        }
    }
    for (signal, before) in SIGNALS.into_iter().zip(&BEFORE) {
        if signal as i32 == number
            && let Some(before) = before.get()
        {
            // JUSTIFICATION: as above; the runtime's own handler knows better words for a stack.
            // SAFETY: `before` is what the kernel had; the signal comes again and finds it.
            let _ = unsafe { sigaction(signal, before) };
        }
    }
    if number == Signal::SIGABRT as i32 {
        // A fault comes again by itself; an abort that somebody else asked for does not.
        let _ = raise(Signal::SIGABRT);
    }
}

/// The messages that were in hand when an earlier process died of itself.
#[must_use]
pub fn read(words: &[u8]) -> Vec<QueueId> {
    let id = |octets: &[u8]| octets.try_into().ok().map(QueueId::from_octets);
    words.chunks_exact(16).filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let words = |id: QueueId| {
            let found = TABLE.iter().any(|place| {
                u128::from(place.high.load(Relaxed)) << 64 | u128::from(place.low.load(Relaxed))
                    == id.0
            });
            assert_eq!(read(&id.octets()), [id]);
            found
        };
        let id = QueueId(0x0199_6d35_b47b_0000_0000_0000_0000_00ff);
        let (one, two) = (hold(id), hold(QueueId(id.0 + 0x100)));
        assert!(one.is_some() && two.is_some());
        assert!(words(id) && words(QueueId(id.0 + 0x100)));
        drop(one);
        assert!(!words(id));
    }
}
