//! A message that aborts lapin's process, with the guard and without it, in child processes.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions},
    types::FieldTable,
    uri::AMQPUri,
};
use oxlo_driver_kit::socket::Peer;

use super::{
    child::Process,
    connect,
    fake_server::{Session, listen},
    wire,
};
use crate::control::handshake;

const PORT: &str = "OXLO_TEST_PORT";
const GUARDED: &str = "OXLO_TEST_GUARDED";
const SOON: Duration = Duration::from_secs(20);

fn tables() -> [Vec<u8>; 4] {
    [wire::nested_tables(900), wire::nested_tables(5_000), wire::nested_tables(18_000), wire::nested_arrays(20_000)]
}

fn consumer(port: u16, guarded: bool) -> Process {
    Process::start("deep_headers::child_consumes", &[(PORT, port.to_string()), (GUARDED, guarded.to_string())])
}

#[test]
fn with_the_guard_a_process_gets_every_message_without_its_deep_headers() {
    let (listener, port) = listen();
    let child = consumer(port, true);
    let (mut session, tag) = Session::accept(&listener).unwrap();
    for (delivery, table) in (1..).zip(tables()) {
        session.send(&wire::delivery(1, &tag, 2 * delivery - 1, &table, b"deep")).unwrap();
        session.expect(60, 80).unwrap(); // ack
        session.send(&wire::delivery(1, &tag, 2 * delivery, b"\x01kt\x01", b"ordinary")).unwrap();
        session.expect(60, 80).unwrap();
    }
    session.send(&wire::delivery(1, &tag, 99, b"", b"end")).unwrap();
    child.passes();
}

#[test]
fn without_the_guard_it_aborts() {
    for table in tables().into_iter().skip(1) {
        let (listener, port) = listen();
        let child = consumer(port, false);
        let (mut session, tag) = Session::accept(&listener).unwrap();
        session.send(&wire::delivery(1, &tag, 1, &table, b"deep")).unwrap();
        child.aborts();
    }
}

#[tokio::test]
#[ignore = "the child of the other tests here"]
async fn child_consumes() {
    let port: u16 = std::env::var(PORT).unwrap().parse().unwrap();
    let uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    let connection = if std::env::var(GUARDED).unwrap() == "true" {
        let peer = Peer { host: "127.0.0.1".to_owned(), port, tls: None, user_timeout: None };
        let stream = connect(&peer, 0, SOON).await.unwrap();
        handshake::open(uri, ConnectionProperties::default(), stream).await.unwrap()
    } else {
        Connection::connect_uri(uri, ConnectionProperties::default()).await.unwrap()
    };
    let channel = connection.create_channel().await.unwrap();
    let mut consumer = channel
        .basic_consume("queue".into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await
        .unwrap();
    loop {
        let delivery = tokio::time::timeout(SOON, consumer.next()).await.unwrap().unwrap().unwrap();
        let headers = delivery.properties.headers().as_ref().map(|table| table.inner().len());
        match &delivery.data[..] {
            b"deep" => assert_eq!(headers, Some(0)),
            b"ordinary" => assert_eq!(headers, Some(1)),
            b"end" => return,
            other => panic!("{}", other.escape_ascii()),
        }
        delivery.ack(BasicAckOptions::default()).await.unwrap();
    }
}
