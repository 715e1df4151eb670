//! Undeliverable and unanswered calls: the caller's error, and no effect on others.

use std::time::{Duration, Instant};

use oxlo::{CallError, Context, TransportError};
use oxlo_test_support::{TestVhost, eventually};
use serde_json::json;

use crate::{
    fixture::{Ask, SOON, ask, call, python_client, python_server, rust_client, with},
    twin::Twin,
};

/// Far below the timeout of any call here.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn rust_hears_at_once_that_nobody_listens() {
    let vhost = TestVhost::new().await;
    let client = rust_client(&vhost.url()).await;
    let begun = Instant::now();
    let error = client.call::<()>(&Context::new(), "echo", ()).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Transport { error: TransportError::Undeliverable { routing_key, .. }, .. } if &**routing_key == "t"),
        "{error:?}"
    );
    assert!(!error.may_have_run() && error.is_retryable());
    let cast = client.prepare().mandatory(true).cast(&Context::new(), "echo", ()).await.unwrap_err();
    assert!(matches!(cast, CallError::Transport { error: TransportError::Undeliverable { .. }, .. }), "{cast:?}");
    client.cast(&Context::new(), "echo", ()).await.expect("a cast vanishes, as in oslo");
    client.prepare().fanout(true).mandatory(true).cast(&Context::new(), "echo", ()).await.expect("so does a fanout");
    assert!(begun.elapsed() < AT_ONCE);
}

#[tokio::test]
async fn rust_hears_at_once_that_one_python_server_is_not_there() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    let error = client.prepare().server("s2").call::<()>(&Context::new(), "whoami", ()).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Transport { error: TransportError::Undeliverable { routing_key, .. }, .. } if &**routing_key == "t.s2"),
        "{error:?}"
    );
    assert_eq!(ask(&client.prepare().server("s1"), "whoami", json!({})).await, "s1");
    client.prepare().mandatory(true).cast(&Context::new(), "cast_note", json!({"x": 1})).await.unwrap();
}

#[tokio::test]
async fn python_hears_at_once_that_nobody_listens_and_reaches_rust_when_it_does() {
    let vhost = TestVhost::new().await;
    let mut client = python_client(&vhost.url()).await;
    let at_least_once = || with(call("whoami", json!({})), json!({"at_least_once": true}));
    assert_eq!(client.error(at_least_once()).await["class"], "MessageUndeliverable");
    let _server = Twin::start(&vhost.url(), "s1").await;
    assert_eq!(client.ok(at_least_once()).await, "s1");
    let elsewhere = with(at_least_once(), json!({"server": "s2"}));
    assert_eq!(client.error(elsewhere).await["class"], "MessageUndeliverable");
}

#[tokio::test]
async fn a_late_reply_of_python_harms_nobody_in_rust() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    // The reply queue is declared with the first call.
    assert_eq!(ask(&client, "echo", json!({"value": 0})).await, 0);
    let impatient = client.prepare().timeout(Duration::from_millis(400));
    let begun = Instant::now();
    let error = impatient.call::<String>(&Context::new(), "slow", json!({"seconds": 1.5})).await.unwrap_err();
    assert!(
        matches!(error, CallError::Transport { error: TransportError::TimedOut { .. }, .. }) && error.may_have_run(),
        "{error:?}"
    );
    // Calls succeed before, during and after its arrival; it is removed from the queue.
    while begun.elapsed() < Duration::from_millis(2500) {
        assert_eq!(ask(&client, "echo", json!({"value": "mine"})).await, "mine");
    }
    eventually(
        SOON,
        "the late reply is off the queue",
        async || vhost.queues().await.into_iter().find(|queue| queue.name.starts_with("reply_")).map(|it| it.messages),
        |messages| *messages == Some(0),
    )
    .await;
}

#[tokio::test]
async fn a_late_reply_of_rust_harms_nobody_in_python() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    let impatient = with(call("slow", json!({"seconds": 2.0})), json!({"timeout": 1}));
    let begun = Instant::now();
    assert_eq!(client.error(impatient).await["class"], "MessagingTimeout");
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(client.ok(call("echo", json!({"value": "mine"}))).await, "mine");
    }
}

/// A request whose caller has given up never runs, however late a server starts.
#[tokio::test]
async fn a_request_whose_caller_has_given_up_does_not_run_in_python() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    // Declares the queue and stops.
    python_server(&url, "s1").await.finish().await;
    // Long enough for the reply queue to be declared.
    let client = rust_client(&url).await.timeout(Duration::from_secs(2));
    let error = client.call::<()>(&Context::new(), "cast_note", json!({"x": 1})).await.unwrap_err();
    assert!(matches!(error, CallError::Transport { error: TransportError::TimedOut { .. }, .. }), "{error:?}");
    let mut server = python_server(&url, "s2").await;
    let client = client.timeout(SOON);
    assert_eq!(ask(&client, "whoami", json!({})).await, "s2");
    assert_eq!(server.ok(json!({"op": "seen"})).await, json!([]));
}
