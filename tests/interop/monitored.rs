//! Monitored calls: heartbeats keep a long call alive, and silence ends the call of a dead server.

use std::time::{Duration, Instant};

use oxlo::{CallError, Context, TransportError};
use oxlo_test_support::TestVhost;
use serde_json::json;

use crate::{
    fixture::{Ask, call, python_client, python_server, rust_client, taken, with},
    twin::Twin,
};

/// Heartbeats are sent every half of it, so one may be late by the other half.
const SILENCE: Duration = Duration::from_secs(4);
/// Longer than the monitor timeout, so that the call depends on heartbeats.
const LONG: f64 = 5.5;
/// Limit for detecting a dead server: the monitor timeout plus slack for a busy machine.
const NOTICED: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_long_call_of_rust_lives_by_pythons_heartbeats() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await.call_monitor_timeout(SILENCE);
    let begun = Instant::now();
    let slow: String = client.call(&Context::new(), "slow", json!({"seconds": LONG})).await.unwrap();
    assert_eq!(slow, "slow");
    assert!(begun.elapsed() > SILENCE);
}

#[tokio::test]
async fn a_long_call_of_python_lives_by_rusts_heartbeats() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    let begun = Instant::now();
    let order = with(call("slow", json!({"seconds": LONG})), json!({"call_monitor_timeout": SILENCE.as_secs()}));
    assert_eq!(client.ok(order).await, "slow");
    assert!(begun.elapsed() > SILENCE);
}

#[tokio::test]
async fn heartbeats_of_python_do_not_extend_the_timeout() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await.call_monitor_timeout(SILENCE).timeout(Duration::from_secs(5));
    let late = client.call::<()>(&Context::new(), "slow", json!({"seconds": 30})).await.unwrap_err();
    assert!(matches!(late, CallError::Transport { error: TransportError::TimedOut { .. }, .. }), "{late:?}");
}

#[tokio::test]
async fn rust_hears_by_silence_that_the_python_server_died() {
    let vhost = TestVhost::new().await;
    let mut server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await.call_monitor_timeout(SILENCE).timeout(Duration::from_secs(50));
    let pending = client.start::<String>(&Context::new(), "slow", json!({"seconds": 40})).await.unwrap();
    taken(&vhost).await;
    server.kill();
    let died = Instant::now();
    let error = pending.await.unwrap_err();
    assert!(
        matches!(error, CallError::Transport { error: TransportError::ServerSilent { silence, .. }, .. } if silence == SILENCE),
        "{error:?}"
    );
    assert!(error.may_have_run() && died.elapsed() < NOTICED, "{:?}", died.elapsed());
}

#[tokio::test]
async fn python_hears_by_silence_that_the_rust_server_died() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    // A separate runtime, dropped with everything in it, which simulates the end of the process.
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = dying.spawn(async move { Twin::start(&url, "s1").await }).await.unwrap();
    let mut client = python_client(&vhost.url()).await;
    let keys = json!({"call_monitor_timeout": SILENCE.as_secs(), "timeout": 50});
    client.send(&with(call("slow", json!({"seconds": 40})), keys)).await;
    server.eventually_slow().await;
    // The handles must not close the connection when they are dropped.
    std::mem::forget(server);
    dying.shutdown_background();
    let died = Instant::now();
    let answer = client.answer(NOTICED).await;
    assert_eq!(answer["error"]["class"], "MessagingTimeout", "{answer}");
    assert!(died.elapsed() < NOTICED);
}
