//! Rows 1, 2 and 11: faults of the broker itself.

use std::time::Duration;

use oxlo::{CallError, Context, RPCClient, Target, TransportError};
use oxlo_faults_kit::{
    SECOND, SOON, Stage, leave_queue,
    rows::broker::{alarm, frozen, killed, started_again},
};
use oxlo_test_support::{Amqp1Broker, Amqp1Product};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{BACK, rabbitmq, url_of};

/// Calls only: the queues of casts do not survive the broker, confirmed or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_broker_sigkill_and_restart() {
    let broker = rabbitmq().start().await;
    let stage = Stage::on(&url_of(&broker)).await;
    let mut calls = stage.caller.spawn_calls(20, 2000, 60 * SECOND);
    sleep(Duration::from_millis(500)).await;
    killed(&broker, &stage).await;
    started_again(&broker, &stage, BACK).await;
    // Their reply queue is a new one, so they do not wait for replies in the old one. If the server reconnected first, its
    // replies have created the queue.
    let ended = Instant::now();
    while let Some(call) = calls.join_next().await {
        let Err(error) = call.unwrap() else { continue };
        assert!(
            matches!(
                error,
                CallError::Transport { error: TransportError::ReplyLost { .. }, .. }
                    | CallError::Transport { error: TransportError::ConnectionLost { .. }, .. }
            ),
            "{error}"
        );
        assert!(error.may_have_run());
    }
    assert!(ended.elapsed() < SOON, "calls waited for a queue that was gone: {:?}", ended.elapsed());
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_02_broker_frozen_and_thawed() {
    let broker = rabbitmq().start().await;
    let stage = Stage::on(&(url_of(&broker) + "?idle_timeout=2")).await;
    frozen(&broker, stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_memory_alarm_on_rabbitmq_4() {
    let broker = Amqp1Broker::start(Amqp1Product::RabbitMq4).await;
    let stage = Stage::on(&broker.url()).await;
    // RabbitMQ 4 may take one round of its monitor, 2.5 s, to notice that memory is free again.
    alarm(stage, 500, false, BACK + 4 * SECOND, async |up| {
        broker.ctl(&["set_vm_memory_high_watermark", if up { "0.00001" } else { "0.6" }]).await;
    })
    .await;
}

/// A full queue rejects messages, and the sender gets an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_a_full_queue() {
    let broker = Amqp1Broker::start(Amqp1Product::RabbitMq4).await;
    let full = r#"{"max-length": 1, "overflow": "reject-publish"}"#;
    broker.ctl(&["set_policy", "full", "^unicast", full, "--apply-to", "queues"]).await;
    let transport = oxlo::connect(broker.url()).await.unwrap();
    let target = Target::topic("nobody");
    leave_queue(&transport, target.clone().server("one")).await;
    let client = RPCClient::new(transport.clone(), target);
    let cast = async || client.cast(&Context::new(), "store", json!({})).await;
    cast().await.unwrap();
    let error = cast().await.unwrap_err();
    assert!(matches!(error, CallError::Transport { error: TransportError::Rejected { .. }, .. }), "{error:?}");
    transport.close().await;
}

/// A broker that has used up a queue's memory stops confirming: nothing hangs, and each send ends within its timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_a_broker_that_confirms_nothing_more() {
    let broker = Amqp1Broker::start(Amqp1Product::ActiveMq).await;
    let transport = oxlo::connect(broker.url()).await.unwrap();
    let client = RPCClient::new(transport.clone(), Target::topic("full").server("one")).prepare().timeout(SECOND);
    let big = "x".repeat(100_000);
    // The first one may be slow.
    client.prepare().timeout(SOON).cast(&Context::new(), "store", json!({"big": big})).await.unwrap();
    let mut taken = 1;
    let error = loop {
        let sent = Instant::now();
        match client.cast(&Context::new(), "store", json!({"big": big})).await {
            Ok(()) => taken += 1,
            Err(error) => {
                assert!(sent.elapsed() < 5 * SECOND, "{:?}", sent.elapsed());
                break error;
            }
        }
        assert!(taken < 200, "the broker takes everything");
    };
    assert!(
        matches!(error, CallError::Transport { error: TransportError::Unconfirmed { .. }, .. }) && error.may_have_run(),
        "{error:?}"
    );
    // Other addresses are unaffected.
    let other = RPCClient::new(transport.clone(), Target::topic("empty").server("one"));
    other.cast(&Context::new(), "store", json!({})).await.unwrap();
    transport.close().await;
}
