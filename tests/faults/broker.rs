//! Rows 1, 2, 7 and 11: what a broker goes through.

use std::net::TcpStream;
use std::time::Duration;

use oxlo::{AckPolicy, CallError};
use oxlo_test_support::{Broker, Event, Rules};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::kit::{Caller, SECOND, SOON, Stage, ran, refusal, resident, state};

/// From the broker's port being open to the first call that succeeds.
const BACK: Duration = SECOND;

/// Waits until the port takes connections.
async fn port_opens(port: u16) -> Instant {
    let poll = move || {
        let give_up = std::time::Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < give_up, "port {port} did not open");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    tokio::task::spawn_blocking(poll).await.unwrap();
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_01_broker_sigkill_and_restart() {
    let broker = Broker::start().await;
    // Confirmed and kept are the same for durable queues only.
    let stage = Stage::on(&broker, &(broker.url() + "?amqp_durable_queues=true")).await;
    let traffic = stage.caller.traffic(4, 30 * SECOND);
    sleep(Duration::from_millis(500)).await;
    stage.history.record(Event::Disrupted);
    broker.kill().await;
    state(&stage.client, "disconnected").await;
    let refused = refusal(&stage.caller).await;
    assert!(matches!(refused, CallError::Unreachable { .. }), "{refused}");
    let back = async {
        let since = port_opens(broker.port()).await;
        stage.history.record(Event::Healed { within: BACK });
        stage.caller.resumes_since(since, BACK).await
    };
    let ((), took) = tokio::join!(broker.restart(), back);
    println!("figures: from port open to the first successful call after a SIGKILL: {took:?}");
    traffic.stop().await;
    stage.close().await;
}

/// A frozen broker accepts bytes and says nothing. What was written into its socket is delivered when it thaws, long after
/// the callers gave up, and is not run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_02_broker_frozen_and_thawed() {
    let broker = Broker::start().await;
    let url = broker.url() + "?heartbeat_timeout_threshold=2";
    let stage = Stage::on(&broker, &url).await;
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
    assert!(begun.elapsed() < Duration::from_millis(1500), "calls end by their own timeout: {:?}", begun.elapsed());
    state(&stage.client, "disconnected").await;
    let noticed = begun.elapsed();
    println!("figures: frozen broker noticed after {:.2} heartbeats of 2 s", noticed.as_secs_f64() / 2.0);
    assert!(noticed < Duration::from_millis(4500), "{noticed:?}");
    broker.thaw();
    stage.caller.resumes(6 * SECOND).await;
    let summary = stage.close().await;
    assert_eq!(summary.unknown, 20, "{summary:?}");
    println!("figures: executions of calls that had timed out: 0 of {}", summary.unknown);
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
    let stage = Stage::with(&broker, &broker.url(), &broker.url(), AckPolicy::AfterReply).await;
    stage.caller.call(4000, 10 * SECOND).await.unwrap();
    stage.history.record(Event::Disrupted);
    assert!(broker.log().contains("delivery acknowledgement"), "the broker closed no channel:\n{}", broker.log());
    stage.caller.resumes(SECOND).await;
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}

async fn alarm(broker: &Broker, raise: impl AsyncFn(bool)) {
    let stage = Stage::on(broker, &broker.url()).await;
    // A call that runs while the alarm comes: its reply is due.
    let (caller, id) = (stage.caller.clone(), Caller::fresh_id());
    let its = id.clone();
    let running = tokio::spawn(async move { caller.call_as("echo", &its, 1500, SOON).await });
    ran(&stage.history, &id).await;
    raise(true).await;
    // The broker tells a connection that it is blocked when that publishes.
    let first = stage.caller.call(0, SECOND).await.unwrap_err();
    state(&stage.client, "blocked").await;
    let memory = resident();
    let mut calls = JoinSet::new();
    for _ in 0..2000 {
        let caller = stage.caller.clone();
        calls.spawn(async move { caller.call(0, SECOND).await });
    }
    let begun = Instant::now();
    while let Some(ended) = calls.join_next().await {
        let error = ended.unwrap().unwrap_err();
        assert!(matches!(error, CallError::Blocked { .. }) && !error.may_have_run(), "{error}");
    }
    println!("2000 calls were blocked for {:?}; the first one: {first}", begun.elapsed());
    stage.history.record(Event::Memory { before: memory, after: resident(), bound: 64 << 20 });
    raise(false).await;
    // What waits for the alarm to end, the reply that was due included, goes out.
    running.await.unwrap().unwrap();
    stage.caller.resumes(SECOND).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_memory_alarm() {
    let broker = Broker::start().await;
    alarm(&broker, async |up| broker.set_memory_alarm(up).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_11_disk_alarm() {
    let broker = Broker::start().await;
    alarm(&broker, async |up| broker.set_disk_alarm(up).await).await;
}
