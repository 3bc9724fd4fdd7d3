//! The boot loader of the image that runs, after its boot was found good.

use super::Desk;
use crate::base::fault::Fault;
use crate::host::slots::loader::bring;
use crate::host::slots::machine::Places;
use crate::host::slots::shelf::Shelf;
use crate::update::entry::{Entry, Standing};

/// Brings the boot loader of the image that runs, if it is newer than the one in the ESP. While
/// that image is on trial nothing is done: both slots are started by the one loader. Returns its
/// version if it was brought.
///
/// # Errors
/// This is no machine with slots, an update is at work, or a disk failed.
pub fn loader(places: &Places, tell: &mut impl FnMut(&str)) -> Result<Option<String>, Fault> {
    let shelf = Shelf::open(&places.folder)?;
    let lock = shelf.lock()?;
    let mut silent = |_: &str| {};
    let desk = Desk::sit_down(places, &mut silent)?;
    let good = Entry::new(&desk.running.version, Standing::Good);
    if !desk.machine.esp.entries()?.contains(&good) {
        tell(&format!("{} is not confirmed: the boot loader stays", good.version));
        return Ok(None);
    }
    let brought = bring(&places.esp, &places.loader, tell);
    drop(lock);
    brought
}
