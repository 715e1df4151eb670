//! Running a test again with a driver that is broken on purpose.

use std::process::Command;

/// Runs a test of this binary again, in a process of its own, with the driver's part `broken` broken (`OXLO_SABOTAGE`).
/// Returns what it printed if it failed, `None` if it passed.
///
/// # Panics
///
/// When there is no such test.
#[must_use]
pub fn verdict(test: &str, broken: &str) -> Option<String> {
    let binary = std::env::current_exe().unwrap_or_else(|error| panic!("this binary has no path: {error}"));
    let output = Command::new(binary)
        .args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env("OXLO_SABOTAGE", broken)
        .output()
        .unwrap_or_else(|error| panic!("{test} cannot be run again: {error}"));
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(printed.contains("running 1 test"), "{printed}");
    (!output.status.success()).then_some(printed)
}
