//! Runs the check with the counts of this build as the baseline.
#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Command};

/// Runs the program; returns whether it succeeded, and its output.
fn guard(command: &str, baseline: &Path, further: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_oxlo-hot-paths"))
        .args([command, "--only", "encode_reply", "--baseline"])
        .arg(baseline)
        .args(further)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.into_owned())
}

#[test]
fn the_same_work_passes_and_twice_the_work_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let baseline = folder.path().join("baseline.json");
    let (renewed, said) = guard("renew", &baseline, &[]);
    assert!(renewed, "{said}");
    let (same, said) = guard("check", &baseline, &[]);
    assert!(same && said.contains("encode_reply"), "{said}");
    let (doubled, said) = guard("check", &baseline, &["--doubled"]);
    assert!(!doubled && said.contains("2.000 x the baseline") && said.contains("-- renew"), "{said}");
}
