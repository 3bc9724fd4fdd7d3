//! The promise of formats: what version N leaves in spool and configuration stays readable for
//! version N−1 until N is confirmed.
//!
//! A release says which versions of the spool's records it reads and which it can write. It is
//! taken only if it reads everything that is there, and can write something that the running
//! version reads; on its trial boot it writes the newest such version and nothing newer.

use super::manifest::Formats;

/// Which format is written while an update is on trial.
///
/// # Errors
/// Why the promise cannot be kept, in words.
pub fn on_trial(running: &Formats, new: &Formats, present: &[u8]) -> Result<u8, String> {
    let unread = |format: &&u8| !new.spool.reads.contains(format);
    if let Some(format) = present.iter().chain(&running.spool.writes).find(unread) {
        return Err(format!("it cannot read spool format {format}, which this version writes"));
    }
    if let Some(format) = running.config.iter().find(|format| !new.config.contains(format)) {
        return Err(format!("it cannot read configuration version {format}"));
    }
    let both = new.spool.writes.iter().filter(|format| running.spool.reads.contains(format));
    both.max().copied().ok_or_else(|| {
        "there would be no way back: this version reads none of the spool formats it writes".into()
    })
}

/// The format that is written: the newest that the program can, and during a trial nothing newer
/// than `limit`.
///
/// # Errors
/// The program can write nothing so old.
pub fn written(writes: &[u8], limit: Option<u8>) -> Result<u8, String> {
    let allowed = writes.iter().filter(|format| limit.is_none_or(|limit| **format <= limit));
    allowed.max().copied().ok_or_else(|| {
        let limit = limit.unwrap_or_default();
        format!("during the trial spool format {limit} must be written, and this program cannot")
    })
}

#[cfg(test)]
mod tests {
    use super::super::manifest::SpoolFormats;
    use super::*;

    fn formats(reads: &[u8], writes: &[u8], config: &[u8]) -> Formats {
        let spool = SpoolFormats { reads: reads.to_vec(), writes: writes.to_vec() };
        Formats { spool, config: config.to_vec() }
    }

    #[test]
    fn there_is_always_a_way_back() {
        let now = formats(&[1, 2], &[2], &[1]);
        assert_eq!(on_trial(&now, &now, &[2]), Ok(2));
        let next = formats(&[1, 2, 3], &[2, 3], &[1, 2]);
        assert_eq!(on_trial(&now, &next, &[1, 2]), Ok(2), "the older one during the trial");
        let hasty = formats(&[1, 2, 3], &[3], &[1]);
        assert!(on_trial(&now, &hasty, &[2]).unwrap_err().contains("no way back"));
        let forgetful = formats(&[3], &[3], &[1]);
        assert!(on_trial(&now, &forgetful, &[]).unwrap_err().contains("cannot read spool"));
        let dropped = formats(&[2], &[2], &[1]);
        assert_eq!(on_trial(&now, &dropped, &[2]), Ok(2));
        assert!(on_trial(&now, &dropped, &[1]).is_err(), "old segments are still there");
        let other = formats(&[1, 2], &[2], &[2]);
        assert!(on_trial(&now, &other, &[2]).unwrap_err().contains("configuration"));
    }

    #[test]
    fn the_older_format_is_written_during_a_trial() {
        assert_eq!(written(&[2, 3], None), Ok(3));
        assert_eq!(written(&[2, 3], Some(2)), Ok(2));
        assert_eq!(written(&[2], Some(2)), Ok(2));
        assert!(written(&[3], Some(2)).is_err());
    }
}
