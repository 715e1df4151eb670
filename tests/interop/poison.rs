//! Unreadable messages: rejected once, without effect on others.

use oxlo::{Context, RPCClient};
use oxlo_test_support::{PythonPeer, TestVhost, eventually};
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, SOON, ask, raw, rust_client},
    twin::Twin,
};

/// A Rust server whose rejected messages are dead-lettered to the queue `dead`.
struct Fixture {
    vhost: TestVhost,
    _server: Twin,
    client: RPCClient,
    raw: PythonPeer,
}

impl Fixture {
    async fn start() -> Self {
        let vhost = TestVhost::new().await;
        let policy = format!(
            "ok = rabbit_policy:set(<<\"{}\">>, <<\"dead\">>, <<\"^t$\">>, [{{<<\"dead-letter-exchange\">>, <<\"graveyard\">>}}], 0, <<\"queues\">>, <<\"oxlo\">>), ok.",
            vhost.name()
        );
        let mut raw = raw(&vhost.url()).await;
        raw.ok(json!({"op": "declare", "queue": "dead", "exchange": "graveyard", "key": "#"})).await;
        vhost.control().eval::<String>(&policy).await;
        let _server = Twin::start(&vhost.url(), "s1").await;
        let client = rust_client(&vhost.url()).await;
        Self { vhost, _server, client, raw }
    }

    /// Publishes a poison message, and checks that it is rejected, not requeued, and that calls succeed.
    async fn rejects(&mut self, what: &str, message: Value) {
        let mut order = json!({"op": "publish", "exchange": "openstack", "key": "t"});
        order.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
        assert_eq!(self.raw.ok(order).await, true, "{what}");
        let dead = self.raw.ok(json!({"op": "get", "queue": "dead"})).await;
        assert_eq!(dead["headers"]["x-death"][0]["reason"], "rejected", "{what}: {dead}");
        assert_eq!(dead["headers"]["x-death"][0]["count"], 1, "{what}: once");
        self.goes_on(what).await;
    }

    async fn goes_on(&self, what: &str) {
        assert_eq!(ask(&self.client, "echo", json!({"value": what})).await, what);
        let left = async || self.vhost.queue("t").await.map(|it| (it.messages, it.consumers));
        eventually(SOON, "nothing is left in the queue", left, |left| *left == Some((0, 1))).await;
    }
}

fn request(inner: Value) -> Value {
    json!({"oslo.version": "2.0", "oslo.message": inner.to_string()})
}

fn note(further: Value) -> Value {
    crate::fixture::with(json!({"method": "cast_note", "args": {"x": 1}}), further)
}

fn body(body: Value) -> Value {
    json!({"body": body.to_string()})
}

#[tokio::test]
async fn bodies_that_are_no_request_are_rejected() {
    let mut fixture = Fixture::start().await;
    let inner = note(json!({})).to_string();
    for (what, text) in [
        ("no JSON", "{\"oslo.version\": \"2.0\""),
        ("nothing", ""),
        ("a list", "[1, 2]"),
        ("a text", "\"call me\""),
        ("null", "null"),
        ("an envelope around no JSON", r#"{"oslo.version": "2.0", "oslo.message": "{"}"#),
        ("an envelope around a list", r#"{"oslo.version": "2.0", "oslo.message": "[]"}"#),
        ("an envelope around an object", r#"{"oslo.version": "2.0", "oslo.message": {"method": "m"}}"#),
    ] {
        fixture.rejects(what, json!({"body": text})).await;
    }
    for version in ["3.0", "2.1", "1.0"] {
        let envelope = json!({"oslo.version": version, "oslo.message": inner});
        fixture.rejects(&format!("envelope {version}"), body(envelope)).await;
    }
    fixture.rejects("invalid UTF-8", json!({"body": {"hex": "7b22ff223a317d"}})).await;
    assert_eq!(ask(&fixture.client, "seen", json!({})).await, json!([]), "none of them ran");
}

#[tokio::test]
async fn properties_that_do_not_fit_are_rejected() {
    let mut fixture = Fixture::start().await;
    let inner = request(note(json!({}))).to_string();
    for (what, properties) in [
        ("text/plain", json!({"content_type": "text/plain"})),
        ("octets", json!({"content_type": "application/octet-stream", "content_encoding": "binary"})),
        ("no content type", json!({})),
    ] {
        fixture.rejects(what, json!({"body": inner, "properties": properties})).await;
    }
    for compression in ["application/x-gzip", "application/x-bz2", "application/x-nonsense"] {
        let headers = json!({"compression": compression});
        fixture.rejects(compression, json!({"body": inner, "headers": headers})).await;
    }
    assert_eq!(ask(&fixture.client, "seen", json!({})).await, json!([]), "none of them ran");
}

#[tokio::test]
async fn a_forged_reply_queue_is_rejected() {
    let mut fixture = Fixture::start().await;
    for queue in [json!("t"), json!("t.s1"), json!(""), json!("reply_"), json!("amq.rabbitmq.trace"), json!(7)] {
        let forged = note(json!({"_msg_id": "a".repeat(32), "_reply_q": queue, "_unique_id": queue.to_string()}));
        fixture.rejects(&format!("_reply_q {queue}"), body(request(forged))).await;
    }
    assert_eq!(ask(&fixture.client, "seen", json!({})).await, json!([]), "none of them ran");
}

#[tokio::test]
async fn a_reply_queue_that_is_not_there_keeps_nobody_from_work() {
    let mut fixture = Fixture::start().await;
    for x in 0..3 {
        let inner = json!({
            "method": "cast_note", "args": {"x": x}, "_msg_id": "a".repeat(32), "_unique_id": format!("u{x}"),
            "_reply_q": format!("reply_{}", "0".repeat(32)),
        });
        let order =
            crate::fixture::with(body(request(inner)), json!({"op": "publish", "exchange": "openstack", "key": "t"}));
        assert_eq!(fixture.raw.ok(order).await, true);
    }
    fixture._server.eventually_saw(&[0, 1, 2]).await;
    fixture.goes_on("while the replies are tried again").await;
}

#[tokio::test]
async fn sixteen_mebibytes_of_brackets_are_rejected() {
    let mut fixture = Fixture::start().await;
    let brackets = json!({"repeat": "[", "times": 16 << 20});
    let order = json!({"op": "publish", "exchange": "openstack", "key": "t", "body": brackets});
    assert_eq!(fixture.raw.ok(order).await, true);
    // The dead letter is not fetched: it would be 16 MiB of hexadecimal digits on a pipe.
    let dead = async || fixture.vhost.queue("dead").await.map(|queue| queue.messages);
    eventually(SOON, "the brackets are rejected", dead, |count| *count == Some(1)).await;
    fixture.goes_on("after the brackets").await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let inner = format!(r#"{{"method": "cast_note", "args": {{"x": {deep}}}}}"#);
    let envelope = json!({"oslo.version": "2.0", "oslo.message": inner}).to_string();
    let order = json!({"op": "publish", "exchange": "openstack", "key": "t", "body": envelope});
    assert_eq!(fixture.raw.ok(order).await, true);
    eventually(SOON, "so are those in an argument", dead, |count| *count == Some(2)).await;
    fixture.goes_on("after all brackets").await;
}

#[tokio::test]
async fn replies_that_nobody_waits_for_harm_no_call() {
    let mut fixture = Fixture::start().await;
    let slow = fixture.client.start::<String>(&Context::new(), "slow", json!({"seconds": 1.0})).await.unwrap();
    let queues = fixture.vhost.queues().await;
    let queue = &queues.iter().find(|queue| queue.name.starts_with("reply_")).unwrap().name;
    let id = slow.message_id();
    for (body, properties) in [
        (request(json!({"result": 1, "failure": null, "ending": true, "_msg_id": "f".repeat(32)})).to_string(), None),
        (request(json!({"result": null, "failure": null, "ending": false, "_msg_id": id})).to_string(), None),
        (request(json!({"result": 1})).to_string(), None),
        ("{".to_owned(), None),
        ("[]".to_owned(), None),
        (json!({"oslo.version": "3.0", "oslo.message": "{}"}).to_string(), None),
        ("{}".to_owned(), Some(json!({"content_type": "text/plain"}))),
    ] {
        let mut order = json!({"op": "publish", "exchange": "", "key": queue, "body": body});
        if let Some(properties) = properties {
            order["properties"] = properties;
        }
        assert_eq!(fixture.raw.ok(order).await, true);
    }
    assert_eq!(slow.await.unwrap(), "slow");
    fixture.goes_on("after stray replies").await;
    let left = async || fixture.vhost.queue(queue).await.map(|queue| queue.messages);
    eventually(SOON, "the stray replies are off the queue", left, |left| *left == Some(0)).await;
}

/// Unusual messages that are valid: Python accepts them, and so does oxlo.
#[tokio::test]
async fn what_python_takes_is_taken() {
    let fixture = Fixture::start().await;
    let Fixture { _server: server, mut raw, .. } = fixture;
    let properties = json!({"content_type": "application/json"});
    for (body, properties) in [
        (note(json!({})), properties.clone()),
        (request(note(json!({"_unique_id": "b", "namespace": null}))), properties),
        (
            request(note(json!({"_unique_id": "c", "unheard_of": {"x": 1}}))),
            json!({"content_type": "application/json", "content_encoding": "binary", "priority": 3}),
        ),
    ] {
        let order = json!({"op": "publish", "exchange": "openstack", "key": "t", "body": body.to_string(), "properties": properties});
        assert_eq!(raw.ok(order).await, true);
    }
    server.eventually_saw(&[1, 1, 1]).await;
}
