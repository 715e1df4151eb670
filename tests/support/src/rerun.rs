//! Running one test of this binary again, in a process of its own.

use std::process::{Command, Output};

/// Set in a process that runs one test alone.
const ALONE: &str = "OXLO_TEST_ALONE";

/// Runs the rest of a test in a process of its own, for tests that install a subscriber or a recorder, or read the whole log.
///
/// The argument is the test's function, so that it can be found again. cargo-nextest gives every test a process. Under
/// `cargo test` the binary is run again for this test, and the first process only waits for the verdict.
///
/// ```ignore
/// #[tokio::test]
/// async fn the_log_has_no_password() {
///     own_process!(the_log_has_no_password);
///     tracing_subscriber::fmt().init();
/// }
/// ```
#[macro_export]
macro_rules! own_process {
    ($test:ident) => {
        if !$crate::runs_alone(concat!(module_path!(), "::", stringify!($test))) {
            return;
        }
    };
}

/// Whether this process runs one test only. If not, runs `test`, a path that begins with the crate, in a process of its own.
///
/// # Panics
///
/// When the test fails there, with its output, or when there is no such test.
#[must_use]
pub fn runs_alone(test: &str) -> bool {
    let by_nextest = std::env::var_os("NEXTEST_EXECUTION_MODE").is_some_and(|mode| mode == "process-per-test");
    if by_nextest || std::env::var_os(ALONE).is_some() {
        return true;
    }
    let (_, test) = test.split_once("::").unwrap_or_else(|| panic!("{test} is not the path of a test"));
    let (passed, printed) = rerun(test, ALONE, "1");
    assert!(passed, "{test} failed in a process of its own:\n{printed}");
    false
}

/// Runs a test again with the driver's part `broken` disabled (`OXLO_SABOTAGE`). Returns its output if it failed, `None`
/// if it passed.
///
/// # Panics
///
/// When there is no such test.
#[must_use]
pub fn verdict(test: &str, broken: &str) -> Option<String> {
    let (passed, printed) = rerun(test, "OXLO_SABOTAGE", broken);
    (!passed).then_some(printed)
}

/// Whether the test passed with this variable in its environment, and its output.
fn rerun(test: &str, variable: &str, value: &str) -> (bool, String) {
    let binary = std::env::current_exe().unwrap_or_else(|error| panic!("this binary has no path: {error}"));
    let output = Command::new(binary)
        .args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(variable, value)
        .output();
    let Output { status, stdout, stderr } =
        output.unwrap_or_else(|error| panic!("{test} cannot be run again: {error}"));
    let printed = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(printed.contains("running 1 test"), "{test} did not run again:\n{printed}");
    (status.success(), printed)
}
