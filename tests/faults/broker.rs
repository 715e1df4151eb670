//! Rows 1, 2, 7 and 11: faults of the broker itself.

use std::time::Duration;

use oxlo::AckPolicy;
use oxlo_faults_kit::{
    SECOND, SOON,
    rows::broker::{alarm, frozen, killed, started_again},
};
use oxlo_test_support::{Broker, Event, Rules, eventually};
use tokio::time::sleep;

use crate::scene::{stage_on, stage_with};

/// Limit from the opening of the broker's port, or the end of the alarm, to the first successful call.
const BACK: Duration = SECOND;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_broker_sigkill_and_restart() {
    let broker = Broker::start().await;
    // Confirmed and kept are the same for durable queues only.
    let stage = stage_on(&broker, &(broker.url() + "?amqp_durable_queues=true")).await;
    let traffic = stage.caller.traffic(4, 30 * SECOND);
    sleep(Duration::from_millis(500)).await;
    killed(&broker, &stage).await;
    started_again(&broker, &stage, BACK).await;
    traffic.stop().await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_02_broker_frozen_and_thawed() {
    let broker = Broker::start().await;
    let stage = stage_on(&broker, &(broker.url() + "?heartbeat_timeout_threshold=2")).await;
    frozen(&broker, stage).await;
}

/// A method that takes longer than the broker's limit for acknowledgements: the broker closes the channel and delivers
/// again, and the method runs once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_07_delivery_ack_timeout() {
    // The broker looks once per tick.
    let broker = Broker::start().await;
    let limits =
        "application:set_env(rabbit, consumer_timeout, 1000), application:set_env(rabbit, channel_tick_interval, 500).";
    broker.control().eval::<String>(limits).await;
    let stage = stage_with(&broker, &broker.url(), &broker.url(), AckPolicy::AfterReply).await;
    let (call, _) = stage.caller.spawn_call(6000, SOON);
    let closed = async || broker.log().contains("delivery acknowledgement");
    eventually(SOON, "the broker closes the channel", closed, |closed| *closed).await;
    stage.history.record(Event::Disrupted);
    call.await.unwrap().unwrap();
    stage.caller.resumes(SECOND).await;
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_memory_alarm() {
    let broker = Broker::start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    alarm(stage, 2000, true, BACK, async |up| broker.set_memory_alarm(up).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_disk_alarm() {
    let broker = Broker::start().await;
    let stage = stage_on(&broker, &broker.url()).await;
    alarm(stage, 2000, true, BACK, async |up| broker.set_disk_alarm(up).await).await;
}
