//! Resources that this process holds, for tests that check for leaks.

use std::fs;

/// Resources counted before and after a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Tasks of the current runtime that have not ended.
    pub tasks: u64,
    /// Threads started by lapin.
    pub io_threads: u64,
    /// Open sockets.
    pub sockets: u64,
}

impl Footprint {
    /// Counts the resources now.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn now() -> Self {
        Self {
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64,
            io_threads: io_threads(),
            sockets: sockets(),
        }
    }

    /// Whether no count exceeds that of `other`.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        self.tasks <= other.tasks && self.io_threads <= other.io_threads && self.sockets <= other.sockets
    }
}

/// How many threads lapin has started in this process and not ended.
#[must_use]
pub fn io_threads() -> u64 {
    let names = fs::read_dir("/proc/self/task").expect("Linux has /proc").flatten();
    let lapins = |name: String| name.starts_with("lapin");
    names.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(lapins)).count() as u64
}

fn sockets() -> u64 {
    let open = fs::read_dir("/proc/self/fd").expect("Linux has /proc").flatten();
    let socket =
        |fd: &fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
    open.filter(socket).count() as u64
}

/// Resident memory of this process in bytes.
#[must_use]
pub fn resident() -> u64 {
    status("VmRSS:")
}

/// The most memory that this process ever had resident, in bytes.
#[must_use]
pub fn peak_resident() -> u64 {
    status("VmHWM:")
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the kernel tells it");
    let kibibytes: u64 = line.split_whitespace().nth(1).and_then(|count| count.parse().ok()).expect("a number");
    kibibytes * 1024
}
