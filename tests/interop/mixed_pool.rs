//! Python and Rust servers on one topic: callers cannot tell them apart.

use std::collections::BTreeMap;

use oxlo::{Context, RPCClient};
use oxlo_test_support::{PythonPeer, TestVhost, eventually};
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, SOON, TOPIC, ask, call, python_client, python_server, rust_client, with},
    twin::Twin,
};

const CALLS: usize = 40;

struct Pool {
    vhost: TestVhost,
    rust: [Twin; 2],
    python: [PythonPeer; 2],
}

impl Pool {
    async fn start() -> Self {
        let vhost = TestVhost::new().await;
        let url = vhost.url();
        let (one, two, three, four) = tokio::join!(
            Twin::start(&url, "rust-1"),
            Twin::start(&url, "rust-2"),
            python_server(&url, "python-1"),
            python_server(&url, "python-2")
        );
        // A Python server reports ready before it consumes.
        let consumers = async || vhost.queue(TOPIC).await.map(|queue| queue.consumers);
        eventually(SOON, "all four consume", consumers, |count| *count == Some(4)).await;
        Self { vhost, rust: [one, two], python: [three, four] }
    }

    async fn eventually_saw(&mut self, note: i64) {
        for server in &self.rust {
            server.eventually_saw(&[note]).await;
        }
        for server in &mut self.python {
            let seen = async || server.ok(json!({"op": "seen"})).await;
            eventually(SOON, "the fanout has run in Python", seen, |seen| *seen == json!([note])).await;
        }
    }
}

fn assert_shared(counts: &BTreeMap<String, usize>) {
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["python-1", "python-2", "rust-1", "rust-2"]);
    assert_eq!(counts.values().sum::<usize>(), CALLS);
    // The broker delivers round-robin; no server is starved.
    assert!(counts.values().all(|count| *count >= CALLS / 10), "{counts:?}");
}

async fn who(client: &RPCClient) -> String {
    client.call(&Context::new(), "whoami", ()).await.unwrap()
}

#[tokio::test]
async fn calls_of_rust_are_shared_by_python_and_rust() {
    let pool = Pool::start().await;
    let client = rust_client(&pool.vhost.url()).await;
    let mut counts = BTreeMap::new();
    for _ in 0..CALLS {
        *counts.entry(who(&client).await).or_default() += 1;
    }
    assert_shared(&counts);
    for name in ["rust-1", "python-2", "python-1", "rust-2"] {
        assert_eq!(who(&client.prepare().server(name)).await, name);
    }
}

#[tokio::test]
async fn calls_of_python_are_shared_by_python_and_rust() {
    let pool = Pool::start().await;
    let mut client = python_client(&pool.vhost.url()).await;
    let mut counts = BTreeMap::new();
    for _ in 0..CALLS {
        let name = client.ok(call("whoami", json!({}))).await.as_str().unwrap().to_owned();
        *counts.entry(name).or_default() += 1;
    }
    assert_shared(&counts);
    for name in ["rust-1", "python-2", "python-1", "rust-2"] {
        assert_eq!(client.ok(with(call("whoami", json!({})), json!({"server": name}))).await, name);
    }
}

#[tokio::test]
async fn a_fanout_of_rust_reaches_python_and_rust() {
    let mut pool = Pool::start().await;
    let client = rust_client(&pool.vhost.url()).await.fanout(true);
    client.cast(&Context::new(), "cast_note", json!({"x": 7})).await.unwrap();
    pool.eventually_saw(7).await;
}

#[tokio::test]
async fn a_fanout_of_python_reaches_python_and_rust() {
    let mut pool = Pool::start().await;
    let mut client = python_client(&pool.vhost.url()).await;
    client.ok(json!({"op": "fanout", "method": "cast_note", "args": {"x": 8}})).await;
    pool.eventually_saw(8).await;
}

/// A rolling replacement of a Python service: a Rust server takes over while the Python server stops, and no call is lost.
#[tokio::test]
async fn a_rust_server_takes_over_from_a_python_server() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (mut old, mut client) = tokio::join!(python_server(&url, "old"), python_client(&url));
    assert_eq!(client.ok(call("whoami", json!({}))).await, "old");
    let _new = Twin::start(&url, "new").await;
    assert_eq!(old.ok(json!({"op": "stop"})).await, Value::Null);
    for value in 0..5 {
        assert_eq!(client.ok(call("echo", json!({"value": value}))).await, value);
    }
    assert_eq!(client.ok(call("whoami", json!({}))).await, "new");
    let client = rust_client(&url).await;
    assert_eq!(ask(&client, "whoami", json!({})).await, "new");
}
