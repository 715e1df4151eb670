//! Rows 3, 4 and 42: what a network does to connections.

use std::time::Duration;

use oxlo::{AckPolicy, CallError};
use oxlo_test_support::{Broker, Direction, Event, FaultProxy, Hangup, Mode, Rules, TestVhost, eventually};
use tokio::time::{Instant, sleep};

use crate::{
    kit::{Caller, SECOND, SOON, ran, state},
    stage::{BACK, Stage, rabbitmq, url_of},
};

/// A server that is reached directly and a caller behind a proxy, silent for at most 2 s in either direction.
async fn behind_proxy() -> (Broker, FaultProxy, Stage) {
    let broker = rabbitmq().await;
    let proxy = FaultProxy::start(broker.port()).await;
    let client = proxy.url(&url_of(&broker)) + "?idle_timeout=2";
    let stage = Stage::with(&url_of(&broker), &client, AckPolicy::BeforeDispatch).await;
    (broker, proxy, stage)
}

/// The route is lost in some way: calls end by their own timeout, the dead peer is noticed, and service is back when the
/// route is.
async fn lost_route(mode: Mode) {
    let (_broker, proxy, stage) = behind_proxy().await;
    let traffic = stage.caller.traffic(4, SECOND);
    sleep(Duration::from_millis(200)).await;
    stage.history.record(Event::Disrupted);
    proxy.set(mode).await;
    let begun = Instant::now();
    state(&stage.client, "disconnected").await;
    let noticed = begun.elapsed();
    println!("figures: frozen peer ({mode:?}) noticed after {:.2} times the 2 s", noticed.as_secs_f64() / 2.0);
    // Where we hear the broker and it does not hear us, it is the broker that notices, in its own time.
    let limit = if mode == Mode::BlackholeOne(Direction::Up) { 16_000 } else { 4500 };
    assert!(noticed < Duration::from_millis(limit), "noticed after {noticed:?} with a limit of 2 s");
    // The two connections do not notice it in the same moment.
    let refused = async || stage.caller.call(0, Duration::from_millis(500)).await.unwrap_err();
    let ended = eventually(SOON, "calls are refused", refused, |error| !error.may_have_run()).await;
    assert!(matches!(ended, CallError::Unreachable { .. }), "{ended}");
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
    let vhost = TestVhost::new().await;
    let proxy = FaultProxy::start(vhost.port()).await;
    let stage = Stage::with(&vhost.amqp1_url(), &proxy.url(&vhost.amqp1_url()), AckPolicy::BeforeDispatch).await;
    let traffic = stage.caller.traffic(4, 5 * SECOND);
    for _ in 0..3 {
        // A connection that lasted less than a second counts as a failed attempt.
        sleep(Duration::from_millis(1100)).await;
        stage.history.record(Event::Disrupted);
        proxy.hang_up(how);
        stage.caller.resumes(BACK).await;
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

/// The server of a call loses its connection while the method runs. It has accepted nothing, so the broker delivers the call
/// again, to the same server; it runs once, and the reply comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_a_call_that_comes_twice_runs_once() {
    let vhost = TestVhost::new().await;
    let proxy = FaultProxy::start(vhost.port()).await;
    let stage = Stage::with(&proxy.url(&vhost.amqp1_url()), &vhost.amqp1_url(), AckPolicy::AfterReply).await;
    sleep(Duration::from_millis(1100)).await;
    let id = Caller::fresh_id();
    let (caller, its) = (stage.caller.clone(), id.clone());
    let call = tokio::spawn(async move { caller.call_as("echo", &its, 4000, SOON).await });
    ran(&stage.history, &id).await;
    stage.history.record(Event::Disrupted);
    proxy.hang_up(Hangup::Reset);
    call.await.unwrap().unwrap();
    let left = async || vhost.queues().await.iter().map(|queue| queue.messages).sum::<u64>();
    eventually(SOON, "both deliveries are settled", left, |messages| *messages == 0).await;
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}

/// The connection ends after each number of bytes once, within every frame of the handshake and of the first call: every
/// cut ends in an error or a reply, and the next connection works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_04_cut_within_frames() {
    let vhost = TestVhost::new().await;
    let proxy = FaultProxy::start(vhost.port()).await;
    let stage = Stage::with(&vhost.amqp1_url(), &proxy.url(&vhost.amqp1_url()), AckPolicy::BeforeDispatch).await;
    for bytes in (1..2400).step_by(97) {
        stage.history.record(Event::Disrupted);
        proxy.set(Mode::Cut { direction: Direction::Down, bytes, hangup: Hangup::Reset }).await;
        let ended = stage.caller.call(0, Duration::from_millis(700)).await;
        println!(
            "cut after {bytes} bytes: {}",
            ended.map_or_else(|error| error.to_string(), |()| "replied".to_owned())
        );
    }
    proxy.set(Mode::Pass).await;
    stage.caller.resumes(SOON).await;
    stage.close().await;
}
