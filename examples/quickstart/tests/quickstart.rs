//! The quickstart runs, and prints what it is there to show.
#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_quickstart_shows_what_it_promises() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    for wanted in [
        "1 + 2 = 3",
        "40 + 2 = 42",
        "as a Rust type: OutOfRange { limit: 1000 }",
        "nobody listens on abacus",
        "no reply within 300ms (may have run: true)",
        r#"abandoned ["sleep"]"#,
    ] {
        assert!(told.contains(wanted), "`{wanted}` is missing in:\n{told}");
    }
}
