//! Failures on the wire, field by field: a Rust server compared with a Python server.

use oxlo_test_support::{PythonPeer, TestVhost};
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, TOPIC, python_server, raw},
    twin::Twin,
};

/// The reply of the server `server` to a request as it is on the wire: properties, body keys in order, failure.
async fn reply_of(raw: &mut PythonPeer, server: &str, request: &Value) -> (Value, Vec<String>, Value) {
    let mut inner = json!({"_msg_id": "a".repeat(32), "_reply_q": "reply_raw", "_timeout": null, "_unique_id": format!("{server} {request}")});
    inner.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let body = json!({"oslo.version": "2.0", "oslo.message": inner.to_string()}).to_string();
    let order = json!({"op": "publish", "exchange": "openstack", "key": format!("{TOPIC}.{server}"), "body": body});
    assert_eq!(raw.ok(order).await, true, "it is routed");
    let reply = raw.ok(json!({"op": "get", "queue": "reply_raw"})).await;
    let envelope: Value = serde_json::from_str(reply["body"].as_str().unwrap()).unwrap();
    assert_eq!(envelope["oslo.version"], "2.0");
    let text = envelope["oslo.message"].as_str().unwrap();
    let inner: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        (&inner["_msg_id"], &inner["ending"], &inner["result"]),
        (&json!("a".repeat(32)), &json!(true), &Value::Null)
    );
    let mut failure: Value = serde_json::from_str(inner["failure"].as_str().expect("a failure")).unwrap();
    // Tracebacks differ; each must be a list of strings.
    let traceback = failure["tb"].take();
    assert!(traceback.as_array().is_some_and(|lines| lines.iter().all(Value::is_string)), "{traceback}");
    (json!([reply["properties"]["content_type"], reply["headers"]]), keys(text), failure)
}

/// The keys of an object in textual order.
fn keys(text: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let limits = oxlo::transport::json::Limits::default();
    oxlo::transport::json::raw_members(text, limits, |key, _| keys.push(key.into_owned())).unwrap();
    keys
}

async fn compare(requests: &[Value]) {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (_python, _rust, mut raw) = tokio::join!(python_server(&url, "python"), Twin::start(&url, "rust"), raw(&url));
    raw.ok(json!({"op": "declare", "queue": "reply_raw"})).await;
    for request in requests {
        let python = reply_of(&mut raw, "python", request).await;
        let mut rust = reply_of(&mut raw, "rust", request).await;
        // Python's text comes first; after a semicolon oxlo adds what is offered instead.
        let message = rust.2["message"].as_str().unwrap().to_owned();
        if let Some((words, _)) = message.split_once("; ") {
            rust.2["message"] = Value::from(words);
        }
        assert_eq!(rust, python, "{request}");
    }
}

#[tokio::test]
async fn an_unknown_method_is_refused_in_pythons_words() {
    compare(&[
        json!({"method": "nosuch", "args": {}}),
        json!({"method": "nosuch", "args": {"a": 1}, "version": "1.1"}),
        json!({"method": "echo", "args": {}, "namespace": "math"}),
        json!({"method": "probe_ignore_errors", "args": {}}),
        json!({"method": "\u{e9}\u{2603}", "args": {}}),
    ])
    .await;
}

#[tokio::test]
async fn an_unsupported_version_is_refused_in_pythons_words() {
    compare(&[
        json!({"method": "echo", "args": {}, "version": "1.3"}),
        json!({"method": "echo", "args": {}, "version": "2.0"}),
        json!({"method": "nosuch", "args": {}, "version": "2.0"}),
        json!({"method": "echo", "args": {}, "namespace": "nowhere"}),
        json!({"method": "echo", "args": {}, "namespace": ""}),
        json!({"method": "multiply", "args": {}, "namespace": "math", "version": "3.0"}),
    ])
    .await;
}

#[tokio::test]
async fn failures_of_methods_are_the_same_on_the_wire() {
    let fail = |kind: &str| json!({"method": "fail", "args": {"kind": kind, "message": "bad"}});
    let kinds = ["value", "key", "type", "runtime", "unicode", "no_args", "boom", "plain", "local", "falsy"];
    compare(&kinds.map(fail)).await;
}
