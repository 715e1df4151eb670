//! Rows 70 to 72: messages that are small on the wire and large in memory.

use std::{sync::Arc, time::Duration};

use oxlo::{
    Context, Endpoint, Failure, Payload, RPCClient, RPCServer, Target, Transport,
    notify::{BatchEndpoint, BatchListener, Notification, NotificationFormat, Priority, Received},
    transport::SendOptions,
};
use oxlo_faults_kit::{SOON, TOPIC};
use oxlo_test_support::{Event, TestVhost, VhostAdmin, eventually, peak_resident};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::{
    hostile::{erlang, unharmed},
    scene::{reply_queue, stage_on},
};

/// The properties that Python's kombu sets on compressed messages.
const PACKED: &str = "[{content_type, <<\"application/json\">>}, {content_encoding, <<\"utf-8\">>}, \
     {headers, [{<<\"compression\">>, longstr, <<\"application/x-gzip\">>}]}]";

/// Incompressible digits, enough to keep a message of 16 MiB below the refused compression ratio.
const LOOSE: usize = 200_000;

/// Puts messages into `queue` that are packed. `inner` is an Erlang expression for the object of one, in which `N` is its
/// number, and `Loose` are the [digits](LOOSE).
async fn inject_packed(admin: &VhostAdmin, queue: &str, messages: usize, inner: &str) {
    let expressions = format!(
        "Vhost = {}, Queue = rabbit_misc:r(Vhost, exchange, <<>>), \
         Loose = << <<($0 + (B rem 10))>> || <<B>> <= crypto:strong_rand_bytes({LOOSE}) >>, \
         lists:foreach(fun(N) -> \
             Inner = iolist_to_binary({inner}), \
             Body = [<<\"{{\\\"oslo.version\\\": \\\"2.0\\\", \\\"oslo.message\\\": \\\"\">>, \
                 binary:replace(Inner, <<\"\\\"\">>, <<\"\\\\\\\"\">>, [global]), <<\"\\\"}}\">>], \
             rabbit_basic:publish(Queue, {}, {PACKED}, zlib:compress(iolist_to_binary(Body))) \
         end, lists:seq(1, {messages})), byte_size(Loose).",
        erlang(admin.name().as_bytes()),
        erlang(queue.as_bytes()),
    );
    assert_eq!(admin.control().eval::<usize>(&expressions).await, LOOSE);
}

/// The text of an Erlang binary.
fn binary(text: &str) -> String {
    format!("<<{}>>", json!(text))
}

/// The growth of peak resident memory over `before`.
fn grown(before: u64) -> u64 {
    peak_resident().saturating_sub(before)
}

/// Requests that unpack to 60 MB, at a server with places for all of them: as much is unpacked as a listener may hold, 8 MiB
/// and one message, and they all run when those before them have ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_70_messages_that_unpack_wait_packed() {
    const MESSAGES: usize = 20;
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let transport = oxlo::builder(vhost.url()).max_in_flight_bytes(8 << 20).max_message_size(4 << 20).connect();
    let transport = transport.await.unwrap();
    let (running, mut seen) = watch::channel(0_usize);
    let places = Arc::new(Semaphore::new(0));
    let held = places.clone();
    let hold = Endpoint::new("1.0").method("hold", move |args: Payload| {
        let (running, held) = (running.clone(), held.clone());
        async move {
            assert!(args.len() > 3_000_000);
            running.send_modify(|running| *running += 1);
            held.acquire().await.unwrap().forget();
            Ok::<_, Failure>(())
        }
    });
    let server = RPCServer::builder(transport.clone(), Target::topic("held").server("one"))
        .endpoint(hold)
        .start()
        .await
        .unwrap();
    let before = peak_resident();
    let inner = format!(
        "[{}, integer_to_binary(N), {}, Loose, binary:copy(<<\"0\">>, 2800000), {}]",
        binary(r#"{"method": "hold", "version": "1.0", "_unique_id": ""#),
        binary(r#"", "args": {"x": ""#),
        binary(r#""}}"#)
    );
    inject_packed(&vhost, "held", MESSAGES, &inner).await;
    // The third is the one by which 8 MiB are exceeded.
    tokio::time::timeout(SOON, seen.wait_for(|running| *running == 3)).await.expect("three run").unwrap();
    let taken =
        |queue: &Option<oxlo_test_support::QueueInfo>| queue.as_ref().is_some_and(|queue| queue.messages_ready == 0);
    eventually(SOON, "all have come", async || vhost.queue("held").await, taken).await;
    stage.caller.call(0, SOON).await.unwrap();
    assert_eq!(*seen.borrow(), 3, "the others wait");
    places.add_permits(MESSAGES);
    tokio::time::timeout(SOON, seen.wait_for(|running| *running == MESSAGES)).await.expect("all run").unwrap();
    println!("figures: {MESSAGES} messages that unpack to 3 MB each took {} MiB at most", grown(before) >> 20);
    // As `Settings::max_in_flight_bytes` says.
    stage.history.record(Event::Memory { before, after: before + grown(before), bound: (2 * (8 + 3 * 4)) << 20 });
    server.stop();
    server.wait().await.unwrap();
    transport.close().await;
    stage.close().await;
}

/// Notifications that fill what a listener may hold are handled, however many a batch may have and however long it waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_70_a_batch_ends_where_memory_does() {
    let vhost = TestVhost::new().await;
    let transport: Arc<dyn Transport> = oxlo::builder(vhost.url()).max_in_flight_bytes(10_000).connect().await.unwrap();
    let (handled, mut seen) = watch::channel(0_usize);
    let endpoint = BatchEndpoint::new().on(Priority::Info, move |batch: Vec<Received<String>>| {
        assert!(batch.len() <= 2, "{}", batch.len());
        handled.send_modify(|handled| *handled += batch.len());
        async {}
    });
    let listener = BatchListener::builder(transport.clone())
        .target(Target::topic("filling"))
        .endpoint(endpoint)
        .size(100)
        .timeout(Duration::from_secs(3600))
        .start()
        .await
        .unwrap();
    let to = Target::topic("filling");
    for number in 0..10 {
        let notification = Notification {
            context: Context::new(),
            message_id: format!("{number}").into(),
            publisher_id: "test".into(),
            event_type: "fills".into(),
            priority: Priority::Info,
            payload: Payload::encode(&"x".repeat(6_000)).unwrap(),
            timestamp: "2026-01-02 03:04:05.678901".into(),
            format: NotificationFormat::V2,
        };
        transport.notify(&to, notification, &SendOptions::new()).await.unwrap();
    }
    tokio::time::timeout(SOON, seen.wait_for(|handled| *handled == 10)).await.expect("all are handled").unwrap();
    listener.stop();
    assert_eq!(listener.wait().await.unwrap().handled, 10);
    transport.close().await;
}

/// Contexts of three million values, of two hundred thousand keys, and packed a thousand to one: each would take a hundred
/// MiB as values, and is rejected before anything is made of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_71_context_bombs() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let before = peak_resident();
    let head = binary(r#"{"method": "echo", "args": {"id": "bomb"}, "version": "1.0", "_context_a": "#);
    let zeros = "binary:copy(<<\"0,\">>, 3000000)";
    let tight = format!("[{head}, {}, {zeros}, {}]", binary("["), binary("0]}"));
    let loose = format!("[{head}, {}, {zeros}, {}, Loose, {}]", binary("["), binary("\""), binary("\"]}"));
    let keys = format!(
        "[{head}, {}, [[{}, integer_to_binary(K), {}] || K <- lists:seq(1, 200000)], {}]",
        binary("0"),
        binary(r#", "_context_"#),
        binary(r#"": 0"#),
        binary("}")
    );
    for (messages, inner) in [(4, tight), (1, loose), (1, keys)] {
        inject_packed(&vhost, TOPIC, messages, &inner).await;
    }
    unharmed(&vhost, &stage).await;
    println!("figures: context bombs took {} MiB", grown(before) >> 20);
    stage.history.record(Event::Memory { before, after: before + grown(before), bound: 64 << 20 });
    assert_eq!(stage.history.executions("bomb"), 0);
    // A large one that is valid.
    let roles: Vec<usize> = (0..9_000).collect();
    stage.history.record(Event::Cast { id: "well".to_owned() });
    let client = RPCClient::new(stage.client.clone(), Target::topic(TOPIC).version("1.0"));
    client.call::<Value>(&Context::new().with("roles", roles), "echo", json!({"id": "well"})).await.unwrap();
    stage.close().await;
}

/// Forged replies whose failures would take a hundred MiB as values: what nobody waits for is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_72_forged_replies_are_not_read() {
    let vhost = TestVhost::new().await;
    let stage = stage_on(&vhost, &vhost.url()).await;
    let queue = reply_queue(&vhost).await;
    let before = peak_resident();
    let failure = binary(r#"{"result": null, "failure": {"class": "E", "module": "m", "args": ["#);
    let zeros = "binary:copy(<<\"0,\">>, 3000000)";
    let ids =
        binary(r#""], "kwargs": {}}, "ending": true, "_msg_id": "0123456789abcdef0123456789abcdef", "_unique_id": ""#);
    let forged =
        format!("[{failure}, {zeros}, {}, Loose, {ids}, integer_to_binary(N), {}]", binary("\""), binary("\"}"));
    // An id that does not stand where oslo writes it, so that the whole text is looked over.
    let first = binary(
        r#"{"_msg_id": "0123456789abcdef0123456789abcdef", "ending": true, "failure": {"class": "E", "module": "m", "args": ["#,
    );
    let elsewhere = format!("[{first}, {zeros}, {}, Loose, {}]", binary("\""), binary("\"]}}"));
    for inner in [forged, elsewhere] {
        inject_packed(&vhost, &queue, 2, &inner).await;
    }
    let begun = tokio::time::Instant::now();
    stage.caller.call(0, SOON).await.unwrap();
    println!("figures: a call behind 4 forged replies took {:?} and {} MiB", begun.elapsed(), grown(before) >> 20);
    unharmed(&vhost, &stage).await;
    stage.history.record(Event::Memory { before, after: before + grown(before), bound: 64 << 20 });
    stage.close().await;
}
