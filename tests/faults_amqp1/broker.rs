//! Rows 1, 2 and 11: what a broker goes through.

use std::{net::TcpStream, time::Duration};

use oxlo::{CallError, Context, RPCClient, RPCServer, Target};
use oxlo_test_support::{Amqp1Broker, Amqp1Product, Event, History, eventually};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    kit::{Caller, SECOND, SOON, ran, service, state},
    stage::{BACK, Stage, rabbitmq, url_of},
};

/// Waits until the port takes connections.
async fn port_opens(port: u16) -> Instant {
    let poll = move || {
        let give_up = std::time::Instant::now() + Duration::from_secs(90);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < give_up, "port {port} did not open");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    tokio::task::spawn_blocking(poll).await.unwrap();
    Instant::now()
}

/// Calls only: the queues of casts go with the broker, confirmed or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_broker_sigkill_and_restart() {
    let broker = rabbitmq().await;
    let stage = Stage::on(&url_of(&broker)).await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let caller = stage.caller.clone();
        calls.spawn(async move { caller.call(2000, 60 * SECOND).await });
    }
    sleep(Duration::from_millis(500)).await;
    stage.history.record(Event::Disrupted);
    broker.kill().await;
    state(&stage.client, "disconnected").await;
    // The two connections do not notice it in the same moment.
    let call = async || stage.caller.call(0, Duration::from_millis(300)).await.unwrap_err();
    let refused = eventually(SOON, "calls are refused", call, |error| !error.may_have_run()).await;
    assert!(matches!(refused, CallError::Unreachable { .. }), "{refused}");
    let back = async {
        let since = port_opens(broker.port()).await;
        stage.history.record(Event::Healed { within: BACK });
        stage.caller.resumes_since(since, BACK).await
    };
    let ((), took) = tokio::join!(broker.restart(), back);
    println!("figures: from port open to the first successful call after a SIGKILL: {took:?}");
    // Their reply queue is not what it was: they do not wait for what was in it. Where the server came back first, its replies
    // have made the queue anew.
    let ended = Instant::now();
    while let Some(call) = calls.join_next().await {
        let Err(error) = call.unwrap() else { continue };
        assert!(matches!(error, CallError::ReplyLost { .. } | CallError::ConnectionLost { .. }), "{error}");
        assert!(error.may_have_run());
    }
    assert!(ended.elapsed() < BACK + 2 * SECOND, "calls waited for a queue that was gone: {:?}", ended.elapsed());
    stage.close().await;
}

/// A frozen broker accepts bytes and says nothing. What was written into its socket is delivered when it thaws, long after
/// the callers gave up, and is not run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_02_broker_frozen_and_thawed() {
    let broker = rabbitmq().await;
    let stage = Stage::on(&(url_of(&broker) + "?idle_timeout=2")).await;
    for _ in 0..5 {
        stage.caller.call(0, SECOND).await.unwrap();
    }
    broker.freeze();
    stage.history.record(Event::Disrupted);
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let caller = stage.caller.clone();
        calls.spawn(async move { caller.call(0, SECOND).await });
    }
    while let Some(ended) = calls.join_next().await {
        let error = ended.unwrap().unwrap_err();
        assert!(error.may_have_run(), "it was written into the socket: {error}");
    }
    assert!(begun.elapsed() < Duration::from_millis(1700), "calls end by their own timeout: {:?}", begun.elapsed());
    state(&stage.client, "disconnected").await;
    println!("figures: frozen broker noticed after {:?} with a limit of 2 s", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(4500), "{:?}", begun.elapsed());
    broker.thaw();
    stage.caller.resumes(6 * SECOND).await;
    stage.close().await;
}

/// While the broker takes nothing, calls end in time and never run afterwards.
async fn alarm(stage: Stage, raise: impl AsyncFn(bool)) {
    let (caller, id) = (stage.caller.clone(), Caller::fresh_id());
    let its = id.clone();
    let running = tokio::spawn(async move { caller.call_as("echo", &its, 1500, SOON).await });
    ran(&stage.history, &id).await;
    raise(true).await;
    let mut calls = JoinSet::new();
    for _ in 0..500 {
        let caller = stage.caller.clone();
        calls.spawn(async move { caller.call(0, SECOND).await });
    }
    let begun = Instant::now();
    let mut unsent = 0;
    while let Some(ended) = calls.join_next().await {
        unsent += usize::from(!ended.unwrap().unwrap_err().may_have_run());
    }
    println!("figures: 500 calls ended {:?} after the alarm, {unsent} as not sent", begun.elapsed());
    assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
    raise(false).await;
    // What waits for the alarm to end, the reply that was due included, goes out.
    running.await.unwrap().unwrap();
    stage.caller.resumes(BACK).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_memory_alarm_on_rabbitmq_4() {
    let broker = Amqp1Broker::start(Amqp1Product::RabbitMq4).await;
    let stage = Stage::on(&broker.url()).await;
    alarm(stage, async |up| {
        broker.ctl(&["set_vm_memory_high_watermark", if up { "0.00001" } else { "0.6" }]).await;
    })
    .await;
}

/// A queue that takes no more says so, and its sender is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_a_full_queue() {
    let broker = Amqp1Broker::start(Amqp1Product::RabbitMq4).await;
    let full = r#"{"max-length": 1, "overflow": "reject-publish"}"#;
    broker.ctl(&["set_policy", "full", "^unicast", full, "--apply-to", "queues"]).await;
    let transport = oxlo::connect(broker.url()).await.unwrap();
    let target = Target::topic("nobody");
    // It leaves its queue behind.
    let server = RPCServer::builder(transport.clone(), target.clone().server("one"))
        .endpoint(service(&History::new()))
        .start()
        .await
        .unwrap();
    server.stop();
    server.wait().await.unwrap();
    let client = RPCClient::new(transport.clone(), target);
    let cast = async || client.cast(&Context::new(), "store", json!({})).await;
    cast().await.unwrap();
    let error = cast().await.unwrap_err();
    assert!(matches!(error, CallError::Rejected { .. }), "{error:?}");
    transport.close().await;
}

/// A broker whose memory for a queue is used up keeps what it is sent and says nothing: nothing hangs, and each send ends
/// within its own time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_a_broker_that_confirms_nothing_more() {
    let broker = Amqp1Broker::start(Amqp1Product::ActiveMq).await;
    let transport = oxlo::connect(broker.url()).await.unwrap();
    let client = RPCClient::new(transport.clone(), Target::topic("full").server("one")).prepare().timeout(SECOND);
    let big = "x".repeat(100_000);
    let mut taken = 0;
    let error = loop {
        let sent = Instant::now();
        match client.cast(&Context::new(), "store", json!({"big": big})).await {
            Ok(()) => taken += 1,
            Err(error) => {
                assert!(sent.elapsed() < 2 * SECOND, "{:?}", sent.elapsed());
                break error;
            }
        }
        assert!(taken < 200, "the broker takes everything");
    };
    assert!(taken > 0 && matches!(error, CallError::Unconfirmed { .. }) && error.may_have_run(), "{error:?}");
    // Other addresses are none the worse.
    let other = RPCClient::new(transport.clone(), Target::topic("empty").server("one"));
    other.cast(&Context::new(), "store", json!({})).await.unwrap();
    transport.close().await;
}
