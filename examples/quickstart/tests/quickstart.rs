//! Runs the quickstart and checks its output.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_quickstart_prints_every_step() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().unwrap();
    let output_text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{output_text}{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "1 + 2 = 3",
        "40 + 2 = 42",
        "as a Rust type: OutOfRange { limit: 1000 }",
        "nobody listens on abacus",
        "no reply within 300ms (may have run: true)",
        r#"abandoned ["sleep"]"#,
    ] {
        assert!(output_text.contains(expected), "`{expected}` is missing in:\n{output_text}");
    }
}
