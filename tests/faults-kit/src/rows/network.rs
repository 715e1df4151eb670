//! Network faults.

use std::time::Duration;

use oxlo::{CallError, TransportError};
use oxlo_test_support::{Direction, Event, FaultProxy, Hangup, Mode, eventually};
use tokio::time::{Instant, sleep};

use super::broker::noticed;
use crate::{SECOND, SOON, Stage, state};

/// A connection that lasted less than a second counts as a failed attempt and increases the backoff.
pub const SETTLED: Duration = Duration::from_millis(1100);

/// Row 3: the caller loses its route in one of several ways. Calls end by their own timeout, the dead peer is detected within two
/// heartbeats of 2 s, and service is restored with the route. If only the direction to the broker is lost, the broker detects it,
/// within `brokers`.
pub async fn lost_route(proxy: FaultProxy, stage: Stage, mode: Mode, brokers: Duration) {
    let traffic = stage.caller.traffic(4, SECOND);
    sleep(Duration::from_millis(200)).await;
    stage.history.record(Event::Disrupted);
    proxy.set(mode).await;
    let begun = Instant::now();
    state(&stage.client, "disconnected").await;
    let ours = Duration::from_millis(4500);
    let limit = if mode == Mode::BlackholeOne(Direction::Up) { brokers } else { ours };
    noticed(&format!("frozen peer ({mode:?})"), begun.elapsed(), &stage, limit);
    let ended = stage.caller.refusal().await;
    assert!(matches!(ended, CallError::Transport { error: TransportError::Unreachable { .. }, .. }), "{ended}");
    proxy.set(Mode::Pass).await;
    stage.caller.resumes(6 * SECOND).await;
    traffic.stop().await;
    let summary = stage.close().await;
    assert!(summary.unknown > 0, "calls were under way: {summary:?}");
}

/// Row 4: the caller's connections end repeatedly under traffic. Service is restored `within`, on new connections.
pub async fn hang_ups(proxy: FaultProxy, stage: Stage, how: Hangup, within: Duration) {
    let traffic = stage.caller.traffic(4, 5 * SECOND);
    for _ in 0..3 {
        sleep(SETTLED).await;
        let before = proxy.connections();
        stage.history.record(Event::Disrupted);
        stage.history.record(Event::Healed { within });
        let since = Instant::now();
        proxy.hang_up(how);
        // A call that succeeds before the hang-up takes effect proves nothing.
        eventually(SOON, "it connects anew", async || proxy.connections(), |now| *now > before).await;
        stage.caller.resumes_since(since, within).await;
    }
    traffic.stop().await;
    stage.close().await;
}
