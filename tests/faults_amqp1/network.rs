//! Rows 3 and 4: network faults.

use std::time::Duration;

use oxlo::AckPolicy;
use oxlo_faults_kit::{
    SOON, Stage, ran,
    rows::network::{self, SETTLED},
};
use oxlo_test_support::{Direction, Event, FaultProxy, Hangup, Mode, Rules, TestVhost, eventually};
use tokio::time::sleep;

use crate::{BACK, rabbitmq, url_of};

/// A directly connected server and a caller behind a proxy, with an idle timeout of 2 s in both directions.
async fn lost_route(mode: Mode) {
    let broker = rabbitmq().start().await;
    let proxy = FaultProxy::start(broker.port()).await;
    let client = proxy.url(&url_of(&broker)) + "?idle_timeout=2";
    let stage = Stage::with(&url_of(&broker), &client, AckPolicy::BeforeDispatch).await;
    network::lost_route(proxy, stage, mode, Duration::from_secs(16)).await;
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

async fn hang_ups(how: Hangup) {
    let vhost = TestVhost::new().await;
    let proxy = FaultProxy::start(vhost.port()).await;
    let stage = Stage::with(&vhost.amqp1_url(), &proxy.url(&vhost.amqp1_url()), AckPolicy::BeforeDispatch).await;
    network::hang_ups(proxy, stage, how, BACK).await;
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
    sleep(SETTLED).await;
    let (call, id) = stage.caller.spawn_call(4000, SOON);
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
