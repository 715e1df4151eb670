//! Rows 3, 4 and 42: network faults.

use std::time::Duration;

use oxlo::AckPolicy;
use oxlo_faults_kit::{
    SECOND, SOON, Stage,
    rows::network::{self, SETTLED},
    state,
};
use oxlo_test_support::{Direction, Event, FaultProxy, Hangup, Mode, TestVhost};
use tokio::time::{Instant, sleep};

use crate::scene::stage_with;

const HEARTBEAT: &str = "?heartbeat_timeout_threshold=2";

/// A directly connected server and a caller behind a proxy.
async fn behind_proxy() -> (TestVhost, FaultProxy, Stage) {
    let vhost = TestVhost::new().await;
    let proxy = FaultProxy::start(vhost.port()).await;
    let client = proxy.url(&vhost.url()) + HEARTBEAT;
    let stage = stage_with(&vhost, &vhost.url(), &client, AckPolicy::BeforeDispatch).await;
    (vhost, proxy, stage)
}

async fn lost_route(mode: Mode) {
    let (_vhost, proxy, stage) = behind_proxy().await;
    // The broker looks once per heartbeat.
    network::lost_route(proxy, stage, mode, Duration::from_millis(6500)).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_reset() {
    let (_vhost, proxy, stage) = behind_proxy().await;
    network::hang_ups(proxy, stage, Hangup::Reset, SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_fin() {
    let (_vhost, proxy, stage) = behind_proxy().await;
    network::hang_ups(proxy, stage, Hangup::Fin, SECOND).await;
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
        sleep(SETTLED).await;
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
    let mut calls = stage.caller.spawn_calls(50, 0, SOON);
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap();
    }
    stage.lag.in_time("50 calls at once over 50 ms there and back", begun.elapsed(), SECOND);
    stage.close().await;
}
