//! Rows 15, 16, 28, 29, 30, 37 to 41: slow, killed and leaking processes.

use std::{sync::Arc, time::Duration};

use oxlo::{AckPolicy, Args, CallError, Context, Endpoint, Failure, RPCClient, RPCServer, Target, TransportError};
use oxlo_faults_kit::{Caller, SECOND, SOON, TOPIC, child::Child, pending_calls, rows};
use oxlo_test_support::{Event, Rules, TestVhost, eventually, io_threads, resident};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::scene::{connections, reply_queues, stage_on, stage_with};

/// Memory limit of an idle transport with two connections and a server, in bytes.
const IDLE_BOUND: u64 = 2 << 20;

/// A server that is slower than its callers holds at most its prefetch; the broker holds the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_15_slow_consumer() {
    const BODY: usize = 1 << 20;
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let slow = Endpoint::new("1.0").method("keep", async |_: Context, Args(_): Args<serde_json::Value>| {
        sleep(Duration::from_secs(3600)).await;
        Ok::<_, Failure>(())
    });
    let target = Target::topic("slow");
    let server = RPCServer::builder(stage.servers.clone(), target.clone().server("one"))
        .endpoint(slow)
        .concurrency(1)
        .prefetch(4)
        .grace(Duration::ZERO)
        .start()
        .await
        .unwrap();
    let client = RPCClient::new(stage.client.clone(), target);
    let before = resident();
    for _ in 0..100 {
        client.cast(&Context::new(), "keep", json!({"x": "x".repeat(BODY)})).await.unwrap();
    }
    stage.history.record(Event::Memory { before, after: resident(), bound: 48 << 20 });
    let queue = vhost.queue("slow").await.unwrap();
    assert!(queue.messages_ready >= 90, "of 100 messages most wait at the broker: {queue:?}");
    server.stop();
    server.wait().await.unwrap();
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_37_panicking_endpoint() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    for _ in 0..3 {
        let error = stage.caller.call_as("panic", &Caller::fresh_id(), 0, SOON).await.unwrap_err();
        assert!(matches!(error, CallError::Remote { .. }), "{error}");
    }
    stage.caller.call(0, SOON).await.unwrap();
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}

/// Blocking methods run beside the runtime: heartbeats are kept, and other calls answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_38_blocking_endpoint() {
    let vhost = TestVhost::new().await;
    let url = vhost.url() + "?heartbeat_timeout_threshold=1";
    let stage = stage_on(&vhost, &url).await;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let blocking = Endpoint::new("1.0").blocking_method("block", move |_: Context| {
        // Ends when the sender is dropped.
        let _ = held.lock().unwrap().recv();
        Ok::<_, oxlo::HandlerError>(())
    });
    let target = Target::topic("blocking");
    let builder = RPCServer::builder(stage.servers.clone(), target.clone().server("one"));
    let server = builder.endpoint(blocking).start().await.unwrap();
    let client = RPCClient::new(stage.client.clone(), target).timeout(SOON);
    let before = connections(&vhost).await;
    let mut blocked = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        blocked.spawn(async move { client.call::<()>(&Context::new(), "block", ()).await });
    }
    // More than three heartbeats, and ten answers, while all four block.
    for _ in 0..10 {
        stage.caller.call(0, SOON).await.unwrap();
        sleep(Duration::from_millis(350)).await;
    }
    assert!(blocked.try_join_next().is_none(), "they block");
    drop(release);
    while let Some(ended) = blocked.join_next().await {
        ended.unwrap().unwrap();
    }
    assert_eq!(connections(&vhost).await, before, "no connection was lost over more than three heartbeats");
    server.stop();
    server.wait().await.unwrap();
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_39_a_hundred_thousand_dropped_calls() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    // Their requests expire soon, so that the server is not busy with them afterwards.
    let client = RPCClient::new(stage.client.clone(), Target::topic(TOPIC).version("1.0")).timeout(SECOND);
    let mut before = 0;
    for round in 0..100 {
        let mut calls = JoinSet::new();
        for _ in 0..1000 {
            let client = client.clone();
            // The method is unknown: the caller is measured, not the service.
            calls.spawn(async move {
                let ctxt = Context::new();
                let call = client.call::<()>(&ctxt, "nothing", ());
                let _ = timeout(Duration::from_micros(200), call).await;
            });
        }
        calls.join_all().await;
        if round == 19 {
            // The allocator and the pools have their size by now.
            before = resident();
        }
    }
    eventually(SOON, "no call is pending", async || pending_calls(&stage.client), |count| *count == 0).await;
    let after = resident();
    println!(
        "figures: 100 000 dropped calls, {} KiB more resident over the last 80 000",
        after.saturating_sub(before) / 1024
    );
    stage.history.record(Event::Memory { before, after, bound: 24 << 20 });
    stage.caller.call(0, SOON).await.unwrap();
    stage.close().await;
}

/// The server process is killed while it runs the method, before the acknowledgement: another one runs it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_28_server_killed_before_it_acknowledged() {
    let vhost = TestVhost::new().await;
    let stage = stage_with(&vhost, &vhost.url(), &vhost.url(), AckPolicy::AfterReply).await;
    let mut child = Child::serve(&vhost.url(), "AfterReply", &stage.history).await;
    // Both servers take some of them. The child must be killed before it answers.
    let mut calls = stage.caller.spawn_calls(8, 3000, SOON);
    child.does(1).await;
    stage.history.record(Event::Disrupted);
    child.kill();
    while let Some(ended) = calls.join_next().await {
        ended.unwrap().unwrap();
    }
    let summary = stage.close().await;
    assert!(summary.repeated > 0, "what the child ran was run again: {summary:?}");
}

/// The same under the other policy: the call is lost with its server and ends by its timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_29_server_killed_between_run_and_reply() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let mut child = Child::serve(&vhost.url(), "BeforeDispatch", &stage.history).await;
    let mut calls = stage.caller.spawn_calls(8, 3000, 6 * SECOND);
    child.does(1).await;
    stage.history.record(Event::Disrupted);
    child.kill();
    let mut lost = 0;
    while let Some(ended) = calls.join_next().await {
        if let Err(error) = ended.unwrap() {
            assert!(
                matches!(&error, CallError::Transport { error: TransportError::TimedOut { .. }, .. })
                    && error.may_have_run(),
                "{error}"
            );
            lost += 1;
        }
    }
    assert!(lost > 0);
    stage.close_by(Rules { exactly_once: true, ..Rules::default() }).await;
}

/// A message that kills whoever runs it: it takes one server with it under `BeforeDispatch`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_16_poison_message() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let mut child = Child::serve(&vhost.url(), "BeforeDispatch", &stage.history).await;
    let target = Target::topic(TOPIC).server("child").version("1.0");
    let client = RPCClient::new(stage.client.clone(), target.clone());
    // The acknowledgement leaves while the method begins; a process that dies sooner gets the message once more.
    client.cast(&Context::new(), "abort", json!({"ms": 2000})).await.unwrap();
    child.ended().await;
    let mut next = Child::serve(&vhost.url(), "BeforeDispatch", &stage.history).await;
    // It would come before this call.
    Caller::of(stage.client.clone(), target, &stage.history).call(2500, SOON).await.expect("the message came back");
    assert!(next.lives(), "the message came back");
    next.kill();
    stage.close().await;
}

/// The same under `AfterReply`: it comes back to each server that is started again, until the queue's delivery limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_16_poison_message_under_after_reply() {
    const LIMIT: usize = 2;
    let vhost = TestVhost::new().await;
    let url = format!("{}?rabbit_quorum_queue=true&rabbit_quorum_delivery_limit={LIMIT}", vhost.url());
    let stage = stage_with(&vhost, &url, &url, AckPolicy::AfterReply).await;
    let mut child = Child::serve(&url, "AfterReply", &stage.history).await;
    let target = Target::topic(TOPIC).server("child").version("1.0");
    let client = RPCClient::new(stage.client.clone(), target.clone());
    client.cast(&Context::new(), "abort", json!({"ms": 200})).await.unwrap();
    child.ended().await;
    let caller = Caller::of(stage.client.clone(), target, &stage.history);
    let mut deaths = 1;
    let survivor = loop {
        stage.history.record(Event::Disrupted);
        let mut next = Child::serve(&url, "AfterReply", &stage.history).await;
        // The message comes before this call, and ends the process before the call's method ends.
        tokio::select! {
            () = next.ended() => deaths += 1,
            answered = caller.call(3000, 2 * SOON) => {
                answered.expect("the queue serves on");
                break next;
            }
        }
        assert!(deaths <= LIMIT + 1, "the message kills beyond the limit of {LIMIT}");
    };
    println!("figures: a message that kills took {deaths} servers with it, delivery limit {LIMIT}");
    assert!(deaths > 1, "it came back");
    drop(survivor);
    stage.close_by(Rules { late_runs_allowed: true, ..Rules::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_30_client_killed_with_calls_pending() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let mut child = Child::call(&vhost.url(), &stage.history).await;
    child.does(1).await;
    let count = async || reply_queues(&vhost).await.len();
    eventually(SOON, "both reply queues are there", count, |count| *count == 2).await;
    child.kill();
    let begun = Instant::now();
    eventually(SOON, "its reply queue expires", count, |count| *count == 1).await;
    println!("figures: the reply queue of a killed client was gone after {:?} (expiry 1 s)", begun.elapsed());
    stage.close_by(Rules { late_runs_allowed: true, ..Rules::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_40_sigterm_with_calls_in_flight() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    rows::process::sigterm(stage, &vhost.url()).await;
}

/// A runtime that is dropped under a connected transport: nothing hangs, and lapin's threads end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_41_runtime_dropped() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    // Nobody deletes its reply queue.
    let (before, url) = (io_threads(), vhost.url() + "?rabbit_transient_queues_ttl=1");
    let dropped = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let transport = runtime.block_on(async {
            let transport = oxlo::connect(url).await.unwrap();
            let client = RPCClient::new(transport.clone(), Target::topic(TOPIC));
            let _ = client.call::<()>(&Context::new(), "nothing", ()).await;
            transport
        });
        let begun = std::time::Instant::now();
        drop(runtime);
        let took = begun.elapsed();
        drop(Arc::clone(&transport));
        took
    });
    let took = timeout(SOON, dropped).await.expect("dropping the runtime hangs").unwrap();
    println!("figures: dropping a runtime with a connected transport took {took:?}");
    stage.lag.in_time("dropping a runtime", took, SECOND);
    eventually(SOON, "lapin's threads end", async || io_threads(), |count| *count <= before).await;
    stage.close().await;
}

/// The cost of an idle transport.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_of_idle_transports_and_listeners() {
    const COUNT: u64 = 50;
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let mut idle = Vec::new();
    let begun = resident();
    for _ in 0..COUNT {
        idle.push(oxlo::connect(vhost.url()).await.unwrap());
    }
    let connected = resident();
    for transport in &idle {
        let client = RPCClient::new(transport.clone(), Target::topic(TOPIC).version("1.0")).timeout(SOON);
        // Opens the second connection, which replies and requests come by.
        let unknown = client.call::<()>(&Context::new(), "nothing", ()).await.unwrap_err();
        assert!(unknown.is_no_such_method(), "{unknown}");
    }
    let used = resident();
    let mut listeners = Vec::new();
    for (number, transport) in idle.iter().enumerate() {
        let target = Target::topic(format!("idle-{number}")).server("one");
        let endpoint = Endpoint::new("1.0").method("nothing", async |_: Context| Ok::<_, Failure>(()));
        listeners.push(RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await.unwrap());
    }
    let listening = resident();
    let each = |before: u64, after: u64| after.saturating_sub(before) / COUNT / 1024;
    println!(
        "figures: an idle transport holds {} KiB once connected, {} KiB once it has called; each server on it {} KiB more (mean of {COUNT})",
        each(begun, connected),
        each(begun, used),
        each(used, listening)
    );
    stage.history.record(Event::Memory { before: begun, after: listening, bound: COUNT * IDLE_BOUND });
    for server in listeners {
        server.stop();
        server.wait().await.unwrap();
    }
    for transport in idle {
        transport.close().await;
    }
    stage.close().await;
}
