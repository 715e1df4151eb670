//! Child processes that cannot outlive the test.

use std::{
    fs, io,
    process::{Child, Command, ExitStatus},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// A user to run a child as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The command line `program`, to be run as `user` (`None`: the current user) and killed by the kernel when this process ends.
pub(crate) fn bound_command(program: &str, user: Option<User>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user {
        command.args(["--reuid", &user.uid.to_string(), "--regid", &user.gid.to_string(), "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// Starts `command` from a thread that lives as long as the process.
///
/// The parent-death signal fires when the *thread* that forked ends; a test's own thread ends before a broker that tests share.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new()
            .name("oxlo-test-spawner".into())
            .spawn(move || {
                for (mut command, answer) in inbox {
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("cannot start a thread");
        orders
    });
    let (answer, child) = mpsc::channel();
    spawner.send((command, answer)).expect("the spawner thread has ended");
    child.recv().expect("the spawner thread has ended")
}

/// A child and everything below it; killed when dropped.
#[derive(Debug)]
pub(crate) struct ProcessTree {
    child: Child,
}

impl ProcessTree {
    pub(crate) fn new(child: Child) -> Self {
        Self { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, or `None` while it runs.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends `signal` to the child itself, unless it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.exited().is_none() {
            send(self.child.id(), signal);
        }
    }

    /// Sends SIGSTOP and waits until every thread of the child has stopped, which takes the kernel a moment on a busy machine.
    /// Blocks the thread.
    ///
    /// # Panics
    ///
    /// When it takes more than 20 s.
    pub(crate) fn freeze(&mut self) {
        self.signal(Signal::STOP);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !stopped(self.child.id()) {
            assert!(Instant::now() < deadline, "process {} does not stop", self.child.id());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the child has ended, at most `limit`; blocks the thread.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL for the child and for all of its descendants, and waits for the child; blocks the thread for some milliseconds.
    pub(crate) fn kill(&mut self) {
        if self.exited().is_some() {
            return;
        }
        let below = descendants(self.child.id());
        send(self.child.id(), Signal::KILL);
        for (pid, started) in below {
            // A pid whose start time changed was reused by another process.
            if start_time(pid) == Some(started) {
                send(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // The process may have ended in the meantime.
        let _ = kill_process(pid, signal);
    }
}

/// Whether all threads of a process are stopped.
fn stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let state = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
    threads.map(|thread| fs::read_to_string(thread.path().join("stat"))).all(|stat| stat.is_ok_and(state))
}

/// The descendants of `root` with their start times.
fn descendants(root: u32) -> Vec<(u32, u64)> {
    let processes: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .collect();
    let mut found: Vec<(u32, u64)> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for process in processes.iter().filter(|process| process.parent == parent) {
            found.push((process.pid, process.started));
            parents.push(process.pid);
        }
    }
    found
}

fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.started)
}

struct Stat {
    pid: u32,
    parent: u32,
    started: u64,
}

/// Fields 4 and 22 of `/proc/PID/stat`, see proc(5); counted after the command name, which may hold spaces and brackets.
fn stat(pid: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { pid, parent, started })
}
