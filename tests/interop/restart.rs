//! The broker restarts while a call runs: nothing hangs, and service is restored soon.

use std::time::{Duration, Instant};

use oxlo::{CallError, Context, TransportError};
use oxlo_test_support::{Broker, eventually};
use serde_json::json;

use crate::{
    fixture::{Ask, ask, call, python_client, python_server, rust_client, taken, with},
    twin::Twin,
};

/// Limit for restoring service after the broker's restart. Python waits a second before each attempt, and longer from the
/// third on.
const BACK: Duration = Duration::from_secs(60);

/// Neither the reply queue nor a reply in it survives the broker's restart: the call fails with that, unless Python's server,
/// which retries for a minute, finds the queue that was declared again. It never runs into its timeout.
#[tokio::test]
async fn a_call_of_rust_across_a_restart_ends_promptly() {
    let broker = Broker::start().await;
    let _server = python_server(&broker.url(), "s1").await;
    let client = rust_client(&broker.url()).await.timeout(Duration::from_secs(120));
    let pending = client.start::<String>(&Context::new(), "slow", json!({"seconds": 3})).await.unwrap();
    taken(&broker).await;
    broker.kill().await;
    broker.restart().await;
    let back = Instant::now();
    match tokio::time::timeout(BACK, pending).await.expect("the call ends") {
        Ok(result) => assert_eq!(result, "slow"),
        Err(error @ CallError::Transport { error: TransportError::ReplyLost { .. }, .. }) => {
            assert!(error.may_have_run())
        }
        Err(other) => panic!("{other:?}"),
    }
    let again = eventually(
        BACK,
        "calls reach Python again",
        async || {
            client
                .prepare()
                .timeout(Duration::from_secs(5))
                .call::<i64>(&Context::new(), "add", json!({"a": 1, "b": 2}))
                .await
        },
        Result::is_ok,
    )
    .await;
    assert_eq!(again.unwrap(), 3);
    assert!(back.elapsed() < 2 * BACK);
    for value in 0..5 {
        assert_eq!(ask(&client, "echo", json!({"value": value})).await, value);
    }
}

/// A Rust server finishes its running method, and the reply, which is due while the broker is down, waits until the caller's
/// queue exists again.
#[tokio::test]
async fn a_call_of_python_across_a_restart_gets_its_result() {
    let broker = Broker::start().await;
    let server = Twin::start(&broker.url(), "s1").await;
    let mut client = python_client(&broker.url()).await;
    assert_eq!(client.ok(call("whoami", json!({}))).await, "s1");
    client.send(&with(call("slow", json!({"seconds": 3})), json!({"timeout": 90}))).await;
    server.eventually_slow().await;
    broker.kill().await;
    broker.restart().await;
    let back = Instant::now();
    assert_eq!(client.answer(BACK).await, json!({"ok": "slow"}));
    eventually(
        BACK,
        "calls reach Rust again",
        async || client.request(with(call("whoami", json!({})), json!({"at_least_once": true}))).await,
        |answer| answer["ok"] == "s1",
    )
    .await;
    assert!(back.elapsed() < 2 * BACK, "{:?}", back.elapsed());
    server.end().await;
}
