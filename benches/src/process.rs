//! Worker processes, and the resources they use according to the kernel.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::worker::{Order, Outcome, Side, Spread};

/// How long a worker may take to start, and to answer after the end of a run.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The unit of processor time in `/proc`, in Hz, independent of the kernel's tick (`sysconf(_SC_CLK_TCK)` on Linux).
const TICK: f64 = 0.01;

/// The program to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// This program, as a peer.
    Rust(&'static str),
    /// `benches/peers/NAME.py`
    Python(&'static str),
}

/// A worker. It exits when its input is closed, which happens when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    name: String,
}

impl Worker {
    /// Starts a worker and waits until it is ready. `build` is the executable for Rust programs.
    pub(crate) async fn start(
        program: Program,
        build: &Path,
        side: Side,
        url: &str,
        topic: &str,
        spread: Spread,
    ) -> anyhow::Result<Self> {
        let side = match side {
            Side::Client => "client",
            Side::Server => "server",
        };
        let (mut command, name) = match program {
            Program::Rust(peer) => {
                let mut command = Command::new(build);
                command.args(["worker", side, peer]);
                for (option, count) in [("--topics", spread.topics), ("--servers", spread.servers)] {
                    if count != 1 {
                        command.args([option, &count.to_string()]);
                    }
                }
                (command, format!("{peer} {side}"))
            }
            Program::Python(script) => {
                let python = repository().join(".build/venv/bin/python");
                if !python.exists() {
                    bail!("{} is missing: run ./tests/run to create it with oslo.messaging", python.display());
                }
                let mut command = Command::new(python);
                // Suppress the warnings of its libraries.
                command.args(["-W", "ignore"]);
                command.arg(repository().join(format!("benches/peers/{script}.py")));
                (command, format!("{script}.py"))
            }
        };
        command.args(["--url", url, "--topic", topic]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{name} has no pipes");
        };
        let mut worker = Self { child, input, output: BufReader::new(output).lines(), name };
        let ready = worker.line(TIMEOUT).await?;
        if ready.get("ready") != Some(&Value::Bool(true)) {
            bail!("{} printed {ready} instead of its ready line", worker.name);
        }
        Ok(worker)
    }

    pub(crate) async fn run(&mut self, order: Order) -> anyhow::Result<Outcome> {
        let line = serde_json::to_string(&order)? + "\n";
        self.input.write_all(line.as_bytes()).await?;
        let answer = self.line(TIMEOUT + Duration::from_secs_f64(order.seconds)).await?;
        let outcome: Outcome = serde_json::from_value(answer)?;
        if outcome.errors > 0 {
            bail!("{} had {} errors, see above", self.name, outcome.errors);
        }
        Ok(outcome)
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has exited", self.name))
    }

    async fn line(&mut self, limit: Duration) -> anyhow::Result<Value> {
        let line = timeout(limit, self.output.next_line())
            .await
            .with_context(|| format!("{} did not answer within {limit:?}", self.name))??
            .with_context(|| format!("{} exited, see above", self.name))?;
        serde_json::from_str(&line).with_context(|| format!("{} printed `{line}`", self.name))
    }
}

/// The processor time used by all threads of a process so far, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    // User and system time.
    Ok((stat_field(pid, 14)? + stat_field(pid, 15)?) * TICK)
}

/// A numeric field of `/proc/PID/stat`, by its number in proc(5), from 3.
fn stat_field(pid: u32, number: usize) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses and may contain spaces.
    let after_name = stat.rsplit_once(')').context("no name in stat")?.1;
    let field = after_name.split_ascii_whitespace().nth(number - 3).context("a short stat")?;
    Ok(field.parse()?)
}

/// A process and its running descendants.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let running = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids: Vec<u32> = running.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let parents: Vec<(u32, f64)> =
        pids.into_iter().filter_map(|pid| stat_field(pid, 4).ok().map(|parent| (pid, parent))).collect();
    let mut family = vec![root];
    let mut place = 0;
    while let Some(&parent) = family.get(place) {
        family.extend(parents.iter().filter(|(_, of)| *of == f64::from(parent)).map(|(pid, _)| pid));
        place += 1;
    }
    family
}

/// Resets [`peak_memory`].
pub(crate) fn forget_peak_memory(pid: u32) -> anyhow::Result<()> {
    // proc(5): writing 5 resets the peak only.
    Ok(std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// The peak resident memory of a process, in MiB.
pub(crate) fn peak_memory(pid: u32) -> anyhow::Result<f64> {
    status_field(pid, "VmHWM:")
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident_memory(pid: u32) -> anyhow::Result<f64> {
    Ok(status_field(pid, "VmRSS:")? * 1024.0 * 1024.0)
}

fn status_field(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}
