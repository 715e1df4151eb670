//! Rows 3, 4 and 42: what a network does to connections.

use std::time::Duration;

use oxlo::{AckPolicy, CallError};
use oxlo_test_support::{Direction, Event, FaultProxy, Hangup, Mode, TestVhost};
use tokio::time::{Instant, sleep};

use crate::kit::{SECOND, SOON, Stage, refusal, state};

const HEARTBEAT: &str = "?heartbeat_timeout_threshold=2";

/// A server that is reached directly and a caller behind a proxy.
async fn behind_proxy() -> (TestVhost, FaultProxy, Stage) {
    let vhost = TestVhost::new().await;
    let proxy = FaultProxy::start(vhost.port()).await;
    let client = proxy.url(&vhost.url()) + HEARTBEAT;
    let stage = Stage::with(&vhost, &vhost.url(), &client, AckPolicy::BeforeDispatch).await;
    (vhost, proxy, stage)
}

/// The route is lost in some way: calls end by their own timeout, the dead peer is noticed within two heartbeats, and
/// service is back when the route is.
async fn lost_route(mode: Mode) {
    let (_vhost, proxy, stage) = behind_proxy().await;
    let traffic = stage.caller.traffic(4, SECOND);
    sleep(Duration::from_millis(200)).await;
    stage.history.record(Event::Disrupted);
    proxy.set(mode).await;
    let begun = Instant::now();
    state(&stage.client, "disconnected").await;
    let noticed = begun.elapsed();
    println!("figures: frozen peer ({mode:?}) noticed after {:.2} heartbeats of 2 s", noticed.as_secs_f64() / 2.0);
    // Where we hear the broker and it does not hear us, it is the broker that notices: it looks once per heartbeat.
    let limit = if mode == Mode::BlackholeOne(Direction::Up) { 6500 } else { 4500 };
    assert!(noticed < Duration::from_millis(limit), "noticed after {noticed:?} with a heartbeat of 2 s");
    let ended = refusal(&stage.caller).await;
    assert!(matches!(ended, CallError::Unreachable { .. }) && !ended.may_have_run(), "{ended}");
    proxy.set(Mode::Pass).await;
    stage.caller.resumes(6 * SECOND).await;
    traffic.stop().await;
    let summary = stage.close().await;
    assert!(summary.unknown > 0, "calls were under way: {summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_03_blackhole() {
    lost_route(Mode::Blackhole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_03_blackhole_towards_the_broker() {
    lost_route(Mode::BlackholeOne(Direction::Up)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_03_blackhole_towards_the_client() {
    lost_route(Mode::BlackholeOne(Direction::Down)).await;
}

/// Connections end again and again under traffic.
async fn hang_ups(how: Hangup) {
    let (_vhost, proxy, stage) = behind_proxy().await;
    let traffic = stage.caller.traffic(4, 5 * SECOND);
    for _ in 0..3 {
        sleep(Duration::from_millis(1100)).await;
        stage.history.record(Event::Disrupted);
        proxy.hang_up(how);
        stage.caller.resumes(SECOND).await;
    }
    traffic.stop().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_reset() {
    hang_ups(Hangup::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_fin() {
    hang_ups(Hangup::Fin).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_one_byte_segments() {
    let (_vhost, proxy, stage) = behind_proxy().await;
    proxy.set(Mode::OneByte).await;
    proxy.hang_up(Hangup::Reset);
    stage.history.record(Event::Disrupted);
    stage.caller.resumes(10 * SECOND).await;
    for _ in 0..5 {
        stage.caller.call(0, SOON).await.unwrap();
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_slow_drip() {
    let (_vhost, proxy, stage) = behind_proxy().await;
    proxy.set(Mode::Throttle(4000)).await;
    for _ in 0..3 {
        stage.caller.call(0, SOON).await.unwrap();
    }
    stage.close().await;
}

/// The connection ends after each of many numbers of bytes, so that some end within a frame of every kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_cut_within_frames() {
    let (_vhost, proxy, stage) = behind_proxy().await;
    let traffic = stage.caller.traffic(2, 3 * SECOND);
    for bytes in [1, 7, 9, 300, 511, 900, 1500, 2100] {
        let direction = if bytes % 2 == 0 { Direction::Up } else { Direction::Down };
        stage.history.record(Event::Disrupted);
        proxy.set(Mode::Cut { direction, bytes, hangup: Hangup::Reset }).await;
        state(&stage.client, "disconnected").await;
        stage.history.record(Event::Disrupted);
        proxy.set(Mode::Pass).await;
        stage.caller.resumes(3 * SECOND).await;
        // A connection that lasted less than a second counts as a failed attempt, and the next pause is longer.
        sleep(Duration::from_millis(1100)).await;
    }
    traffic.stop().await;
    stage.close().await;
}

/// The kernel has no netem, so the proxy delays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_42_latency() {
    let (_vhost, proxy, stage) = behind_proxy().await;
    proxy.set(Mode::Delay(Duration::from_millis(25))).await;
    let begun = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let caller = stage.caller.clone();
        calls.spawn(async move { caller.call(0, SOON).await });
    }
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap();
    }
    let took = begun.elapsed();
    assert!(took < SECOND, "50 calls at once over 50 ms there and back took {took:?}");
    stage.close().await;
}
