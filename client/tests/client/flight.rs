//! Calls in flight: many at once, dropped, timed out, closed.

use std::time::Duration;

use oxlo_client::{CallError, PendingCall};
use oxlo_transport::{Payload, Reply, Transport, TransportError};
use oxlo_wire::reply::ReplyPart;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::fake::{Fake, Step, calculator, ctxt};

fn answer(fake: &Fake, call: &PendingCall<u64>, result: u64) -> bool {
    let reply = Reply::Result(Payload::encode(&result).unwrap());
    fake.pending.deliver(&call.message_id(), ReplyPart::Final(Some(reply)))
}

#[tokio::test]
async fn replies_in_reverse_order_reach_their_calls() {
    let fake = Fake::new();
    let client = calculator(&fake);
    let mut calls = Vec::new();
    for n in 0..500_u64 {
        fake.then(Step::Silence);
        calls.push(client.start::<u64>(&ctxt(), "double", json!({"n": n})).await.unwrap());
    }
    assert_eq!(fake.pending.len(), 500);
    for (n, call) in calls.iter().enumerate().rev() {
        assert!(answer(&fake, call, n as u64 * 2));
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), n as u64 * 2);
    }
    assert!(fake.pending.is_empty());
}

#[tokio::test]
async fn a_dropped_call_is_forgotten_at_once() {
    let fake = Fake::new();
    let client = calculator(&fake);
    fake.then(Step::Silence);
    let started = client.start::<u64>(&ctxt(), "add", ()).await.unwrap();
    assert_eq!((started.method(), started.target()), ("add", client.target()));
    fake.then(Step::Silence);
    let (context, arguments) = (ctxt(), json!({}));
    let mut called = Box::pin(client.call::<u64>(&context, "add", &arguments));
    assert!(timeout(Duration::ZERO, &mut called).await.is_err());
    assert_eq!(fake.pending.len(), 2);
    drop(started);
    assert_eq!(fake.pending.len(), 1);
    drop(called);
    assert!(fake.pending.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_begins_with_start() {
    let fake = Fake::new();
    let client = calculator(&fake).timeout(Duration::from_secs(5));
    fake.then(Step::Silence);
    let begun = Instant::now();
    let call = client.start::<u64>(&ctxt(), "add", ()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let error = call.await.unwrap_err();
    assert!(matches!(error, CallError::Transport { error: TransportError::TimedOut { .. }, .. }), "{error:?}");
    assert_eq!(error.to_string(), "call `add` on calculator: no reply within 5s");
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert!(fake.pending.is_empty());
}

#[tokio::test]
async fn a_pending_call_can_be_polled_repeatedly() {
    let fake = Fake::new();
    fake.then(Step::Silence);
    let mut call = calculator(&fake).start::<u64>(&ctxt(), "add", ()).await.unwrap();
    for _ in 0..3 {
        assert!(timeout(Duration::ZERO, &mut call).await.is_err());
    }
    assert!(answer(&fake, &call, 7));
    assert_eq!(call.await.unwrap(), 7);
}

#[tokio::test]
async fn a_pending_call_outlives_its_client_and_moves_to_a_task() {
    let fake = Fake::new();
    fake.then(Step::Silence);
    let call = {
        let client = calculator(&fake);
        client.start::<u64>(&ctxt(), "add", ()).await.unwrap()
    };
    assert!(answer(&fake, &call, 7));
    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 7);
}

#[tokio::test]
async fn the_error_of_closing_tells_whether_the_request_was_sent() {
    let fake = Fake::new();
    let client = calculator(&fake);
    fake.then(Step::Silence);
    let call = client.start::<u64>(&ctxt(), "add", ()).await.unwrap();
    fake.close().await;
    let sent = call.await.unwrap_err();
    assert!(
        matches!(sent, CallError::Transport { error: TransportError::ClosedWaiting, .. }) && sent.may_have_run(),
        "{sent:?}"
    );
    let refused = client.call::<u64>(&ctxt(), "add", ()).await.unwrap_err();
    assert!(
        matches!(refused, CallError::Transport { error: TransportError::Closed, .. }) && !refused.may_have_run(),
        "{refused:?}"
    );
}

#[tokio::test]
async fn futures_of_calls_are_send_for_any_arguments() {
    fn sendable<T: Send>(future: T) -> T {
        future
    }
    let fake = Fake::new();
    let client = calculator(&fake);
    let args = || std::collections::BTreeMap::from([("a", std::rc::Rc::new(1))]);
    sendable(client.call::<Value>(&ctxt(), "add", args())).await.unwrap();
    sendable(client.cast(&ctxt(), "add", args())).await.unwrap();
    sendable(client.start::<Value>(&ctxt(), "add", args())).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn arguments_can_borrow() {
    let fake = Fake::new();
    let client = calculator(&fake);
    let name = String::from("x");
    client.call::<Value>(&ctxt(), "add", json!({ "name": name.as_str() })).await.unwrap();
    assert_eq!(fake.only().args(), r#"{"name":"x"}"#);
}
