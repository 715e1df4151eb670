//! How serving ends, and what becomes of requests under each policy.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fake::{Fake, Script, Sent, target};
use oxlo_server::{AckPolicy, Endpoint, HandlerError, RPCServer, RPCServerBuilder, ServeError};
use oxlo_transport::{Deferral, Failure, Settlement, TransportError};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

fn endpoint() -> Endpoint {
    Endpoint::new("1.0")
        .method("nap", async || {
            sleep(10 * SECOND).await;
            Ok::<_, Failure>("rested")
        })
        .method("sleep", async || {
            sleep(1000 * SECOND).await;
            Ok::<_, Failure>(())
        })
        .method("quick", async || Ok::<_, Failure>(1))
        .method("fail", async || Err::<(), _>(Failure::builtin("ValueError", "no")))
        .method("panic", async || -> Result<(), Failure> { panic!("boom") })
        .method("not_me", async || Err::<(), _>(HandlerError::Requeue))
        .method("hush", async || Err::<(), _>(HandlerError::Ignore))
}

fn server(fake: &Arc<Fake>, policy: AckPolicy) -> RPCServerBuilder {
    RPCServer::builder(fake.clone(), target()).endpoint(endpoint()).ack_policy(policy)
}

#[tokio::test(start_paused = true)]
async fn what_runs_finishes_within_the_grace() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::BeforeDispatch).start().await.unwrap();
    assert!(running.is_ready());
    let nap = fake.request("nap", json!({})).send();
    nap.settled().await;
    let before = Instant::now();
    running.stop();
    running.stop();
    assert_eq!(nap.result::<String>().await, "rested");
    let report = running.wait().await.unwrap();
    assert!(before.elapsed() < 11 * SECOND);
    assert_eq!((report.handled, report.abandoned.len()), (1, 0));
    assert!(!running.is_ready());
    assert!(fake.stopped.load(Ordering::Acquire) && fake.closed.load(Ordering::Acquire));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_is_abandoned_and_told() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::BeforeDispatch).grace(20 * SECOND).start().await.unwrap();
    let nap = fake.request("nap", json!({})).send();
    let sleeper = fake.request("sleep", json!({})).monitor(2 * SECOND).send();
    sleeper.settled().await;
    let before = Instant::now();
    running.stop();
    let report = running.wait().await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 20);
    assert_eq!(nap.result::<String>().await, "rested");
    let told = sleeper.failure().await;
    assert_eq!(told.message, "sleep() was abandoned: its server stopped before it finished");
    assert_eq!(report.handled, 1);
    assert_eq!(report.abandoned.len(), 1);
    assert_eq!((&*report.abandoned[0].method, report.abandoned[0].ran_for.as_secs()), ("sleep", 20));
    assert!(sleeper.story().released);
}

#[tokio::test(start_paused = true)]
async fn what_is_abandoned_after_reply_goes_back() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::AfterReply).grace(SECOND).start().await.unwrap();
    let sleeper = fake.request("sleep", json!({})).send();
    sleep(SECOND).await;
    assert_eq!(sleeper.story().settled, None);
    running.stop();
    let report = running.wait().await.unwrap();
    let story = sleeper.story();
    assert_eq!((story.settled, story.reply), (Some(Settlement::Requeue), None));
    assert_eq!(report.abandoned.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn replies_are_flushed_but_not_for_ever() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::AfterReply).grace(SECOND).start().await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let script = Script { gate: Some(gate.clone()), ..Script::default() };
    let call = fake.request("quick", json!({})).script(script).send();
    call.until("sending", |story| story.order.contains(&"sending")).await;
    running.stop();
    sleep(3 * SECOND).await;
    gate.add_permits(1);
    let report = running.wait().await.unwrap();
    assert_eq!(call.story().order, ["sending", "reply", "ack"]);
    assert_eq!((report.handled, report.abandoned.len()), (1, 0));

    let running = server(&fake, AckPolicy::AfterReply).grace(SECOND).start().await.unwrap();
    let script = Script { gate: Some(Arc::new(Semaphore::new(0))), ..Script::default() };
    let stuck = fake.request("quick", json!({})).script(script).send();
    stuck.until("sending", |story| story.order.contains(&"sending")).await;
    running.stop();
    let report = timeout(10 * SECOND, running.wait()).await.unwrap().unwrap();
    assert_eq!(report.abandoned.len(), 1, "its reply never left");
    assert_eq!(stuck.settled().await, Settlement::Requeue);
}

#[tokio::test(start_paused = true)]
async fn dropping_what_serves_is_the_abrupt_end() {
    let fake = Fake::new();
    let built = server(&fake, AckPolicy::AfterReply).build().unwrap();
    let mut serving = Box::pin(built.serve());
    assert!(timeout(SECOND, &mut serving).await.is_err());
    let call = fake.request("sleep", json!({})).send();
    assert!(timeout(SECOND, &mut serving).await.is_err());
    drop(serving);
    assert_eq!(call.settled().await, Settlement::Requeue);
    assert_eq!(call.story().reply, None);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_stops_and_a_server_can_run_again() {
    let fake = Fake::new();
    let built = server(&fake, AckPolicy::BeforeDispatch).build().unwrap();
    let running = built.start().await.unwrap();
    let nap = fake.request("nap", json!({})).send();
    nap.settled().await;
    drop(running);
    assert_eq!(nap.result::<String>().await, "rested");
    let again = built.start().await.unwrap();
    assert_eq!(fake.request("quick", json!({})).send().result::<i64>().await, 1);
    again.stop();
    assert_eq!(again.wait().await.unwrap().handled, 1);
}

#[tokio::test(start_paused = true)]
async fn any_future_can_be_the_shutdown() {
    let fake = Fake::new();
    let report = server(&fake, AckPolicy::BeforeDispatch)
        .serve_until(async {
            sleep(SECOND).await;
            "now"
        })
        .await
        .unwrap();
    assert_eq!(report.handled, 0);
}

#[tokio::test(start_paused = true)]
async fn readiness_follows_the_subscription() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::BeforeDispatch).start().await.unwrap();
    for subscribed in [false, true] {
        fake.subscribed.store(subscribed, Ordering::Release);
        sleep(SECOND).await;
        assert_eq!(running.is_ready(), subscribed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_transport_ends_serving_without_error() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::BeforeDispatch).start().await.unwrap();
    let nap = fake.request("nap", json!({})).send();
    fake.fail(TransportError::Closed);
    let report = running.wait().await.unwrap();
    assert_eq!(report.handled, 1);
    assert_eq!(nap.result::<String>().await, "rested");
}

#[tokio::test(start_paused = true)]
async fn errors_that_pass_do_not_end_serving_and_others_do() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::BeforeDispatch).start().await.unwrap();
    fake.fail(TransportError::ConnectionLost { source: None });
    assert_eq!(fake.request("quick", json!({})).send().result::<i64>().await, 1);
    let nap = fake.request("nap", json!({})).send();
    fake.fail(TransportError::Topology { object: "queue".into(), reason: "gone".into() });
    let Err(ServeError::Receive { source, report, .. }) = running.wait().await else { panic!("it ended well") };
    assert!(matches!(source, TransportError::Topology { .. }));
    assert_eq!(report.handled, 2);
    assert_eq!(nap.result::<String>().await, "rested");
}

async fn order(sent: &Sent) -> Vec<&'static str> {
    sent.until("done", |story| story.settled.is_some() && story.released).await.order
}

#[tokio::test(start_paused = true)]
async fn after_reply_acknowledges_last_and_once() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::AfterReply).start().await.unwrap();
    for method in ["quick", "fail", "panic", "nosuch"] {
        assert_eq!(order(&fake.request(method, json!({})).send()).await, ["reply", "ack"], "{method}");
        assert_eq!(fake.request(method, json!({})).cast().send().settled().await, Settlement::Ack, "{method}");
    }
    assert_eq!(order(&fake.request("hush", json!({})).send()).await, ["ack"]);
    let expired = fake.request("quick", json!({})).deadline(Instant::now()).send();
    assert_eq!(order(&expired).await, ["ack"]);
    running.stop();
    let report = running.wait().await.unwrap();
    assert_eq!((report.handled, report.failed, report.ignored, report.dropped_expired), (8, 6, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_takes_acknowledges_and_one_cut_off_does_not() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::AfterReply).start().await.unwrap();
    let gone = TransportError::Undeliverable { exchange: String::new(), routing_key: "reply_x".into() };
    for (error, expected) in
        [(gone, Settlement::Ack), (TransportError::ConnectionLost { source: None }, Settlement::Requeue)]
    {
        let script = Script { reply_error: Some(error), ..Script::default() };
        assert_eq!(fake.request("quick", json!({})).script(script).send().settled().await, expected);
    }
    running.stop();
    assert_eq!(running.wait().await.unwrap().replies_lost, 2);
}

#[tokio::test(start_paused = true)]
async fn refused_requests_go_behind_the_others_and_repeated_refusals_wait() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::AfterReply).start().await.unwrap();
    let before = Instant::now();
    let first = fake.request("not_me", json!({})).monitor(SECOND).send();
    assert_eq!(order(&first).await, ["defer"]);
    assert_eq!(first.settled().await, Settlement::Defer(Deferral { delay: Duration::ZERO, counts: true }));
    let again = fake.request("not_me", json!({})).redelivered().send();
    let Settlement::Defer(Deferral { delay, counts: true }) = again.settled().await else { panic!("{again:?}") };
    assert!(delay >= Duration::from_millis(125) && delay <= Duration::from_millis(250), "{delay:?}");
    assert_eq!(before.elapsed(), Duration::ZERO, "nothing waits here");
    running.stop();
    let report = running.wait().await.unwrap();
    assert_eq!((report.requeued, report.handled), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_refused_as_often_as_it_may_be_is_given_up() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::AfterReply).redelivery_limit(0).start().await.unwrap();
    let call = fake.request("not_me", json!({})).redelivered().send();
    let failure = call.failure().await;
    assert_eq!(failure.class, "RuntimeError");
    assert_eq!(call.settled().await, Settlement::Reject);
    running.stop();
    assert_eq!(running.wait().await.unwrap().requeued, 0);
}

#[tokio::test(start_paused = true)]
async fn before_dispatch_cannot_requeue_and_says_so() {
    let fake = Fake::new();
    let running = server(&fake, AckPolicy::BeforeDispatch).start().await.unwrap();
    let call = fake.request("not_me", json!({})).send();
    let failure = call.failure().await;
    assert_eq!(failure.class, "RuntimeError");
    assert!(failure.message.starts_with("not_me() requeued its request"), "{}", failure.message);
    assert_eq!(call.story().order, ["ack", "reply"]);
    assert_eq!(order(&fake.request("hush", json!({})).send()).await, ["ack"]);
    running.stop();
    let report = running.wait().await.unwrap();
    assert_eq!((report.handled, report.failed, report.requeued, report.ignored), (1, 1, 0, 1));
}
