//! The programs that do the work, behind one door, so that tests can stand in for them.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::base::fault::Fault;

/// A call: program, words, variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Its name; it is looked up in the system's folders.
    pub program: &'static str,
    /// Its arguments.
    pub words: Vec<String>,
    /// Variables on top of ours. Secrets go here: arguments can be read by everybody.
    pub variables: Vec<(&'static str, String)>,
    /// What it reads from its standard input; a secret that must be in no environment.
    pub input: String,
}

impl Called {
    /// A call without variables.
    #[must_use]
    pub fn new(program: &'static str, words: &[&str]) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self { program, words, variables: Vec::new(), input: String::new() }
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// The same with something to read.
    #[must_use]
    pub fn reading(mut self, input: &str) -> Self {
        input.clone_into(&mut self.input);
        self
    }
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub program: &'static str,
    /// Its exit code; 255 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained.
    pub complaint: String,
}

impl Ended {
    /// What it printed, if it ended well.
    ///
    /// # Errors
    /// It did not.
    pub fn well(self) -> Result<String, Fault> {
        if self.code == 0 { Ok(self.out) } else { Err(self.fault()) }
    }

    /// Its failure, in the last words it said.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let said = self.complaint.trim().lines().last().unwrap_or("it gave no reason");
        Fault::new("running", self.program, format!("exit code {}: {said}", self.code))
    }
}

/// Whatever runs programs.
pub trait Programs {
    /// Runs one and waits for it.
    ///
    /// # Errors
    /// It cannot be started.
    fn call(&self, called: &Called) -> Result<Ended, Fault>;

    /// Mounts a file system of a kind, `vfat` or `ext4`, for this process alone.
    ///
    /// # Errors
    /// The kernel refuses.
    fn mount(&self, kind: &str, node: &str, at: &str, writable: bool) -> Result<(), Fault>;

    /// Hides what is at a place behind an empty folder that can be written, from this process and
    /// what it runs: the unit has mounts of its own.
    ///
    /// # Errors
    /// The kernel refuses.
    fn hide(&self, at: &str) -> Result<(), Fault>;

    /// Unmounts it.
    ///
    /// # Errors
    /// The kernel refuses.
    fn unmount(&self, at: &str) -> Result<(), Fault>;
}

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine;

impl Programs for Machine {
    fn call(&self, called: &Called) -> Result<Ended, Fault> {
        let fault = |cause: std::io::Error| Fault::new("running", called.program, cause);
        let stdin = if called.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let mut child = Command::new(called.program)
            .args(&called.words)
            .envs(called.variables.iter().map(|(name, value)| (name, value)))
            .env("PATH", "/usr/bin:/usr/sbin")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fault)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A key fits into the pipe; a program that does not want it says why when it ends.
            let _not_wanted = stdin.write_all(called.input.as_bytes());
        }
        let output = child.wait_with_output().map_err(fault)?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        // The journal shall have what they say, too.
        let _nobody_listens = std::io::stderr().lock().write_all(complaint.as_bytes());
        Ok(Ended {
            program: called.program,
            code: output.status.code().unwrap_or(255),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            complaint,
        })
    }

    fn mount(&self, kind: &str, node: &str, at: &str, writable: bool) -> Result<(), Fault> {
        use nix::mount::MsFlags;
        let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        if !writable {
            flags |= MsFlags::MS_RDONLY;
        }
        let options = (kind == "vfat").then_some("umask=0077");
        nix::mount::mount(Some(node), at, Some(kind), flags, options)
            .map_err(|cause| Fault::new("mounting", node, cause))
    }

    fn hide(&self, at: &str) -> Result<(), Fault> {
        use nix::mount::MsFlags;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        nix::mount::mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some("mode=0700,size=64k"))
            .map_err(|cause| Fault::new("hiding", at, cause))
    }

    fn unmount(&self, at: &str) -> Result<(), Fault> {
        nix::mount::umount(at).map_err(|cause| Fault::new("unmounting", at, cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_is_to_read_it_reads_to_its_end() {
        let said = Machine.call(&Called::new("cat", &[]).reading("cbdefghi")).unwrap();
        assert_eq!(said.well().unwrap(), "cbdefghi");
        // Without anything to read it waits for nothing, and one that reads nothing is no fault.
        assert_eq!(Machine.call(&Called::new("cat", &[])).unwrap().out, "");
        assert_eq!(Machine.call(&Called::new("true", &[]).reading("cbdefghi")).unwrap().code, 0);
    }
}
