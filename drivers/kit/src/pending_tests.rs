//! Calls that wait, one task at a time; `model` has the races.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use oxlo_transport::{Payload, Reply, TransportError};
use oxlo_wire::reply::ReplyPart;
use tokio::time::{Instant, advance, timeout};

use super::pending::*;

const MINUTE: Duration = Duration::from_secs(60);

fn result(text: &'static str) -> ReplyPart {
    ReplyPart::Final(Some(Reply::Result(Payload::from_raw(text.into()))))
}

#[tokio::test(start_paused = true)]
async fn a_reply_ends_the_call_once() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, None).unwrap();
    let id = call.message_id();
    assert!(calls.deliver(&id, result("1")));
    assert!(!calls.deliver(&id, result("2")), "a second reply finds nobody");
    assert_eq!(call.await.unwrap(), Reply::Result(Payload::from_raw("1".into())));
    assert!(calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn replies_out_of_order_reach_their_own_callers() {
    let calls = PendingCalls::new();
    let (first, second) = (calls.register(MINUTE, None).unwrap(), calls.register(MINUTE, None).unwrap());
    assert!(calls.deliver(&second.message_id(), result("2")));
    assert!(calls.deliver(&first.message_id(), result("1")));
    assert_eq!(first.await.unwrap(), Reply::Result(Payload::from_raw("1".into())));
    assert_eq!(second.await.unwrap(), Reply::Result(Payload::from_raw("2".into())));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_timeout_and_leaves_nothing() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, None).unwrap();
    let begun = Instant::now();
    assert!(matches!(call.await, Err(TransportError::TimedOut { waited }) if waited == MINUTE));
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert!(calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_forgets_the_call() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, None).unwrap();
    let id = call.message_id();
    drop(call);
    assert!(calls.is_empty());
    assert!(!calls.deliver(&id, result("1")));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_move_the_silence_but_never_the_timeout() {
    let calls = PendingCalls::new();
    let mut call = calls.register(Duration::from_secs(10), Some(Duration::from_secs(2))).unwrap();
    let id = call.message_id();
    for _ in 0..9 {
        assert!(timeout(Duration::from_secs(1), &mut call).await.is_err());
        assert!(calls.deliver(&id, ReplyPart::Heartbeat));
    }
    let ended = timeout(Duration::from_secs(5), call).await.unwrap();
    assert!(matches!(ended, Err(TransportError::TimedOut { .. })), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_ends_a_monitored_call() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, Some(Duration::from_secs(2))).unwrap();
    let begun = Instant::now();
    let ended = call.await;
    assert!(matches!(ended, Err(TransportError::ServerSilent { .. })), "{ended:?}");
    assert_eq!(begun.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unasked_heartbeat_is_harmless() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, None).unwrap();
    assert!(calls.deliver(&call.message_id(), ReplyPart::Heartbeat));
    assert!(calls.deliver(&call.message_id(), result("1")));
    assert!(call.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_two_part_reply_ends_with_its_first_part() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, None).unwrap();
    let id = call.message_id();
    assert!(calls.deliver(&id, ReplyPart::Partial(Payload::from_raw("7".into()))));
    assert!(calls.deliver(&id, ReplyPart::Final(None)));
    assert_eq!(call.await.unwrap(), Reply::Result(Payload::from_raw("7".into())));
}

#[tokio::test(start_paused = true)]
async fn failing_all_spares_later_calls() {
    let calls = PendingCalls::new();
    let early = calls.register(MINUTE, None).unwrap();
    assert_eq!(calls.fail_all(&TransportError::ReplyLost { queue: "reply_x".into() }), 1);
    let late = calls.register(MINUTE, None).unwrap();
    assert!(matches!(early.await, Err(TransportError::ReplyLost { .. })));
    assert!(calls.deliver(&late.message_id(), result("1")));
    assert!(late.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn closing_ends_calls_and_refuses_new_ones() {
    let calls = PendingCalls::new();
    let call = calls.register(MINUTE, None).unwrap();
    calls.close();
    assert!(matches!(call.await, Err(TransportError::ClosedWaiting)));
    assert!(matches!(calls.register(MINUTE, None), Err(TransportError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beyond_the_clock_is_no_panic() {
    let calls = PendingCalls::new();
    let call = calls.register(Duration::MAX, None).unwrap();
    advance(MINUTE).await;
    assert!(timeout(MINUTE, call).await.is_err());
}

#[test]
fn ids_are_thirty_two_hexadecimal_digits() {
    for bad in ["", "abc", "g".repeat(32).as_str(), &"a".repeat(33), "-0000000000000000000000000000001"] {
        assert!(!PendingCalls::new().deliver(bad, ReplyPart::Heartbeat), "{bad}");
    }
}
