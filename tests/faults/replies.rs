//! Rows 58 to 60: undeliverable replies. They do not delay other callers or a stop.

use std::{sync::Arc, time::Duration};

use oxlo::{Args, Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, Target, Transport};
use oxlo_faults_kit::{SECOND, SOON, Stage};
use oxlo_test_support::{TestVhost, eventually};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::{
    hostile::{JSON, envelope, erlang},
    scene::{reply_queues, stage_on},
};

const FEW: &str = "few";
/// The server's concurrency: far lower than the number of undeliverable replies.
const PLACES: usize = 4;

#[derive(serde::Deserialize)]
struct Nap {
    waits: bool,
}

/// A server with low concurrency, whose method can be told to wait until `released` is closed.
async fn serve(transport: &Arc<dyn Transport>, released: &Arc<Semaphore>) -> RunningServer {
    let released = released.clone();
    let endpoint = Endpoint::new("1.0").method("nap", move |Args(nap): Args<Nap>| {
        let released = released.clone();
        async move {
            if nap.waits {
                let _ = released.acquire().await;
            }
            Ok::<_, Failure>(())
        }
    });
    let server = RPCServer::builder(transport.clone(), Target::topic(FEW).server("one")).endpoint(endpoint);
    server.concurrency(PLACES).grace(60 * SECOND).start().await.unwrap()
}

/// Calls sequentially until `done`; none may be delayed or fail.
async fn unnoticed(stage: &Stage, done: impl AsyncFn() -> bool, what: &str) {
    let client = RPCClient::new(stage.client.clone(), Target::topic(FEW)).timeout(SOON);
    let (mut calls, mut slowest, begun) = (0, Duration::ZERO, Instant::now());
    let mut is_done = false;
    // A while longer, so that delayed effects are observed.
    while !is_done || calls < 50 {
        assert!(begun.elapsed() < 4 * SOON, "{what}: not done after {calls} calls");
        is_done = is_done || done().await;
        let sent = Instant::now();
        let ended = client.call::<()>(&Context::new(), "nap", json!({"waits": false})).await;
        assert!(ended.is_ok(), "{what}: a call beside it failed: {ended:?}");
        (calls, slowest) = (calls + 1, slowest.max(sent.elapsed()));
    }
    println!("figures: {what}: {calls} calls beside it answered, none failed, the slowest took {slowest:?}");
    stage.lag.in_time("a call beside replies that nobody takes", slowest, 2 * SECOND);
}

/// The server ends although replies wait, and none of its methods counts as abandoned.
async fn ends_at_once(stage: &Stage, server: RunningServer) {
    let begun = Instant::now();
    server.stop();
    let report = server.wait().await.unwrap();
    println!("figures: a server with replies that nobody takes ended after {:?}: {report}", begun.elapsed());
    assert!(report.abandoned.is_empty(), "{report:?}");
    stage.lag.in_time("the end of a server with replies that nobody takes", begun.elapsed(), 2 * SECOND);
}

/// Waits until the server's queue is empty.
async fn taken(vhost: &TestVhost) -> bool {
    vhost.queue(FEW).await.is_some_and(|queue| queue.messages == 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_58_a_client_that_closes_with_600_calls_in_flight() {
    const CALLS: usize = 600;
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let released = Arc::new(Semaphore::new(0));
    let server = serve(&stage.servers, &released).await;
    let before = reply_queues(&vhost).await;

    let leaving = oxlo::connect(vhost.url()).await.unwrap();
    let mut calls = JoinSet::new();
    let client = RPCClient::new(leaving.clone(), Target::topic(FEW)).timeout(12 * SOON);
    // One call is answered first: the server then treats the reply queue as known.
    client.call::<()>(&Context::new(), "nap", json!({"waits": false})).await.unwrap();
    for _ in 0..CALLS {
        let client = client.clone();
        calls.spawn(async move { client.call::<()>(&Context::new(), "nap", json!({"waits": true})).await });
    }
    // RabbitMQ counts what was delivered and not acknowledged as well.
    let waiting = async || vhost.queue(FEW).await.map_or(0, |queue| queue.messages);
    eventually(SOON, "the calls are in flight", waiting, |waiting| *waiting as usize + PLACES >= CALLS).await;
    leaving.close().await;
    while let Some(ended) = calls.join_next().await {
        assert!(ended.unwrap().is_err());
    }
    eventually(SOON, "its reply queue is gone", async || reply_queues(&vhost).await, |now| *now == before).await;
    released.close();
    unnoticed(&stage, async || taken(&vhost).await, "a client closed with 600 calls in flight").await;
    ends_at_once(&stage, server).await;
    stage.close().await;
}

/// Puts requests into the server's queue whose replies go to `count` queues that do not exist.
async fn forge(vhost: &TestVhost, count: usize) {
    let request = json!({"method": "nap", "args": {"waits": false}, "version": "1.0", "_msg_id": "@@", "_unique_id": "@@",
        "_reply_q": "reply_@@"});
    let body = envelope(&request);
    let body = String::from_utf8(body).unwrap();
    let parts: Vec<String> = body.split("@@").map(|part| format!("({})/binary", erlang(part.as_bytes()))).collect();
    let body = parts.join(", (integer_to_binary(N))/binary, ");
    let expression = format!(
        "Queue = rabbit_misc:r({}, exchange, <<>>), [rabbit_basic:publish(Queue, {}, {JSON}, <<{body}>>) || N <- lists:seq(1, {count})], ok.",
        erlang(vhost.name().as_bytes()),
        erlang(FEW.as_bytes()),
    );
    vhost.control().eval::<String>(&expression).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_59_330_forged_reply_queues() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let released = Arc::new(Semaphore::new(0));
    let server = serve(&stage.servers, &released).await;
    forge(&vhost, 330).await;
    unnoticed(&stage, async || taken(&vhost).await, "330 forged reply queues").await;
    ends_at_once(&stage, server).await;
    stage.close().await;
}

/// A reply queue that exists but rejects every message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_60_reply_queues_that_refuse_every_reply() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let released = Arc::new(Semaphore::new(0));
    let server = serve(&stage.servers, &released).await;
    let arguments = "[{<<\"x-max-length\">>, long, 0}, {<<\"x-overflow\">>, longstr, <<\"reject-publish\">>}]";
    let expression = format!(
        "[rabbit_amqqueue:declare(rabbit_misc:r({}, queue, <<\"reply_\", (integer_to_binary(N))/binary>>), false, false, {arguments}, none, <<\"oxlo\">>) || N <- lists:seq(1, 40)], ok.",
        erlang(vhost.name().as_bytes()),
    );
    vhost.control().eval::<String>(&expression).await;
    forge(&vhost, 40).await;
    unnoticed(&stage, async || taken(&vhost).await, "40 reply queues that refuse everything").await;
    ends_at_once(&stage, server).await;
    for number in 1..=40 {
        vhost.delete_queue(&format!("reply_{number}")).await;
    }
    stage.close().await;
}
