//! The Python peers with each other, as the interop tests use them.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::needless_pass_by_value)]

use oxlo_test_support::{PythonPeer, TestVhost};
use serde_json::{Value, json};

async fn pair(vhost: &TestVhost) -> (PythonPeer, PythonPeer) {
    let url = vhost.url();
    let mut server = PythonPeer::spawn(
        "server.py",
        &["--url", &url, "--topic", "t", "--server", "s1", "--set", "rpc_ping_enabled=true"],
    );
    let mut client = PythonPeer::spawn("client.py", &["--url", &url, "--topic", "t"]);
    assert_eq!(server.expect_ready().await["server"], "s1");
    client.expect_ready().await;
    (server, client)
}

fn call(method: &str, args: Value) -> Value {
    json!({"op": "call", "method": method, "args": args, "timeout": 30})
}

#[tokio::test]
async fn a_client_calls_a_server_over_the_shared_broker() {
    let vhost = TestVhost::new().await;
    let (mut server, mut client) = pair(&vhost).await;

    assert_eq!(client.request(call("echo", json!({"value": {"a": [1, 2.5, "é☃", null]}}))).await["ok"]["a"][2], "é☃");
    assert_eq!(client.request(call("add", json!({"a": 1, "b": 2}))).await, json!({"ok": 3}));
    assert_eq!(client.request(call("whoami", json!({}))).await, json!({"ok": "s1"}));
    for (kind, value) in
        [("zero", json!(0)), ("text", json!("")), ("list", json!([])), ("false", json!(false)), ("null", json!(null))]
    {
        assert_eq!(client.request(call("falsy", json!({"kind": kind}))).await, json!({"ok": value}), "{kind}");
    }
    assert_eq!(client.request(call("nan", json!({}))).await["ok"]["nan"], json!({"$float": "nan"}));
    assert_eq!(client.request(call("surrogate", json!({}))).await["ok"], json!({"$utf16": [0xd800]}));
    assert_eq!(
        client.request(call("echo", json!({"value": {"$utf16": [0xdfff]}}))).await["ok"],
        json!({"$utf16": [0xdfff]})
    );
    assert_eq!(client.request(call("big", json!({}))).await["ok"], json!({"$int": "1180591620717411303424"}));

    let mut multiply = call("multiply", json!({"a": 3, "b": 4}));
    multiply["namespace"] = json!("math");
    multiply["version"] = json!("1.3");
    assert_eq!(client.request(multiply.clone()).await, json!({"ok": 12}));
    multiply["version"] = json!("1.4");
    assert_eq!(client.request(multiply).await["error"]["exc_type"], "UnsupportedVersion");

    assert_eq!(
        client.request(json!({"op": "cast", "method": "cast_note", "args": {"x": 7}, "at_least_once": true})).await,
        json!({"ok": null})
    );
    assert_eq!(
        client.request(json!({"op": "fanout", "method": "cast_note", "args": {"x": 8}})).await,
        json!({"ok": null})
    );
    oxlo_test_support::eventually(
        std::time::Duration::from_secs(20),
        "both casts have run",
        async || client.request(call("seen", json!({}))).await["ok"].as_array().map_or(0, Vec::len),
        |count| *count == 2,
    )
    .await;
    let mut seen = server.request(json!({"op": "seen"})).await["ok"].as_array().unwrap().clone();
    seen.sort_by_key(Value::as_i64);
    assert_eq!(seen, [json!(7), json!(8)]);

    let burst = client.request(json!({"op": "threads", "threads": 4, "each": 5})).await;
    assert_eq!(
        (&burst["ok"]["calls"], &burst["ok"]["wrong"], &burst["ok"]["errors"]),
        (&json!(20), &json!([]), &json!([]))
    );

    assert!(vhost.queue("t.s1").await.is_some_and(|queue| queue.consumers == 1));
    assert!(vhost.exchanges().await.iter().any(|exchange| exchange.name == "openstack"));
    assert!(vhost.bindings().await.iter().any(|binding| binding.queue == "t.s1"));
    assert!(!vhost.connections().await.is_empty());

    client.finish().await;
    assert_eq!(server.request(json!({"op": "stop"})).await, json!({"ok": null}));
    server.finish().await;
}

#[tokio::test]
async fn errors_keep_their_class_where_the_caller_allows_it() {
    let vhost = TestVhost::new().await;
    let (_server, mut client) = pair(&vhost).await;

    let value = client.request(call("fail", json!({"kind": "value", "message": "bad"}))).await;
    assert_eq!((&value["error"]["class"], &value["error"]["module"]), (&json!("ValueError"), &json!("builtins")));
    let opaque = client.request(call("fail", json!({"kind": "boom", "message": "bad"}))).await;
    assert_eq!((&opaque["error"]["class"], &opaque["error"]["exc_type"]), (&json!("RemoteError"), &json!("Boom")));
    let mut allowed = call("fail", json!({"kind": "boom", "message": "bad"}));
    allowed["allowed_remote_exmods"] = json!(["interop_errors"]);
    let typed = client.request(allowed).await;
    assert_eq!(
        (&typed["error"]["class"], &typed["error"]["module"]),
        (&json!("Boom_Remote"), &json!("interop_errors_Remote"))
    );
    assert_eq!(typed["error"]["kwargs"], json!({"code": 7, "detail": "d"}));
    assert_eq!(client.request(call("nothing", json!({}))).await["error"]["exc_type"], "NoSuchMethod");
    let mut capped = call("echo", json!({"value": 1}));
    capped["version"] = json!("1.3");
    capped["version_cap"] = json!("1.2");
    assert_eq!(client.request(capped).await["error"]["class"], "RPCVersionCapError");
}

#[tokio::test]
async fn a_dying_server_ends_and_a_monitored_call_notices() {
    let vhost = TestVhost::new().await;
    let (mut server, mut client) = pair(&vhost).await;
    let mut slow = call("slow", json!({"seconds": 60}));
    slow["timeout"] = json!(40);
    slow["call_monitor_timeout"] = json!(2);
    client.send(&slow).await;
    oxlo_test_support::eventually(
        std::time::Duration::from_secs(20),
        "the reply queue is there",
        async || vhost.queues().await.iter().any(|queue| queue.name.starts_with("reply_") && queue.consumers == 1),
        |there| *there,
    )
    .await;
    server.send(&json!({"op": "die"})).await;
    let answer = client.answer(std::time::Duration::from_secs(20)).await;
    assert_eq!(answer["error"]["class"], "MessagingTimeout");
    assert!(!server.is_running());
}
