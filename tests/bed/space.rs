//! A network namespace that is held by a descriptor and entered by threads.

use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sched::{CloneFlags, setns, unshare};
use tokio::sync::Notify;

/// A network namespace; it ends with its last thread, process, socket and holder.
pub(crate) struct Space {
    net: File,
}

impl Space {
    /// A new one, with loopback up.
    pub(crate) fn new() -> Self {
        let made = std::thread::spawn(|| {
            let alone = unshare(CloneFlags::CLONE_NEWNET);
            assert!(alone.is_ok(), "no network namespace ({alone:?}): run this test as root");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let space = Self { net: made.join().unwrap() };
        // Addresses are usable at once: nobody else is on these wires.
        space.sysctl("net/ipv6/conf/default/accept_dad", "0");
        space.sysctl("net/ipv6/conf/all/accept_dad", "0");
        space.ip("link set lo up");
        space
    }

    /// A path by which other processes find it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.net.as_raw_fd())
    }

    /// Does `work` inside.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| {
                setns(&self.net, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            match entered.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs a runtime inside until the ticket is dropped.
    pub(crate) fn serve<F>(&self, serve: impl FnOnce() -> F + Send + 'static) -> Ticket
    where
        F: Future<Output = ()>,
    {
        let net = self.net.try_clone().unwrap();
        let over = Arc::new(Notify::new());
        let ended = over.clone();
        std::thread::spawn(move || {
            setns(&net, CloneFlags::CLONE_NEWNET).unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = ended.notified() => {}
                    () = serve() => {}
                }
            });
        });
        Ticket(over)
    }

    /// Runs lines of `ip`, all of which must do.
    pub(crate) fn ip(&self, lines: &str) {
        let said = self.batch(lines, false);
        assert!(said.is_empty(), "ip: {said}\n{lines}");
    }

    /// Runs lines of `ip`, some of which may fail; what it complained of.
    pub(crate) fn try_ip(&self, lines: &str) -> String {
        self.batch(lines, true)
    }

    /// Lines that begin with `-4` or `-6` are of that family.
    fn batch(&self, lines: &str, force: bool) -> String {
        let mut said = String::new();
        let mut lines: Vec<&str> = lines.lines().filter(|line| !line.is_empty()).collect();
        while let Some(first) = lines.first() {
            let family = ["-4", "-6"].into_iter().find(|flag| first.starts_with(flag));
            let same = |line: &&str| match family {
                Some(flag) => line.starts_with(flag),
                None => !line.starts_with('-'),
            };
            let count = lines.iter().take_while(|line| same(line)).count();
            let strip = |line: &str| line[family.map_or(0, str::len)..].trim().to_owned() + "\n";
            let input: String = lines.drain(..count).map(strip).collect();
            let mut arguments: Vec<&str> = family.into_iter().collect();
            arguments.extend(if force {
                vec!["-force", "-batch", "-"]
            } else {
                vec!["-batch", "-"]
            });
            said += &self.feed("ip", &arguments, &input);
        }
        said
    }

    /// Runs lines of `nft`.
    pub(crate) fn nft(&self, lines: &str) {
        let said = self.feed("nft", &["-f", "-"], lines);
        assert!(said.is_empty(), "nft: {said}\n{lines}");
    }

    /// Runs a program inside and hands it `input`; what it complained of.
    fn feed(&self, program: &str, arguments: &[&str], input: &str) -> String {
        self.within(|| {
            let mut child = Command::new(program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{program}: {error}"));
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            String::from_utf8_lossy(&output.stderr).into_owned()
        })
    }

    /// What a program inside prints.
    pub(crate) fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.within(|| Command::new(program).args(arguments).output().unwrap());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a program inside.
    pub(crate) fn start(&self, command: &mut Command) -> Program {
        Program(self.within(|| command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))))
    }

    /// Sets a kernel parameter, as a path below `/proc/sys`.
    pub(crate) fn sysctl(&self, path: &str, value: &str) {
        let whole = format!("/proc/sys/{path}");
        self.within(|| std::fs::write(&whole, value).unwrap_or_else(|e| panic!("{whole}: {e}")));
    }
}

/// Ends a runtime when it is dropped.
pub(crate) struct Ticket(Arc<Notify>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A program that ends with its holder.
pub(crate) struct Program(pub(crate) Child);

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended is only reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
