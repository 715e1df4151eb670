//! Deliveries of a real RabbitMQ to lapin through the guard.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties, Consumer, ExchangeKind,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
    uri::AMQPUri,
};
use oxlo_driver_kit::socket::Peer;
use oxlo_test_support::TestVhost;

use super::{child::Process, connect, publisher::Publisher, wire};
use crate::{
    control::handshake,
    stream::{GuardedStream, StreamEnd, StreamHandle},
};

const URL: &str = "OXLO_TEST_URL";
const GUARDED: &str = "OXLO_TEST_GUARDED";
const SOON: Duration = Duration::from_secs(20);
/// headers
const HEADERS: u16 = 0x2000;
/// correlation-id
const CORRELATION_ID: u16 = 0x0400;

fn uri(vhost: &TestVhost) -> AMQPUri {
    vhost.url().replacen("rabbit://", "amqp://", 1).parse().unwrap()
}

async fn dial(port: u16, frame_max: u32) -> GuardedStream {
    let peer = Peer { host: "127.0.0.1".to_owned(), port, tls: None, user_timeout: None };
    connect(&peer, frame_max, SOON).await.unwrap()
}

async fn open(vhost: &TestVhost, frame_max: u32) -> (Connection, StreamHandle) {
    let stream = dial(vhost.port(), frame_max).await;
    let handle = stream.handle();
    let mut uri = uri(vhost);
    // In these tests lapin carries the messages.
    uri.query.frame_max = Some(if frame_max == 0 { 131_072 } else { frame_max });
    (handshake::open(uri, ConnectionProperties::default(), stream).await.unwrap(), handle)
}

/// Consumes `queue`, which is bound to the fanout exchange `all`.
async fn consume(connection: &Connection) -> Consumer {
    let channel = connection.create_channel().await.unwrap();
    let none = FieldTable::default;
    channel.queue_declare("queue".into(), QueueDeclareOptions::default(), none()).await.unwrap();
    channel
        .exchange_declare("all".into(), ExchangeKind::Fanout, ExchangeDeclareOptions::default(), none())
        .await
        .unwrap();
    channel.queue_bind("queue".into(), "all".into(), "".into(), QueueBindOptions::default(), none()).await.unwrap();
    channel.basic_consume("queue".into(), "".into(), BasicConsumeOptions::default(), none()).await.unwrap()
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let delivery = tokio::time::timeout(SOON, consumer.next()).await.unwrap().unwrap().unwrap();
    delivery.ack(BasicAckOptions::default()).await.unwrap();
    delivery
}

fn header_count(delivery: &Delivery) -> Option<usize> {
    delivery.properties.headers().as_ref().map(|table| table.inner().len())
}

async fn publisher(vhost: &TestVhost) -> Publisher {
    let (port, name) = (vhost.port(), vhost.name().to_owned());
    tokio::task::spawn_blocking(move || Publisher::connect(port, &name)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_headers_cost_a_message_its_headers_and_nothing_else() {
    let vhost = TestVhost::new().await;
    let (connection, handle) = open(&vhost, 0).await;
    let mut consumer = consume(&connection).await;
    let mut publisher = publisher(&vhost).await;
    let tables = [
        wire::nested_tables(900),
        wire::nested_tables(5_000),
        wire::nested_tables(18_000),
        wire::nested_arrays(20_000),
    ];
    for (count, table) in (1..).zip(tables) {
        let properties = [&wire::long(&table)[..], b"\x02id"].concat();
        publisher.publish(b"", b"queue", HEADERS | CORRELATION_ID, &properties, b"deep");
        publisher.publish(b"", b"queue", HEADERS, &wire::long(b"\x01kt\x01"), b"ordinary");
        let deep = next(&mut consumer).await;
        assert_eq!((&deep.data[..], header_count(&deep)), (&b"deep"[..], Some(0)));
        assert_eq!(deep.properties.correlation_id().as_ref().unwrap().as_str(), "id");
        let ordinary = next(&mut consumer).await;
        assert_eq!((&ordinary.data[..], header_count(&ordinary)), (&b"ordinary"[..], Some(1)));
        assert_eq!(handle.headers_dropped(), count);
    }
    assert!(handle.end().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_guard_a_deep_header_aborts_the_consumer() {
    let vhost = TestVhost::new().await;
    for guarded in [false, true] {
        let child = Process::start(
            "real_broker::child_consumes",
            &[(URL, uri(&vhost).to_string()), (GUARDED, guarded.to_string())],
        );
        let deadline = Instant::now() + SOON;
        while vhost.queue("queue").await.is_none() {
            assert!(Instant::now() < deadline, "the child does not consume");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !guarded {
            publisher(&vhost).await.publish(b"", b"queue", HEADERS, &wire::long(&wire::nested_tables(5_000)), b"deep");
        }
        // The guarded child gets the same message that aborted the child before.
        tokio::task::spawn_blocking(move || if guarded { child.passes() } else { child.aborts() }).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "the child of the test above"]
async fn child_consumes() {
    let uri: AMQPUri = std::env::var(URL).unwrap().parse().unwrap();
    let connection = if std::env::var(GUARDED).unwrap() == "true" {
        let stream = dial(uri.authority.port, 0).await;
        handshake::open(uri, ConnectionProperties::default(), stream).await.unwrap()
    } else {
        Connection::connect_uri(uri, ConnectionProperties::default()).await.unwrap()
    };
    let mut consumer = consume(&connection).await;
    assert_eq!(next(&mut consumer).await.data, b"deep");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_not_utf8_cost_the_name_and_not_the_connection() {
    let vhost = TestVhost::new().await;
    let (connection, handle) = open(&vhost, 0).await;
    let mut consumer = consume(&connection).await;
    let mut publisher = publisher(&vhost).await;

    // Without the guard the connection is closed, and the message stays in its queue.
    let bare = Connection::connect_uri(uri(&vhost), ConnectionProperties::default()).await.unwrap();
    let channel = bare.create_channel().await.unwrap();
    channel.queue_declare("bare".into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
    channel
        .queue_bind("bare".into(), "all".into(), "".into(), QueueBindOptions::default(), FieldTable::default())
        .await
        .unwrap();
    let mut doomed = channel
        .basic_consume("bare".into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await
        .unwrap();

    publisher.publish(b"all", b"k\xff\xfe", 0, b"", b"key");
    let lost = tokio::time::timeout(SOON, doomed.next()).await.unwrap();
    assert!(!matches!(lost, Some(Ok(_))), "{lost:?}");
    let delivery = next(&mut consumer).await;
    assert_eq!((&delivery.data[..], delivery.routing_key.as_str()), (&b"key"[..], "k??"));

    publisher.publish(b"all", b"", CORRELATION_ID, b"\x02\xff\xfe", b"property");
    let delivery = next(&mut consumer).await;
    assert_eq!((&delivery.data[..], delivery.properties.correlation_id()), (&b"property"[..], &None));

    publisher.publish(b"all", b"", HEADERS, &wire::long(b"\x02\xff\xfet\x01"), b"header");
    let delivery = next(&mut consumer).await;
    assert_eq!((&delivery.data[..], header_count(&delivery)), (&b"header"[..], Some(0)));

    assert_eq!(handle.headers_dropped(), 3);
    assert!(handle.end().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_beyond_a_small_frame_max_is_delivered_without_its_table() {
    let vhost = TestVhost::new().await;
    let (connection, handle) = open(&vhost, 8_192).await;
    assert_eq!(connection.configuration().frame_max(), 8_192);
    let mut consumer = consume(&connection).await;
    let mut publisher = publisher(&vhost).await;
    let table = [&b"\x01kS"[..], &wire::long(&[b'x'; 10_000])].concat();
    publisher.publish(b"", b"queue", HEADERS, &wire::long(&table), &[b'b'; 50_000]);
    let delivery = next(&mut consumer).await;
    assert_eq!((delivery.data.len(), header_count(&delivery)), (50_000, Some(0)));
    assert_eq!(handle.headers_dropped(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_in_order_and_a_refused_login_end_the_stream_by_themselves() {
    let vhost = TestVhost::new().await;
    let (connection, handle) = open(&vhost, 0).await;
    connection.close(200, "done".into()).await.unwrap();
    drop(connection);
    let end = tokio::time::timeout(SOON, handle.ended()).await.unwrap();
    assert!(matches!(end, StreamEnd::Closed | StreamEnd::Dropped), "{end:?}");

    let stream = dial(vhost.port(), 0).await;
    let handle = stream.handle();
    let mut wrong = uri(&vhost);
    wrong.authority.userinfo.password = "wrong".to_owned();
    let error = handshake::open(wrong, ConnectionProperties::default(), stream).await.unwrap_err();
    assert!(error.to_string().contains("ACCESS"), "{error}");
    let end = handle.end().unwrap();
    assert!(matches!(end, StreamEnd::Closed | StreamEnd::Dropped), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closed_by_the_administrator_is_known_at_once() {
    let vhost = TestVhost::new().await;
    let (connection, handle) = open(&vhost, 0).await;
    let consumer = consume(&connection).await;
    assert!(vhost.close_all_connections("for the test").await > 0);
    let start = Instant::now();
    tokio::time::timeout(SOON, handle.ended()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(consumer);
}
