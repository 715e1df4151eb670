//! Rows 5, 6, 8, 10 and 31: actions of administrators, and the broker's own limits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use oxlo::{CallError, Endpoint, Failure, RPCServer, Target, TransportError};
use oxlo_faults_kit::{
    Caller, SECOND, SOON, TOPIC, pending_calls, ran,
    rows::{admin, network::SETTLED},
};
use oxlo_test_support::{Event, TestVhost, eventually, resident};
use tokio::time::{Instant, sleep};

use crate::scene::{connections, reply_queue, stage_on};

/// Calls sequentially, and returns the longest time without a success.
async fn longest_gap(caller: Caller, stop: Arc<AtomicBool>) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        if caller.call(0, SECOND).await.is_ok() {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_05_connections_closed_by_an_administrator() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let traffic = stage.caller.traffic(2, 5 * SECOND);
    sleep(SETTLED).await;
    let mut gaps = Vec::new();
    for _ in 0..3 {
        eventually(SOON, "each side has both its connections", async || connections(&vhost).await.len(), |n| *n == 4)
            .await;
        let stop = Arc::new(AtomicBool::new(false));
        let gap = tokio::spawn(longest_gap(stage.caller.clone(), stop.clone()));
        stage.history.record(Event::Disrupted);
        assert_eq!(vhost.close_all_connections("maintenance").await, 4);
        stage.caller.resumes(SECOND).await;
        sleep(SETTLED).await;
        stop.store(true, Ordering::Relaxed);
        gaps.push(gap.await.unwrap());
    }
    gaps.sort();
    println!("figures: gap at an admin close, three times: {gaps:?}");
    stage.lag.in_time("the gap", gaps[1], Duration::from_millis(300));
    traffic.stop().await;
    stage.close().await;
}

/// A channel that the broker closes is reopened, without effect on others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_06_a_closed_channel_leaves_others_alone() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    // 404: the exchange is gone, and publishing to it ends the publishing channel.
    let other = oxlo::connect(vhost.url()).await.unwrap();
    let client = oxlo::RPCClient::new(other.clone(), Target::topic("elsewhere").exchange("doomed"));
    client.cast(&oxlo::Context::new(), "nothing", ()).await.unwrap();
    delete_exchange(&vhost, "doomed").await;
    let before = connections(&vhost).await;
    // The exchange is declared again, and the cast is published again.
    client.prepare().timeout(SOON).cast(&oxlo::Context::new(), "nothing", ()).await.unwrap();
    assert_eq!(connections(&vhost).await, before, "no connection was lost");
    // Users of other channels are not affected.
    for _ in 0..20 {
        stage.caller.call(0, SOON).await.unwrap();
    }
    other.close().await;
    stage.close().await;
}

async fn delete_exchange(admin: &oxlo_test_support::VhostAdmin, name: &str) {
    let expression = format!(
        "rabbit_exchange:delete(rabbit_misc:r(<<\"{}\">>, exchange, <<\"{name}\">>), false, <<\"oxlo\">>), ok.",
        admin.name()
    );
    admin.control().eval::<String>(&expression).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_08_queue_deleted_under_its_consumer() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let queues = [TOPIC.to_owned(), format!("{TOPIC}.one")];
    admin::queues_deleted(stage, queues, SECOND, async |queue| assert!(vhost.delete_queue(&queue).await)).await;
}

/// Lets the user whose name is that of the virtual host read from the queues that `read` matches.
async fn permit_reading(vhost: &TestVhost, read: &str) {
    let expression = format!(
        "rabbit_auth_backend_internal:set_permissions(<<\"{0}\">>, <<\"{0}\">>, <<\".*\">>, <<\".*\">>, <<\"{read}\">>, <<\"oxlo\">>), ok.",
        vhost.name()
    );
    vhost.control().eval::<String>(&expression).await;
}

/// A listener whose queue was deleted and that may not resubscribe still deletes queues that nobody else uses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_08_a_listener_that_cannot_subscribe_again_leaves_nothing() {
    let vhost = TestVhost::new().await;
    let name = vhost.name();
    let add = format!("rabbit_auth_backend_internal:add_user(<<\"{name}\">>, <<\"pw\">>, <<\"oxlo\">>), ok.");
    vhost.control().eval::<String>(&add).await;
    permit_reading(&vhost, ".*").await;
    let transport = oxlo::connect(vhost.url().replace("guest:guest", &format!("{name}:pw"))).await.unwrap();
    let ping = Endpoint::new("1.0").method("ping", async || Ok::<_, Failure>(()));
    let target = Target::topic(TOPIC).server("one");
    let server = RPCServer::builder(transport.clone(), target).endpoint(ping).start().await.unwrap();
    let fanout_queues = async || vhost.queues().await.iter().filter(|queue| queue.name.contains("_fanout_")).count();
    assert_eq!(fanout_queues().await, 1);
    permit_reading(&vhost, "^$").await;
    assert!(vhost.delete_queue(TOPIC).await);
    let mut ready = server.ready();
    tokio::time::timeout(SOON, ready.wait_for(|ready| !ready)).await.expect("the loss goes unnoticed").unwrap();
    server.stop();
    server.wait().await.unwrap();
    eventually(SOON, "the fanout queue is deleted", fanout_queues, |left| *left == 0).await;
    transport.close().await;
    let forget = format!("rabbit_auth_backend_internal:delete_user(<<\"{name}\">>, <<\"oxlo\">>), ok.");
    vhost.control().eval::<String>(&forget).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_10_reply_queue_gone_with_calls_pending() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let queue = reply_queue(&vhost).await;
    admin::reply_queue_deleted(stage, SECOND, async || assert!(vhost.delete_queue(&queue).await)).await;
}

/// The reply waits in the server while the caller's queue is away, and arrives if it comes back in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_10_a_reply_is_retried_until_its_queue_is_back() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let queue = reply_queue(&vhost).await;
    // Only the caller's driver declares its reply queue again, at once; the server's reply arrives before or after that.
    let (call, id) = stage.caller.spawn_call(2000, SOON);
    ran(&stage.history, &id).await;
    assert!(vhost.delete_queue(&queue).await);
    let ended = call.await.unwrap();
    assert!(matches!(ended, Err(CallError::Transport { error: TransportError::ReplyLost { .. }, .. })), "{ended:?}");
    // The late reply finds the queue but no pending call: other calls are not affected.
    stage.caller.call(0, SOON).await.unwrap();
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_31_ten_thousand_calls_pending_at_a_connection_loss() {
    // Of those that run, a few end while the last are sent.
    const CALLS: usize = 10_800;
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    // More than the server's prefetch: most wait in the queue.
    let mut calls = stage.caller.spawn_calls(CALLS, 1000, 10 * SECOND);
    eventually(SOON, "calls are on their way", async || pending_calls(&stage.client), |n| *n >= 10_000).await;
    stage.history.record(Event::Disrupted);
    let closed = Instant::now();
    vhost.close_all_connections("maintenance").await;
    let (mut ended, mut slowest) = (0, Duration::ZERO);
    while let Some(outcome) = calls.join_next().await {
        let _ = outcome.unwrap();
        ended += 1;
        slowest = closed.elapsed();
    }
    println!("figures: {ended} pending calls at a connection loss, the last one ended {slowest:?} after it");
    assert_eq!(ended, CALLS);
    stage.caller.resumes(5 * SECOND).await;
    stage.close().await;
}

/// lapin's buffers are gone with their connection, and what malloc keeps of them does not add up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_69_memory_after_ten_reconnects() {
    const TRANSPORTS: usize = 20;
    const ROUNDS: usize = 10;
    let vhost = TestVhost::new().await;
    let mut transports = Vec::new();
    for _ in 0..TRANSPORTS {
        let transport = oxlo::connect(vhost.url()).await.unwrap();
        // The consuming connection is opened with the first call.
        let client = oxlo::RPCClient::new(transport.clone(), Target::topic("nobody")).timeout(SOON);
        let error = client.call::<()>(&oxlo::Context::new(), "nothing", ()).await.unwrap_err();
        assert!(matches!(error, CallError::Transport { error: TransportError::Undeliverable { .. }, .. }), "{error}");
        transports.push(transport);
    }
    let all = 2 * TRANSPORTS;
    let mut before = 0;
    let mut old = Vec::new();
    for round in 0..=ROUNDS {
        let names = async || connections(&vhost).await;
        let fresh = |names: &Vec<String>| names.len() == all && !names.iter().any(|name| old.contains(name));
        let names = eventually(SOON, "every transport is connected again", names, fresh).await;
        if before == 0 {
            before = resident();
        }
        old = names;
        if round < ROUNDS {
            assert_eq!(vhost.close_all_connections("maintenance").await, all);
        }
    }
    let each = resident().saturating_sub(before) / TRANSPORTS as u64;
    println!("figures: after {ROUNDS} reconnects {} KiB more for each idle transport", each >> 10);
    assert!(each < 2 << 20, "{} KiB more for each transport", each >> 10);
    for transport in transports {
        transport.close().await;
    }
}
