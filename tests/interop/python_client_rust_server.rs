//! All RPC patterns, with a Python client and Rust servers.

use oxlo::{Endpoint, RPCServer, Target};
use oxlo_test_support::TestVhost;
use serde_json::json;

use crate::{
    fixture::{Ask, TOPIC, call, connect, python_client, with},
    twin::Twin,
};

#[tokio::test]
async fn python_calls_rust() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (server, mut client) = tokio::join!(Twin::start(&url, "s1"), python_client(&url));
    assert_eq!(client.ok(call("add", json!({"a": 1, "b": 2}))).await, 3);
    assert_eq!(client.ok(call("no_arguments", json!({}))).await, "none");
    let misfit = client.error(call("add", json!({"a": 1, "c": 2}))).await;
    assert_eq!((&misfit["class"], &misfit["module"]), (&json!("TypeError"), &json!("builtins")));
    client.finish().await;
    server.end().await;
}

#[tokio::test]
async fn python_has_many_calls_to_rust_in_flight() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    let done = client.ok(json!({"op": "threads", "threads": 8, "each": 10})).await;
    assert_eq!((&done["calls"], &done["wrong"], &done["errors"]), (&json!(80), &json!([]), &json!([])));
}

#[tokio::test]
async fn python_casts_to_rust() {
    let vhost = TestVhost::new().await;
    let server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    for x in 0..3 {
        client.ok(json!({"op": "cast", "method": "cast_note", "args": {"x": x}})).await;
    }
    server.eventually_saw(&[0, 1, 2]).await;
}

#[tokio::test]
async fn python_fans_out_to_three_rust_servers() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let servers = [Twin::start(&url, "s1").await, Twin::start(&url, "s2").await, Twin::start(&url, "s3").await];
    let mut client = python_client(&url).await;
    client.ok(json!({"op": "fanout", "method": "cast_note", "args": {"x": 7}})).await;
    for server in servers {
        server.eventually_saw(&[7]).await;
    }
}

/// The duplicate filter must not drop the second copy of one fanout message.
#[tokio::test]
async fn python_fans_out_to_rust_servers_that_share_a_transport() {
    let vhost = TestVhost::new().await;
    let transport = connect(&vhost.url()).await;
    let servers = [Twin::start_on(transport.clone(), "s1").await, Twin::start_on(transport, "s2").await];
    let mut client = python_client(&vhost.url()).await;
    client.ok(json!({"op": "fanout", "method": "cast_note", "args": {"x": 7}})).await;
    for server in servers {
        server.eventually_saw(&[7]).await;
    }
}

#[tokio::test]
async fn python_asks_one_rust_server_by_name() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (one, two) = (Twin::start(&url, "s1").await, Twin::start(&url, "s2").await);
    let mut client = python_client(&url).await;
    for server in ["s1", "s2", "s2", "s1"] {
        assert_eq!(client.ok(with(call("whoami", json!({})), json!({"server": server}))).await, server);
    }
    client.ok(json!({"op": "cast", "method": "cast_note", "args": {"x": 1}, "server": "s2"})).await;
    two.eventually_saw(&[1]).await;
    assert!(one.seen().is_empty());
}

#[tokio::test]
async fn python_pings_rust() {
    let vhost = TestVhost::new().await;
    let _server = RPCServer::builder(connect(&vhost.url()).await, Target::topic(TOPIC).server("s1"))
        .endpoint(Endpoint::new("1.0"))
        .ping(true)
        .start()
        .await
        .unwrap();
    let mut client = python_client(&vhost.url()).await;
    assert_eq!(client.ok(call("oslo_rpc_server_ping", json!({}))).await, "pong");
}
