//! All RPC patterns, with a Rust client and Python servers.

use oxlo::Context;
use oxlo_test_support::{PythonPeer, TestVhost, eventually};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fixture::{Ask, SOON, ask, python_server, rust_client};

async fn eventually_saw(server: &mut PythonPeer, notes: Value) {
    eventually(SOON, "the casts have run", async || server.ok(json!({"op": "seen"})).await, |seen| *seen == notes)
        .await;
}

/// Python has no class for wrong arguments; the traceback distinguishes them from a `TypeError` raised by the method.
#[tokio::test]
async fn arguments_that_python_refuses_ran_nothing() {
    #[oxlo::contract(version = "1.0", client)]
    trait Peer {
        async fn no_arguments(&self, ctxt: &Context, x: i64) -> Result<String, oxlo::Failure>;
        async fn echo(&self, ctxt: &Context) -> Result<String, oxlo::Failure>;
        async fn nothing(&self, ctxt: &Context) -> Result<String, oxlo::Failure>;
        async fn fail(&self, ctxt: &Context, kind: String) -> Result<String, oxlo::Failure>;
    }
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let peer = PeerClient::over(rust_client(&vhost.url()).await);
    let ctxt = Context::new();
    for error in [
        peer.no_arguments(&ctxt, 1).await.unwrap_err(),
        peer.echo(&ctxt).await.unwrap_err(),
        peer.nothing(&ctxt).await.unwrap_err(),
    ] {
        assert!(error.call().is_some_and(oxlo::CallError::is_refused_by_server) && !error.may_have_run(), "{error}");
    }
    let own = peer.fail(&ctxt, "type".into()).await.unwrap_err();
    assert!(own.failed().is_some_and(|failure| failure.class == "TypeError") && own.may_have_run(), "{own}");
}

#[tokio::test]
async fn rust_calls_python() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    let sum: i64 = client.call(&Context::new(), "add", json!({"a": 1, "b": 2})).await.unwrap();
    assert_eq!(sum, 3);
    let none: String = client.call(&Context::new(), "no_arguments", ()).await.unwrap();
    assert_eq!(none, "none");
    assert_eq!(ask(&client, "defaults", json!({"a": 1})).await, json!([1, "b", null]));
}

#[tokio::test]
async fn rust_calls_python_with_types_of_its_own() {
    #[derive(serde::Serialize)]
    struct Echo<'a> {
        value: Disk<'a>,
    }
    #[derive(Debug, PartialEq, serde::Serialize, Deserialize)]
    struct Disk<'a> {
        name: std::borrow::Cow<'a, str>,
        sizes: Vec<u64>,
        label: Option<String>,
    }
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    let disk = || Disk { name: "vda".into(), sizes: vec![1, u64::MAX], label: None };
    let echoed: Disk<'static> = client.call(&Context::new(), "echo", Echo { value: disk() }).await.unwrap();
    assert_eq!(echoed, disk());
    let wrong = client.call::<i64>(&Context::new(), "echo", Echo { value: disk() }).await.unwrap_err();
    assert!(matches!(wrong, oxlo::CallError::Decode { .. }) && wrong.may_have_run(), "{wrong:?}");
}

#[tokio::test]
async fn rust_has_many_calls_to_python_in_flight() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    let mut pending = Vec::new();
    for number in 0..100 {
        pending.push((number, client.start::<i64>(&Context::new(), "echo", json!({"value": number})).await.unwrap()));
    }
    for (number, call) in pending {
        assert_eq!(call.await.unwrap(), number);
    }
}

#[tokio::test]
async fn rust_casts_to_python() {
    let vhost = TestVhost::new().await;
    let mut server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    for x in 0..3 {
        client.cast(&Context::new(), "cast_note", json!({"x": x})).await.unwrap();
    }
    eventually(
        SOON,
        "three casts have run, in any order of their threads",
        async || server.ok(json!({"op": "seen"})).await.as_array().map_or(0, Vec::len),
        |count| *count == 3,
    )
    .await;
}

#[tokio::test]
async fn rust_fans_out_to_three_python_servers() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (one, two, three) =
        tokio::join!(python_server(&url, "s1"), python_server(&url, "s2"), python_server(&url, "s3"));
    let client = rust_client(&url).await.fanout(true);
    client.cast(&Context::new(), "cast_note", json!({"x": 7})).await.unwrap();
    for mut server in [one, two, three] {
        eventually_saw(&mut server, json!([7])).await;
    }
}

#[tokio::test]
async fn rust_asks_one_python_server_by_name() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (mut one, mut two) = tokio::join!(python_server(&url, "s1"), python_server(&url, "s2"));
    let client = rust_client(&url).await;
    for server in ["s1", "s2", "s2", "s1"] {
        assert_eq!(ask(&client.prepare().server(server), "whoami", json!({})).await, server);
    }
    client.prepare().server("s2").cast(&Context::new(), "cast_note", json!({"x": 1})).await.unwrap();
    eventually_saw(&mut two, json!([1])).await;
    assert_eq!(one.ok(json!({"op": "seen"})).await, json!([]));
}

#[tokio::test]
async fn rust_pings_python() {
    let vhost = TestVhost::new().await;
    let arguments = ["--url", &vhost.url(), "--topic", "t", "--server", "s1", "--set", "rpc_ping_enabled=true"];
    let _server = crate::fixture::python("server.py", &arguments).await;
    let client = rust_client(&vhost.url()).await;
    assert_eq!(ask(&client, "oslo_rpc_server_ping", json!({})).await, "pong");
}
