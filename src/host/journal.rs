//! The journal's thread: takes facts from the herald and writes them, so that nobody who tells a
//! fact ever waits for journald or a full pipe.

use std::collections::VecDeque;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::fault::Fault;
use crate::base::limits::{JOURNAL_BACKLOG_MAX, JOURNAL_BEAT};
use crate::event::herald::{Herald, Told};
use crate::event::journal::write_all;

/// What waits to be written.
#[derive(Default)]
struct Backlog {
    facts: VecDeque<Arc<Told>>,
    asleep: bool,
    writing: bool,
    closing: bool,
}

#[derive(Default)]
struct Shared {
    backlog: Mutex<Backlog>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread. Dropping it writes what waits and ends.
pub struct Journal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("waiting", &self.shared.lock().facts.len())
            .finish_non_exhaustive()
    }
}

/// Whether standard error is the journal (systemd sets `JOURNAL_STREAM` to its device and inode).
#[must_use]
pub fn under_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(found) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", found.dev(), found.ino())
}

impl Journal {
    /// Writes every fact that `herald` tells from now on.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(herald: &Arc<Herald>) -> Result<Self, Fault> {
        let shared = Arc::new(Shared::default());
        let (hears, counts) = (shared.clone(), Arc::downgrade(herald));
        herald.attach(Box::new(move |told| {
            let mut backlog = hears.lock();
            if backlog.closing {
                return false;
            }
            if backlog.facts.len() >= JOURNAL_BACKLOG_MAX {
                if let Some(herald) = counts.upgrade() {
                    herald.counters().journal_dropped(1);
                }
                return true;
            }
            backlog.facts.push_back(told.clone());
            if backlog.asleep {
                hears.changed.notify_all();
            }
            true
        }));
        let writes = shared.clone();
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run(&writes))
            .map_err(|cause| Fault::new("starting", "the journal's thread", cause))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits until everything told so far is written, at most `patience`. Whether it is.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        loop {
            let backlog = self.shared.lock();
            if backlog.facts.is_empty() && !backlog.writing {
                return true;
            }
            drop(backlog);
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A journal that hangs must not keep the daemon from ending.
            if self.flush(Duration::from_secs(2)) {
                let _ = thread.join();
            }
        }
    }
}

fn run(shared: &Shared) {
    loop {
        let mut backlog = shared.lock();
        backlog.writing = false;
        while backlog.facts.is_empty() {
            if backlog.closing {
                return;
            }
            backlog.asleep = true;
            backlog = shared.changed.wait(backlog).unwrap_or_else(PoisonError::into_inner);
        }
        backlog.asleep = false;
        if !backlog.closing {
            drop(backlog);
            thread::sleep(JOURNAL_BEAT);
            backlog = shared.lock();
        }
        let facts = std::mem::take(&mut backlog.facts);
        backlog.writing = true;
        drop(backlog);
        write_all(facts.iter().map(AsRef::as_ref));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::QueueId;
    use crate::base::time::WallTime;
    use crate::event::Event;

    #[test]
    fn telling_never_waits_for_the_journal() {
        let herald = Arc::new(Herald::new(|| WallTime(1)));
        let journal = Journal::start(&herald).unwrap();
        let begun = Instant::now();
        for id in 0..1000 {
            herald.tell(Event::MessageCompleted { id: QueueId(id) });
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(journal.flush(Duration::from_secs(10)));
        drop(journal);
        herald.tell(Event::MessageCompleted { id: QueueId(1) });
    }
}
