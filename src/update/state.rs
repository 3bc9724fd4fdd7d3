//! Where an update stands. Each state holds exactly what is true in it; a transition consumes the
//! old one, so that no step can be taken twice or left out.
//!
//! | state | boots at a power cut | what `settle` makes of it |
//! |---|---|---|
//! | `Idle` | the running slot | nothing |
//! | `Fetched` `Verified` `Written` `ReadBack` | the running slot: no entry names the other | `Idle`, told |
//! | `Staged` | the running slot: the entry is not one for the boot loader | stays |
//! | `Trial` | the new slot while tries are left, then the old one | `Healthy`, `RolledBack`, or back to `Staged` |
//! | `Healthy` `RolledBack` | what runs | nothing |

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Standing};
use super::judge::Fit;
use super::manifest::{Formats, Sha256};
use super::time::Time;
use super::version::Version;
use crate::base::time::WallTime;

/// The release that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// The root hash of its slot.
    pub root_hash: Sha256,
    /// The floor once it is healthy.
    pub floor: Version,
    /// Its formats.
    pub formats: Formats,
    /// The spool format that it writes while it is on trial.
    pub spool_format: u8,
}

impl Release {
    /// The release that was judged fit.
    #[must_use]
    pub fn of(fit: &Fit) -> Self {
        let manifest = fit.manifest();
        Self {
            version: manifest.version.clone(),
            root_hash: manifest.root_hash,
            floor: manifest.floor.clone(),
            formats: manifest.formats.clone(),
            spool_format: fit.spool_format(),
        }
    }
}

/// Its files are in the staging folder, on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    release: Release,
}

/// Those files have the hashes of the signed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    release: Release,
}

/// They were written to the slot that does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    release: Release,
}

/// What the slot gives back has the hashes of the signed manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadBack {
    release: Release,
}

/// The kernel image lies in the ESP too, under a name that is no boot entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staged {
    release: Release,
    since: WallTime,
}

/// The boot loader tries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    release: Release,
    from: Version,
    /// The boot in which it was asked for.
    boot: String,
    since: WallTime,
}

/// It was blessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Healthy {
    release: Release,
    from: Version,
    since: WallTime,
}

/// The old version came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolledBack {
    release: Release,
    from: Version,
    reason: String,
    since: WallTime,
}

/// Where an update stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum State {
    /// Nothing is on its way.
    #[default]
    Idle,
    /// See [`Fetched`].
    Fetched(Fetched),
    /// See [`Verified`].
    Verified(Verified),
    /// See [`Written`].
    Written(Written),
    /// See [`ReadBack`].
    ReadBack(ReadBack),
    /// See [`Staged`].
    Staged(Staged),
    /// See [`Trial`].
    Trial(Trial),
    /// See [`Healthy`].
    Healthy(Healthy),
    /// See [`RolledBack`].
    RolledBack(RolledBack),
}

impl State {
    /// Begins with a release whose files are there.
    ///
    /// # Errors
    /// An update is on trial: it must be confirmed or gone first. The state as it was.
    pub fn fetched(self, release: Release) -> Result<Fetched, Box<Self>> {
        match self {
            Self::Trial(trial) => Err(Box::new(Self::Trial(trial))),
            _ => Ok(Fetched { release }),
        }
    }

    /// The release it is about, if any.
    #[must_use]
    pub fn release(&self) -> Option<&Release> {
        match self {
            Self::Idle => None,
            Self::Fetched(Fetched { release })
            | Self::Verified(Verified { release })
            | Self::Written(Written { release })
            | Self::ReadBack(ReadBack { release })
            | Self::Staged(Staged { release, .. })
            | Self::Trial(Trial { release, .. })
            | Self::Healthy(Healthy { release, .. })
            | Self::RolledBack(RolledBack { release, .. }) => Some(release),
        }
    }

    /// Its name, as the record has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fetched(_) => "fetched",
            Self::Verified(_) => "verified",
            Self::Written(_) => "written",
            Self::ReadBack(_) => "read-back",
            Self::Staged(_) => "staged",
            Self::Trial(_) => "trial",
            Self::Healthy(_) => "healthy",
            Self::RolledBack(_) => "rolled-back",
        }
    }

    /// Why the old version came back, if it did.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::RolledBack(back) => Some(&back.reason),
            _ => None,
        }
    }
}

impl Fetched {
    /// All hashes are right.
    #[must_use]
    pub fn verified(self) -> Verified {
        Verified { release: self.release }
    }
}

impl Verified {
    /// The slot was written.
    #[must_use]
    pub fn written(self) -> Written {
        Written { release: self.release }
    }
}

impl Written {
    /// The slot gave back what was written.
    #[must_use]
    pub fn read_back(self) -> ReadBack {
        ReadBack { release: self.release }
    }
}

impl ReadBack {
    /// The kernel image is in the ESP.
    #[must_use]
    pub fn staged(self, since: WallTime) -> Staged {
        Staged { release: self.release, since }
    }
}

impl Staged {
    /// The release.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The next boot tries it.
    #[must_use]
    pub fn trial(self, from: Version, boot: String, since: WallTime) -> Trial {
        Trial { release: self.release, from, boot, since }
    }
}

impl Trial {
    /// A trial of a version that is in the other slot already: the way back by hand.
    #[must_use]
    pub fn back(release: Release, from: Version, boot: String, since: WallTime) -> Self {
        Self { release, from, boot, since }
    }

    /// The release.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }

    fn healthy(self, since: WallTime) -> Healthy {
        Healthy { release: self.release, from: self.from, since }
    }

    fn rolled_back(self, reason: String, since: WallTime) -> RolledBack {
        RolledBack { release: self.release, from: self.from, reason, since }
    }

    fn unbegun(self) -> Staged {
        Staged { release: self.release, since: self.since }
    }
}

impl Healthy {
    /// The release.
    #[must_use]
    pub fn release(&self) -> &Release {
        &self.release
    }
}

/// What is seen of the machine when a record is settled.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The version that runs.
    pub running: Version,
    /// This boot.
    pub boot: String,
    /// Entries in the ESP.
    pub entries: Vec<Entry>,
    /// Why the health check of the last boot failed, if it left word.
    pub failure: Option<String>,
    /// The best guess at the time.
    pub time: Time,
}

impl Seen {
    fn standing(&self, version: &Version) -> Option<Standing> {
        let mut ours = self.entries.iter().filter(|entry| entry.version == *version);
        ours.next().map(|entry| entry.standing)
    }
}

/// What is told when a record is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Stopped half-way; begin again.
    Interrupted {
        /// Which version.
        version: Version,
        /// In which state.
        at: &'static str,
    },
    /// Blessed.
    Healthy {
        /// Which version.
        version: Version,
        /// What ran before.
        from: Version,
    },
    /// The old version came back.
    RolledBack {
        /// Which version.
        version: Version,
        /// What runs.
        to: Version,
        /// Why.
        reason: String,
    },
    /// The reboot was cut short; it is still staged.
    NotBegun {
        /// Which version.
        version: Version,
    },
}

/// What `settle` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The state from now on.
    pub state: State,
    /// What is told.
    pub news: Option<News>,
    /// An entry that must not be booted again by itself.
    pub condemn: Option<Entry>,
}

impl Settled {
    fn quiet(state: State) -> Self {
        Self { state, news: None, condemn: None }
    }
}

/// Holds what the record says against what is there. May be called at any time; calling it twice
/// is calling it once.
#[must_use]
pub fn settle(state: State, seen: &Seen) -> Settled {
    match state {
        State::Idle | State::Healthy(_) | State::RolledBack(_) => Settled::quiet(state),
        State::Trial(trial) => settle_trial(trial, seen),
        State::Staged(staged) => {
            if seen.standing(&staged.release.version) == Some(Standing::Staged) {
                Settled::quiet(State::Staged(staged))
            } else {
                interrupted(&staged.release, "staged")
            }
        }
        State::Fetched(Fetched { ref release })
        | State::Verified(Verified { ref release })
        | State::Written(Written { ref release })
        | State::ReadBack(ReadBack { ref release }) => interrupted(release, state.name()),
    }
}

fn interrupted(release: &Release, at: &'static str) -> Settled {
    let news = News::Interrupted { version: release.version.clone(), at };
    Settled { state: State::Idle, news: Some(news), condemn: None }
}

fn settle_trial(trial: Trial, seen: &Seen) -> Settled {
    let version = trial.release.version.clone();
    let standing = seen.standing(&version);
    if seen.running == version {
        if standing != Some(Standing::Good) {
            return Settled::quiet(State::Trial(trial));
        }
        let news = News::Healthy { version, from: trial.from.clone() };
        let state = State::Healthy(trial.healthy(seen.time.now));
        return Settled { state, news: Some(news), condemn: None };
    }
    let failed = seen.failure.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let (reason, condemn) = match standing {
        Some(Standing::Staged) => {
            // The rename did not reach the disk, or has not happened yet.
            let news = (trial.boot != seen.boot).then_some(News::NotBegun { version });
            if trial.boot == seen.boot {
                return Settled::quiet(State::Trial(trial));
            }
            return Settled { state: State::Staged(trial.unbegun()), news, condemn: None };
        }
        Some(Standing::Counted { .. }) if trial.boot == seen.boot => {
            return Settled::quiet(State::Trial(trial));
        }
        Some(Standing::Counted { left: 0, done }) => {
            (format!("it did not become healthy in {done} boots{failed}"), None)
        }
        Some(standing @ Standing::Counted { .. }) => (
            format!("the old version was booted although tries were left{failed}"),
            Some(Entry::new(&version, standing)),
        ),
        Some(Standing::Good) => ("the old version was booted by hand".to_owned(), None),
        None => (format!("its boot entry is gone{failed}"), None),
    };
    let news = News::RolledBack { version, to: seen.running.clone(), reason: reason.clone() };
    let state = State::RolledBack(trial.rolled_back(reason, seen.time.now));
    Settled { state, news: Some(news), condemn }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::manifest::tests::manifest;
    use super::super::time::Witness;
    use super::*;

    pub(crate) fn release(version: &str) -> Release {
        let manifest = manifest(version);
        Release {
            version: manifest.version,
            root_hash: manifest.root_hash,
            floor: manifest.floor,
            formats: manifest.formats,
            spool_format: 2,
        }
    }

    fn seen(running: &str, boot: &str, entries: &[&str]) -> Seen {
        Seen {
            running: running.parse().unwrap(),
            boot: boot.to_owned(),
            entries: entries.iter().map(|name| Entry::read_name(name).unwrap()).collect(),
            failure: Some("no MX answered".to_owned()),
            time: Time { now: WallTime(7), witness: Witness::KeptClock },
        }
    }

    fn trial() -> Trial {
        let fetched = State::Idle.fetched(release("1.1.0")).unwrap();
        let staged = fetched.verified().written().read_back().staged(WallTime(1));
        staged.trial("1.0.0".parse().unwrap(), "first".to_owned(), WallTime(2))
    }

    #[test]
    fn a_trial_ends_well_or_with_a_reason() {
        let settled = |running: &str, boot: &str, entries: &[&str]| {
            let settled = settle(State::Trial(trial()), &seen(running, boot, entries));
            let again = settle(settled.state.clone(), &seen(running, boot, entries));
            assert_eq!(again.state, settled.state, "settled twice");
            settled
        };
        let good = settled("1.1.0", "second", &["postern_1.0.0.efi", "postern_1.1.0.efi"]);
        assert!(matches!(good.state, State::Healthy(_)), "{good:?}");
        let pending = settled("1.1.0", "second", &["postern_1.0.0.efi", "postern_1.1.0+2-1.efi"]);
        assert!(matches!(pending.state, State::Trial(_)) && pending.news.is_none());
        let bad = settled("1.0.0", "fifth", &["postern_1.0.0.efi", "postern_1.1.0+0-3.efi"]);
        let reason = bad.state.reason().unwrap();
        assert_eq!(reason, "it did not become healthy in 3 boots: no MX answered");
        assert!(bad.condemn.is_none() && bad.news.is_some());
        let chosen = settled("1.0.0", "third", &["postern_1.0.0.efi", "postern_1.1.0+1-2.efi"]);
        assert_eq!(chosen.condemn.unwrap().to_string(), "postern_1.1.0+1-2.efi");
        let cut = settled("1.0.0", "second", &["postern_1.0.0.efi", "postern_1.1.0.staged"]);
        assert!(matches!(cut.state, State::Staged(_)) && cut.news.is_some());
        let gone = settled("1.0.0", "second", &["postern_1.0.0.efi"]);
        assert!(gone.state.reason().unwrap().starts_with("its boot entry is gone"));
        let waits = settled("1.0.0", "first", &["postern_1.0.0.efi", "postern_1.1.0+3-0.efi"]);
        assert!(matches!(waits.state, State::Trial(_)), "the reboot is under way");
    }

    #[test]
    fn what_was_half_done_begins_again() {
        let fetched = State::Idle.fetched(release("1.1.0")).unwrap();
        let verified = fetched.clone().verified();
        let written = verified.clone().written();
        let read_back = written.clone().read_back();
        let staged = read_back.clone().staged(WallTime(1));
        let seen = seen("1.0.0", "second", &["postern_1.0.0.efi"]);
        for state in [
            State::Fetched(fetched),
            State::Verified(verified),
            State::Written(written),
            State::ReadBack(read_back),
            State::Staged(staged),
        ] {
            let settled = settle(state, &seen);
            assert_eq!(settled.state, State::Idle);
            assert!(matches!(settled.news, Some(News::Interrupted { .. })));
        }
    }

    #[test]
    fn nothing_is_begun_during_a_trial() {
        let state = State::Trial(trial());
        assert!(state.fetched(release("1.2.0")).is_err());
    }

    #[test]
    fn states_are_read_as_they_were_written() {
        let state = State::Trial(trial());
        let text = serde_json::to_string(&state).unwrap();
        assert!(text.starts_with("{\"is\":\"trial\""), "{text}");
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        assert_eq!(serde_json::from_str::<State>("{\"is\":\"idle\"}").unwrap(), State::Idle);
    }
}
