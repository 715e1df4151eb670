//! Messages as the broker sees them: oxlo's compared with Python's, property by property.

use oxlo::{Context, RPCClient, Target};
use oxlo_test_support::{PythonPeer, TestVhost, without_ids};
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, TOPIC, python_client, python_server, raw, rust_client, with},
    twin::Twin,
};

fn args() -> Value {
    json!({"a": 1, "b": "x\"y\\z\n", "c": [1, 2.5, null, true], "d": {"x": {}}})
}

/// A message without its random and intentionally different parts: ids, oxlo's `message_id`, the remaining milliseconds.
async fn take(raw: &mut PythonPeer, queue: &str, ours: bool) -> Value {
    let mut message = raw.ok(json!({"op": "get", "queue": queue})).await;
    let properties = message["properties"].as_object_mut().unwrap();
    let message_id = properties.remove("message_id");
    assert_eq!(message_id.is_some(), ours, "only we send one");
    if let Some(expiration) = properties.get_mut("expiration") {
        let left: u64 = expiration.as_str().unwrap().parse().unwrap();
        assert!((1..=2000).contains(&left), "what is left of the timeout: {left}");
        *expiration = json!("timeout");
    }
    // Python writes a space after each comma and colon; oxlo writes none within the arguments.
    let body = without_ids(message["body"].as_str().unwrap()).replace(", ", ",").replace(": ", ":");
    message["body"] = body.into();
    message
}

async fn tap(raw: &mut PythonPeer) {
    raw.ok(json!({"op": "declare", "queue": "tap", "exchange": "openstack", "key": "t"})).await;
    raw.ok(json!({"op": "declare", "queue": "tap.s1", "exchange": "openstack", "key": "t.s1"})).await;
    raw.ok(json!({"op": "declare", "queue": "tap_fanout", "exchange": "t_fanout", "type": "fanout"})).await;
}

fn ours(client: &RPCClient) -> RPCClient {
    client.prepare().namespace("ns1").version("1.2")
}

fn theirs(op: &str) -> Value {
    let keys = json!({"namespace": "ns1", "version": "1.2", "ctxt": {"roles": ["a"], "user": "u1"}});
    with(json!({"op": op, "method": "m", "args": args()}), keys)
}

fn ctxt() -> Context {
    Context::new().with("roles", vec!["a"]).with("user", "u1")
}

#[tokio::test]
async fn a_cast_is_what_python_sends() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (mut raw, mut python) = tokio::join!(raw(&url), python_client(&url));
    tap(&mut raw).await;
    let rust = rust_client(&url).await;
    python.ok(theirs("cast")).await;
    ours(&rust).cast(&ctxt(), "m", args()).await.unwrap();
    let golden = take(&mut raw, "tap", false).await;
    assert_eq!(
        golden["properties"],
        json!({"content_type": "application/json", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 0})
    );
    assert_eq!(
        (&golden["headers"], &golden["exchange"], &golden["key"]),
        (&json!({}), &json!("openstack"), &json!("t"))
    );
    assert_eq!(take(&mut raw, "tap", true).await, golden);

    python.ok(with(theirs("cast"), json!({"server": "s1"}))).await;
    ours(&rust).server("s1").cast(&ctxt(), "m", args()).await.unwrap();
    let golden = take(&mut raw, "tap.s1", false).await;
    assert_eq!(take(&mut raw, "tap.s1", true).await, golden);

    python.ok(json!({"op": "cast", "method": "m"})).await;
    rust.cast(&Context::new(), "m", ()).await.unwrap();
    let golden = take(&mut raw, "tap", false).await;
    assert_eq!(take(&mut raw, "tap", true).await, golden, "without namespace, version, arguments and context");
}

#[tokio::test]
async fn a_fanout_is_what_python_sends() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (mut raw, mut python) = tokio::join!(raw(&url), python_client(&url));
    tap(&mut raw).await;
    python.ok(theirs("fanout")).await;
    ours(&rust_client(&url).await).fanout(true).cast(&ctxt(), "m", args()).await.unwrap();
    let golden = take(&mut raw, "tap_fanout", false).await;
    assert_eq!((&golden["exchange"], &golden["key"]), (&json!("t_fanout"), &json!("")));
    assert_eq!(take(&mut raw, "tap_fanout", true).await, golden);
}

#[tokio::test]
async fn a_call_is_what_python_sends() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (mut raw, mut python) = tokio::join!(raw(&url), python_client(&url));
    tap(&mut raw).await;
    let rust = ours(&rust_client(&url).await).timeout(std::time::Duration::from_secs(2));
    for keys in [json!({"timeout": 2}), json!({"timeout": 2, "call_monitor_timeout": 2})] {
        let monitored = keys.get("call_monitor_timeout").is_some();
        python.send(&with(theirs("call"), keys)).await;
        let golden = take(&mut raw, "tap", false).await;
        assert_eq!(golden["properties"]["expiration"], "timeout");
        let rust = if monitored {
            rust.prepare().call_monitor_timeout(std::time::Duration::from_secs(2))
        } else {
            rust.clone()
        };
        let pending = rust.start::<()>(&ctxt(), "m", args()).await.unwrap();
        assert_eq!(take(&mut raw, "tap", true).await, golden);
        drop(pending);
        assert_eq!(python.answer(crate::fixture::SOON).await["error"]["class"], "MessagingTimeout");
    }
}

/// The messages that the server `server` sends to a reply queue for one request: heartbeats and the reply.
async fn answers(
    raw: &mut PythonPeer,
    server: &str,
    method: &str,
    args: Value,
    monitor: Value,
    count: usize,
) -> Vec<Value> {
    let inner = json!({
        "method": method, "args": args, "_msg_id": "a".repeat(32), "_reply_q": "reply_raw", "_timeout": monitor,
        "_unique_id": format!("{server}{method}"),
    });
    let body = json!({"oslo.version": "2.0", "oslo.message": inner.to_string()}).to_string();
    raw.ok(json!({"op": "publish", "exchange": "openstack", "key": format!("{TOPIC}.{server}"), "body": body})).await;
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(take(raw, "reply_raw", server == "rust").await);
    }
    answers
}

#[tokio::test]
async fn replies_and_heartbeats_are_what_python_sends() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (_python, _rust, mut raw) = tokio::join!(python_server(&url, "python"), Twin::start(&url, "rust"), raw(&url));
    raw.ok(json!({"op": "declare", "queue": "reply_raw"})).await;
    for (method, args, monitor, count) in [
        ("echo", json!({"value": args()}), Value::Null, 1),
        ("falsy", json!({"kind": "null"}), Value::Null, 1),
        // A heartbeat after two seconds, and the reply a second later, before the next one.
        ("slow", json!({"seconds": 3.0}), json!(4), 2),
    ] {
        let python = answers(&mut raw, "python", method, args.clone(), monitor.clone(), count).await;
        assert_eq!(python[0]["properties"].as_object().unwrap().len(), 4, "{python:?}");
        assert_eq!(answers(&mut raw, "rust", method, args, monitor, count).await, python, "{method}");
    }
}

/// A target, a version or arguments that Python refuses are refused here too, before any message is sent.
#[tokio::test]
async fn what_is_refused_leaves_no_message() {
    let vhost = TestVhost::new().await;
    let mut raw = raw(&vhost.url()).await;
    tap(&mut raw).await;
    let client = rust_client(&vhost.url()).await;
    let ctxt = Context::new();
    let fanout = client.prepare().fanout(true).call::<()>(&ctxt, "m", ()).await.unwrap_err();
    assert!(fanout.to_string().contains("fanout"), "{fanout}");
    let nowhere = RPCClient::new(crate::fixture::connect(&vhost.url()).await, Target::new());
    let nowhere = nowhere.call::<()>(&ctxt, "m", ()).await.unwrap_err();
    assert!(nowhere.to_string().contains("has no topic"), "{nowhere}");
    let version = client.prepare().version("1").call::<()>(&ctxt, "m", ()).await.unwrap_err();
    assert!(version.to_string().contains("\"1\""), "{version}");
    let args = client.call::<()>(&ctxt, "m", json!([1])).await.unwrap_err();
    assert!(matches!(args, oxlo::CallError::Encode { .. }), "{args:?}");
    for error in [fanout, nowhere, version, args] {
        assert!(!error.may_have_run() && !error.is_retryable(), "{error:?}");
    }
    for queue in ["tap", "tap_fanout"] {
        assert_eq!(raw.ok(json!({"op": "get", "queue": queue, "timeout": 0})).await, Value::Null, "{queue}");
    }
}
