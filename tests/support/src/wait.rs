//! Waiting for a condition, with a deadline.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(20);

/// Calls `probe` every 20 ms until `accept` holds for its value, and returns that value.
///
/// `what` names the awaited condition in the words of the test, for example `"the reply queue is gone"`.
///
/// # Panics
///
/// Once `limit` has passed, naming `what` and the last value seen. A probe that hangs longer than the rest of `limit` counts as
/// passed time and panics too.
pub async fn eventually<T: Debug>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> T,
    accept: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + limit;
    let mut last: Option<T> = None;
    loop {
        match tokio::time::timeout_at(deadline, probe()).await {
            Ok(value) if accept(&value) => return value,
            Ok(value) => last = Some(value),
            Err(_) => panic!("not within {limit:?}: {what}; the last probe did not return; value before it: {last:?}"),
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}; last value: {last:?}");
        sleep(PAUSE).await;
    }
}
