//! Rows 17 to 27: malicious messages, put into the queue from inside the broker, bypassing any client.

use oxlo::{CallError, Context, RPCClient, Target, TransportError};
use oxlo_faults_kit::{Caller, SOON, Stage, TOPIC, ran};
use oxlo_test_support::{Event, TestVhost, VhostAdmin, eventually, resident};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::scene::{connections, reply_queue, stage_on};

/// The properties that Python's kombu sets.
pub(crate) const JSON: &str = "[{content_type, <<\"application/json\">>}, {content_encoding, <<\"utf-8\">>}]";

pub(crate) fn erlang(text: &[u8]) -> String {
    let bytes: Vec<String> = text.iter().map(ToString::to_string).collect();
    format!("<<{}>>", bytes.join(","))
}

/// Puts a message into `queue`. Properties and body are Erlang expressions.
async fn inject(admin: &VhostAdmin, queue: &str, properties: &str, body: &str) {
    let expressions = format!(
        "Vhost = {}, rabbit_basic:publish(rabbit_misc:r(Vhost, exchange, <<>>), {}, {properties}, {body}), ok.",
        erlang(admin.name().as_bytes()),
        erlang(queue.as_bytes()),
    );
    admin.control().eval::<String>(&expressions).await;
}

/// oslo's envelope around a text.
fn enveloped(inner: &str) -> Vec<u8> {
    json!({"oslo.version": "2.0", "oslo.message": inner}).to_string().into_bytes()
}

/// oslo's envelope around a request.
pub(crate) fn envelope(inner: &Value) -> Vec<u8> {
    enveloped(&inner.to_string())
}

/// A cast that the service would run.
fn request(id: &str) -> Value {
    json!({"method": "echo", "args": {"id": id}, "version": "1.0", "_unique_id": Caller::fresh_id()})
}

/// Asserts that the service emptied its queue and still serves, on the same connections.
pub(crate) async fn unharmed(vhost: &TestVhost, stage: &Stage) {
    let drained =
        |queue: &Option<oxlo_test_support::QueueInfo>| queue.as_ref().is_some_and(|queue| queue.messages == 0);
    eventually(SOON, "the queue is empty", async || vhost.queue(TOPIC).await, drained).await;
    stage.caller.call(0, SOON).await.unwrap();
    assert_eq!(connections(vhost).await.len(), 4);
}

/// Bodies that cannot be read are rejected, and nothing runs.
async fn rejected(bodies: &[Vec<u8>]) {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    for body in bodies {
        inject(&vhost, TOPIC, JSON, &erlang(body)).await;
    }
    unharmed(&vhost, &stage).await;
    let summary = stage.close().await;
    assert_eq!(summary.calls, 2, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_17_oversized_message() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let client = RPCClient::new(stage.client.clone(), Target::topic(TOPIC));
    let large = "x".repeat(17 << 20);
    let error = client.call::<String>(&Context::new(), "echo", json!({"id": large})).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Transport { error: TransportError::TooLarge { .. }, .. }) && !error.may_have_run(),
        "{error}"
    );
    // An oversized message that arrives is rejected unread.
    inject(&vhost, TOPIC, JSON, "binary:copy(<<\"x\">>, 17 * 1024 * 1024)").await;
    unharmed(&vhost, &stage).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_18_malformed_bodies() {
    rejected(&[
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"{\"oslo.version\": \"2.0\"}".to_vec(),
        b"{\"oslo.version\": \"2.0\", \"oslo.message\": 7}".to_vec(),
        enveloped(""),
        enveloped("[]"),
        enveloped("{\"method\": 7}"),
        enveloped("{\"method\": \"echo\", \"args\": [1]}"),
        enveloped("{\"method\": \"echo\", \"args\": {}, \"_msg_id\": 7, \"_reply_q\": {}}"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_18_wrong_content_type() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let body = erlang(&envelope(&request("unlabelled")));
    for properties in ["[]", "[{content_type, <<\"application/x-python-serialize\">>}]"] {
        inject(&vhost, TOPIC, properties, &body).await;
    }
    unharmed(&vhost, &stage).await;
    assert_eq!(stage.history.executions("unlabelled"), 0);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_19_json_bomb() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let before = resident();
    let head =
        b"{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\\\"method\\\": \\\"echo\\\", \\\"args\\\": {\\\"id\\\": [";
    let body = format!("<<{}/binary, (binary:copy(<<\"0,\">>, 7000000))/binary, \"0]}}}}\\\"}}\">>", erlang(head));
    inject(&vhost, TOPIC, JSON, &body).await;
    let begun = Instant::now();
    unharmed(&vhost, &stage).await;
    let grown = resident().saturating_sub(before);
    println!("figures: a JSON bomb of 14 MB took {:?} and left {} MiB more resident", begun.elapsed(), grown >> 20);
    // At most four times the largest message that is accepted.
    stage.history.record(Event::Memory { before, after: before + grown, bound: 4 * (16 << 20) });
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_20_deep_json() {
    let deep = |depth: usize| {
        let inner =
            format!("{{\"method\": \"echo\", \"args\": {{\"id\": {}{}}}}}", "[".repeat(depth), "]".repeat(depth));
        enveloped(&inner)
    };
    rejected(&[deep(200), deep(10_000), "[".repeat(50_000).into_bytes(), "{\"a\":".repeat(20_000).into_bytes()]).await;
}

/// Messages that only Python writes or accepts: none is harmful, and duplicate ids cause no confusion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_21_odd_json() {
    rejected(&[
        enveloped("{\"method\": \"nothing\", \"method\": \"other\", \"args\": {}}"),
        enveloped("{\"method\": \"nothing\", \"args\": {\"x\": 1e400}}"),
        enveloped("{\"method\": \"nothing\", \"args\": {\"x\": 123456789012345678901234567890}}"),
        enveloped("{\"method\": \"nothing\", \"args\": {\"x\": NaN, \"y\": -Infinity}}"),
        enveloped("{\"method\": \"nothing\", \"args\": {\"x\": \"\\ud800\"}}"),
        enveloped("{\"method\": \"nothing\", \"args\": {}, \"_unique_id\": \"a\", \"_unique_id\": \"b\"}"),
    ])
    .await;
}

/// Requests with these headers, each an Erlang expression, run normally.
async fn runs_with(headers: &[String]) {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    for headers in headers {
        let id = Caller::fresh_id();
        stage.history.record(Event::Cast { id: id.clone() });
        let properties = format!("[{{content_type, <<\"application/json\">>}}, {{headers, {headers}}}]");
        inject(&vhost, TOPIC, &properties, &erlang(&envelope(&request(&id)))).await;
        ran(&stage.history, &id).await;
    }
    unharmed(&vhost, &stage).await;
    stage.close().await;
}

/// The guard of the stream replaces such headers; that a process without it aborts is shown by the driver's own tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_22_deep_header_tables() {
    let deep = |depth| format!("lists:foldl(fun(_, T) -> [{{<<\"k\">>, table, T}}] end, [], lists:seq(1, {depth}))");
    runs_with(&[900, 5_000, 14_000].map(deep)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_23_huge_headers() {
    let huge = [
        "[{integer_to_binary(N), longstr, <<\"x\">>} || N <- lists:seq(1, 9000)]",
        "[{<<\"k\">>, longstr, binary:copy(<<\"x\">>, 100000)}]",
        "[{binary:copy(<<\"k\">>, 255), longstr, <<\"x\">>}]",
    ];
    runs_with(&huge.map(str::to_owned)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_24_unknown_envelope() {
    let inner = request("enveloped").to_string();
    rejected(&[
        json!({"oslo.version": "3.0", "oslo.message": inner}).to_string().into_bytes(),
        json!({"oslo.version": "2.9", "oslo.message": inner}).to_string().into_bytes(),
        json!({"oslo.version": 2, "oslo.message": inner}).to_string().into_bytes(),
        json!({"oslo.version": "two", "oslo.message": inner}).to_string().into_bytes(),
    ])
    .await;
}

/// Replies without a pending call, duplicate replies, and forged replies with guessed ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_25_and_27_replies_to_unknown_ids() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let queue = reply_queue(&vhost).await;
    let (call, id) = stage.caller.spawn_call(1000, SOON);
    ran(&stage.history, &id).await;
    for guess in 0..500_u128 {
        let forged = json!({"result": "forged", "failure": null, "ending": true, "_unique_id": guess.to_string(),
            "_msg_id": format!("{:032x}", guess.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))});
        inject(&vhost, &queue, JSON, &erlang(&envelope(&forged))).await;
    }
    for body in [&b"{"[..], b"{\"_msg_id\": 7}", b"\x00"] {
        inject(&vhost, &queue, JSON, &erlang(body)).await;
    }
    call.await.unwrap().unwrap();
    unharmed(&vhost, &stage).await;
    stage.close().await;
}

/// A forged reply queue receives at most one reply, and only if it is a reply queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_26_forged_reply_queue() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    for name in ["victim", "reply_victim"] {
        let expression = format!(
            "rabbit_amqqueue:declare(rabbit_misc:r({}, queue, {}), false, false, [], none, <<\"oxlo\">>), ok.",
            erlang(vhost.name().as_bytes()),
            erlang(name.as_bytes())
        );
        vhost.control().eval::<String>(&expression).await;
    }
    for reply_queue in ["victim", TOPIC, "amq.rabbitmq.reply-to", "reply_ victim", "", "reply_victim"] {
        let mut forged = request("forged");
        forged["method"] = json!("nothing");
        forged["_msg_id"] = json!("0123456789abcdef0123456789abcdef");
        forged["_reply_q"] = json!(reply_queue);
        inject(&vhost, TOPIC, JSON, &erlang(&envelope(&forged))).await;
    }
    let messages = async |name: &'static str| vhost.queue(name).await.map_or(0, |queue| queue.messages);
    eventually(SOON, "the one reply", async || messages("reply_victim").await, |count| *count == 1).await;
    unharmed(&vhost, &stage).await;
    assert_eq!(messages("victim").await, 0);
    assert_eq!(messages("reply_victim").await, 1, "one reply for one request");
    for name in ["victim", "reply_victim"] {
        vhost.delete_queue(name).await;
    }
    stage.close().await;
}
