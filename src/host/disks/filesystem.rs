//! The file systems: checked, mended, grown.

use std::path::Path;

use super::Places;
use super::consoles::News;
use super::programs::{Called, Ended, Programs};
use crate::base::fault::Fault;

/// Bits of e2fsck's exit code that are well: errors were corrected; the same, and a reboot is asked
/// for, which only matters for a mounted root (e2fsck(8)).
const CORRECTED: i32 = 1 | 2;
/// Errors were left uncorrected.
const UNCORRECTED: i32 = 4;

/// e2fsck repairs what a power cut left; resize2fs does nothing if there is nothing to gain.
///
/// # Errors
/// It cannot be mended or grown.
pub(super) fn check_and_grow(
    places: &Places,
    programs: &impl Programs,
    name: &str,
    device: &Path,
    news: &mut News,
) -> Result<(), Fault> {
    let device = device.to_string_lossy();
    let mut check = |words: &[&str]| -> Result<(), Fault> {
        let checked = e2fsck(programs, words, &device)?;
        if checked.code & UNCORRECTED == 0 {
            return well(&checked);
        }
        // It wants somebody to answer yes to what may lose a file; nobody here could answer
        // better, and without the file system the box does nothing.
        well(&e2fsck(programs, &["-f", "-y"], &device)?)?;
        let text = "was damaged and has been mended; what could not be saved of it is missing";
        news.tell(places, format!("the file system of {name} {text}"));
        Ok(())
    };
    check(&["-p"])?;
    if programs.call(&Called::new("resize2fs", &[&device]))?.code != 0 {
        // It wants a full check before it grows a file system that was in use.
        check(&["-f", "-p"])?;
        programs.call(&Called::new("resize2fs", &[&device]))?.well()?;
    }
    Ok(())
}

fn e2fsck(programs: &impl Programs, words: &[&str], device: &str) -> Result<Ended, Fault> {
    let words: Vec<&str> = words.iter().copied().chain([device]).collect();
    programs.call(&Called::new("e2fsck", &words))
}

fn well(checked: &Ended) -> Result<(), Fault> {
    if checked.code & !CORRECTED == 0 { Ok(()) } else { Err(checked.fault()) }
}
