//! Waiting for a condition, with a deadline.

use std::{fmt::Debug, net::Ipv4Addr, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

const PAUSE: Duration = Duration::from_millis(20);

/// Calls `probe` every 20 ms until `accept` holds for its value, and returns that value.
///
/// `what` names the awaited condition in the failure message, for example `"the reply queue is gone"`.
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

/// The value of `probe` once it is `fine`, or the last one after `limit`, for callers that assert on it themselves.
pub async fn settled<T>(limit: Duration, mut probe: impl AsyncFnMut() -> T, fine: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + limit;
    loop {
        let value = probe().await;
        if fine(&value) || Instant::now() > deadline {
            return value;
        }
        sleep(PAUSE).await;
    }
}

/// Waits until a port of 127.0.0.1 accepts connections, and returns that time, to a few milliseconds.
///
/// # Panics
///
/// When it takes more than two minutes.
pub async fn port_opens(port: u16) -> Instant {
    let deadline = Instant::now() + Duration::from_secs(120);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        assert!(Instant::now() < deadline, "port {port} did not open");
        sleep(Duration::from_millis(2)).await;
    }
    Instant::now()
}
