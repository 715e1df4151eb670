//! Counts the instructions of this program with callgrind.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::paths::Path;

/// The command that callgrind runs.
pub(crate) const RUN: &str = "run";

/// How often a path is executed in the shorter run; twice as often in the longer one. Setup and teardown are the same in
/// both, so the difference is the cost of the path alone.
const TIMES: usize = 500;

/// Instructions per execution of the path.
pub(crate) fn count(path: Path, doubled: bool) -> anyhow::Result<f64> {
    let times = if doubled { 2 * TIMES } else { TIMES };
    let (short, long) = (instructions(path, times)?, instructions(path, 2 * times)?);
    Ok((long - short) / TIMES as f64)
}

/// The total instructions of a run.
fn instructions(path: Path, times: usize) -> anyhow::Result<f64> {
    let own = std::env::current_exe()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(own)
        .args([RUN, path.name(), &times.to_string()])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        // The C library selects copy routines by processor features; disabling them makes all processors use the same.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX2_Usable,-ERMS,-FSRM")
        .output()
        .context("cannot start valgrind (Debian: apt-get install valgrind; tests/run does it)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} under valgrind ended with {}: {said}", path.name(), output.status);
    let counts = std::fs::read_to_string(&file).with_context(|| format!("callgrind wrote no counts: {said}"))?;
    let total =
        counts.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    Ok(total.context("callgrind's counts have no total")?.trim().parse()?)
}
