//! `postern emergency`: what whoever stands before a box that cannot start can do about it.
//!
//! State is not there, so the host role does not run and nobody can be asked for a passphrase.
//!
//! **Invariant:** nothing is offered that gives anything away or leaves the mail behind: a reset
//! that keeps the spool would hand it to whoever sets the box up next.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::Ending;
use crate::base::fault::Fault;
use crate::event::harmless;
use crate::host::consoles::{self, For};
use crate::host::durable::{Readers, make_folder, remove, replace};
use crate::host::failures;
use crate::host::machine::System;
use crate::host::paths::Paths;

/// What must be typed before everything is destroyed.
const DESTROY: &str = "destroy everything";

/// Below what failed.
const CHOICES: &str = "
  restart        try it again
  power-off      switch the box off
  factory-reset  destroy everything on it, mail too, and make it as new

  The version before is in the boot menu: hold the space bar while the box starts.

Type one of these words: ";

/// What is done about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The choices are shown.
    Show,
    /// The box restarts.
    Restart,
    /// The box is switched off.
    PowerOff,
    /// It is said what a reset destroys.
    Warn,
    /// The next start makes the box as new.
    Reset,
}

/// What a line asks for, where a warning may stand before it.
fn step(line: &str, warned: bool) -> Step {
    match line.trim() {
        DESTROY if warned => Step::Reset,
        _ if warned => Step::Show,
        "restart" => Step::Restart,
        "power-off" => Step::PowerOff,
        "factory-reset" => Step::Warn,
        _ => Step::Show,
    }
}

/// Shows what failed on every console and does what is typed at one of them.
pub(super) fn emergency(root: &Path) -> Ending {
    let paths = Paths::below(root);
    let system = System::new(paths.clone());
    let mut consoles = consoles::open(root, For::Asking);
    let typed = listen(&consoles);
    let screen = format!("\nThis box could not start.\n{}{CHOICES}", failed(&paths, &system));
    for console in &mut consoles {
        say(console, &screen);
    }
    let mut warned = vec![false; consoles.len()];
    for (at, line) in typed {
        let wanted = step(&line, warned[at]);
        warned[at] = wanted == Step::Warn;
        let done = match wanted {
            Step::Show => Ok(screen.clone()),
            Step::Warn => Ok(format!(
                "Everything is destroyed for ever: mail, configuration, keys. Type {DESTROY} to do \
                 it: "
            )),
            Step::Restart => system.reboot().map(|()| "The box restarts.\n".to_owned()),
            Step::PowerOff => system.power_off().map(|()| "The box goes off.\n".to_owned()),
            Step::Reset => reset(&paths, &system),
        };
        say(&mut consoles[at], &done.unwrap_or_else(|fault| format!("{fault}\n{CHOICES}")));
    }
    // No console is left; the service manager starts it again.
    Ending::Failed
}

/// Lines of each console, by its place in the list.
fn listen(consoles: &[File]) -> Receiver<(usize, String)> {
    let (sender, receiver) = channel();
    for (at, console) in consoles.iter().enumerate() {
        let sender = sender.clone();
        if let Ok(console) = console.try_clone() {
            thread::spawn(move || {
                for line in BufReader::new(console).lines().map_while(Result::ok) {
                    if sender.send((at, line)).is_err() {
                        break;
                    }
                }
            });
        }
    }
    receiver
}

/// The units that failed, and the last words of the disks' step.
fn failed(paths: &Paths, system: &System) -> String {
    let failures = failures::recorded(&paths.at(failures::FOLDER));
    let said = system.last_lines("postern-disks.service");
    let lines = failures.iter().map(ToString::to_string).chain(said.lines().map(harmless));
    lines.flat_map(|line| ["  ".to_owned(), line, "\n".to_owned()]).collect()
}

/// As the host role orders it; the disks' step does it before it looks at anything else.
fn reset(paths: &Paths, system: &System) -> Result<String, Fault> {
    make_folder(&paths.drop_folder(), Readers::Owner)?;
    replace(&paths.factory_reset(), b"everything\n", Readers::Owner)?;
    if let Err(fault) = system.reboot() {
        // A reset that nobody expects any more must not happen at some later restart.
        remove(&paths.factory_reset())?;
        return Err(fault);
    }
    Ok("The box restarts and makes itself as new.\n".to_owned())
}

fn say(console: &mut File, text: &str) {
    let _nobody_there = console.write_all(text.replace('\n', "\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_after_a_warning_destroy_anything() {
        assert_eq!(step("factory-reset", false), Step::Warn);
        assert_eq!(step(&format!("{DESTROY}\r"), true), Step::Reset);
        assert_eq!(step(DESTROY, false), Step::Show);
        for line in ["", "yes", "factory-reset", "restart"] {
            assert_eq!(step(line, true), Step::Show, "{line}");
        }
        assert_eq!(step(" restart", false), Step::Restart);
        assert_eq!(step("power-off", false), Step::PowerOff);
        for word in ["restart", "power-off", "factory-reset"] {
            assert!(CHOICES.contains(&format!("\n  {word} ")), "{word} is not offered");
        }
    }
}
