//! `kombu_compression` in both directions, and with peers that do not compress.

use oxlo_test_support::{PythonPeer, TestVhost};
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, ask, call, python_client, python_server, raw, rust_client, with},
    twin::Twin,
};

fn packed(vhost: &TestVhost) -> String {
    packed_by(vhost, "gzip")
}

fn packed_by(vhost: &TestVhost, kind: &str) -> String {
    format!("{}?kombu_compression={kind}", vhost.url())
}

fn value() -> Value {
    json!(["\u{e9}\u{2603}".repeat(2000), {"x": null}])
}

#[tokio::test]
async fn rust_and_python_read_each_others_compressed_messages() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&packed(&vhost), "s1").await;
    let client = rust_client(&packed(&vhost)).await;
    assert_eq!(ask(&client, "echo", json!({"value": value()})).await, value());
    // The reader uses the message's header, not its own options.
    let plain = rust_client(&vhost.url()).await;
    assert_eq!(ask(&plain, "echo", json!({"value": value()})).await, value());
}

#[tokio::test]
async fn python_and_rust_read_each_others_compressed_messages() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&packed(&vhost), "s1").await;
    let (url, packed) = (vhost.url(), packed(&vhost));
    let (mut client, mut plain) = tokio::join!(python_client(&packed), python_client(&url));
    assert_eq!(client.ok(call("echo", json!({"value": value()}))).await, value());
    assert_eq!(plain.ok(call("echo", json!({"value": value()}))).await, value());
    let boom = with(call("fail", json!({"kind": "boom"})), json!({"allowed_remote_exmods": ["interop_errors"]}));
    assert_eq!(client.error(boom).await["class"], "Boom_Remote", "failures are compressed as well");
}

#[tokio::test]
async fn bzip2_is_read_both_ways() {
    let vhost = TestVhost::new().await;
    let packed = packed_by(&vhost, "bzip2");
    let _rust = Twin::start(&packed, "rust").await;
    let _python = python_server(&packed, "python").await;
    let client = rust_client(&packed).await;
    let mut python = python_client(&packed).await;
    for server in ["rust", "python"] {
        let sent = json!({"value": value()});
        let answered: Value = client.prepare().server(server).call(&oxlo::Context::new(), "echo", sent).await.unwrap();
        assert_eq!(answered, value(), "Rust asks {server}");
        let asked = with(call("echo", json!({"value": value()})), json!({"server": server}));
        assert_eq!(python.ok(asked).await, value(), "Python asks {server}");
    }
}

async fn taken(raw: &mut PythonPeer) -> Value {
    let message = raw.ok(json!({"op": "get", "queue": "tap"})).await;
    assert!(message["hex"].as_str().unwrap().starts_with("789c"), "a zlib stream: {message}");
    json!([message["headers"], message["properties"]["content_type"], message["properties"]["content_encoding"]])
}

#[tokio::test]
async fn compressed_messages_are_labelled_as_pythons_are() {
    let vhost = TestVhost::new().await;
    let (url, packed) = (vhost.url(), packed(&vhost));
    let (mut raw, mut python) = tokio::join!(raw(&url), python_client(&packed));
    raw.ok(json!({"op": "declare", "queue": "tap", "exchange": "openstack", "key": "t"})).await;
    python.ok(json!({"op": "cast", "method": "m", "args": {"value": value()}})).await;
    let theirs = taken(&mut raw).await;
    assert_eq!(theirs[0], json!({"compression": "application/x-gzip"}));
    let rust = rust_client(&packed).await;
    rust.cast(&oxlo::Context::new(), "m", json!({"value": value()})).await.unwrap();
    assert_eq!(taken(&mut raw).await, theirs);
}
