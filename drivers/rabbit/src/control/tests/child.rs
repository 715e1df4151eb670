//! Runs a test of this binary as a child process, so that an abort is an outcome.

use std::{
    fs::File,
    io::{Read, Seek},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::lapin_internals::IO_THREAD;

const LIMIT: Duration = Duration::from_secs(60);
const SIGABRT: i32 = 6;

/// A child process, killed on drop.
pub(super) struct Process {
    child: Child,
    output: File,
}

impl Process {
    /// Starts the ignored test at `path` below `control::tests`, with these environment variables.
    pub(super) fn start(path: &str, environment: &[(&str, String)]) -> Self {
        // The test harness names tests without the crate and this module.
        let tests = module_path!().strip_suffix("::child").unwrap().split_once("::").unwrap().1;
        let output = tempfile::tempfile().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("{tests}::{path}"), "--ignored", "--nocapture", "--test-threads=1"])
            .envs(environment.iter().map(|(key, value)| (*key, value.as_str())))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output.try_clone().unwrap())
            .spawn()
            .unwrap();
        Self { child, output }
    }

    /// Waits for a child whose test must pass.
    pub(super) fn passes(mut self) {
        let status = self.wait();
        let output = self.printed();
        assert!(status.success() && output.contains("1 passed"), "{status}: {output}");
    }

    /// Waits for a child that must abort over lapin's stack.
    pub(super) fn aborts(mut self) {
        let status = self.wait();
        let output = self.printed();
        assert_eq!(status.signal(), Some(SIGABRT), "{status}: {output}");
        assert!(output.contains(IO_THREAD) && output.contains("overflowed its stack"), "{output}");
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the child did not end within {LIMIT:?}: {}", self.printed());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn printed(&mut self) -> String {
        let mut text = String::new();
        self.output.rewind().unwrap();
        self.output.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
