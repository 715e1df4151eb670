//! What the driver relies on in lapin beyond its documentation, see [`lapin_internals`].

use std::{sync::mpsc, time::Duration};

use lapin::{Connection, ConnectionProperties, uri::AMQPUri};
use oxlo_driver_kit::socket::Peer;
use oxlo_test_support::eventually;
use tokio::runtime::Handle;

use super::{
    connect,
    fake_server::{Session, listen},
};
use crate::{control::handshake, lapin_internals};

const SOON: Duration = Duration::from_secs(20);

/// Update [`lapin_internals`] when this fails: check each of its items against the new version.
#[test]
fn lapin_is_the_version_that_was_examined() {
    let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));
    let locked = lock.split("name = \"lapin\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(locked, Some(lapin_internals::VERSION));
}

#[test]
fn lapin_has_the_least_frame_max() {
    assert_eq!(lapin::protocol::constants::FRAME_MIN_SIZE, lapin_internals::MIN_FRAME_MAX);
}

/// The `frame_max` in lapin's `connection.tune-ok` to a broker that allows 4096 bytes, which such a broker refuses.
#[tokio::test]
async fn lapin_never_negotiates_a_smaller_frame_max() {
    let (listener, port) = listen();
    let (report, tuned) = mpsc::channel();
    std::thread::spawn(move || {
        let mut session = Session::greet(&listener).unwrap();
        report.send(session.tune(4_096, 0).unwrap()).unwrap();
    });
    let mut uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    uri.query.frame_max = Some(lapin_internals::MIN_FRAME_MAX);
    let attempt = tokio::spawn(Connection::connect_uri(uri, ConnectionProperties::default()));
    let tuned = tokio::task::spawn_blocking(move || tuned.recv_timeout(SOON)).await.unwrap();
    attempt.abort();
    assert_eq!(tuned, Ok(lapin_internals::MIN_FRAME_MAX));
}

/// The broker's side of a connection with this heartbeat in seconds, which it closes after `open_for`.
fn serve(heartbeat: u16, open_for: Duration) -> u16 {
    let (listener, port) = listen();
    std::thread::spawn(move || {
        let mut session = Session::greet(&listener).unwrap();
        session.tune(131_072, heartbeat).unwrap();
        session.open().unwrap();
        std::thread::sleep(open_for);
    });
    port
}

/// With a heartbeat of an hour, lapin's heartbeat task would sleep for half an hour.
#[tokio::test]
async fn no_task_of_lapin_outlives_its_stream() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let port = serve(3_600, Duration::from_millis(200));
    let mut uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    uri.query.heartbeat = Some(3_600);
    let peer = Peer { host: "127.0.0.1".to_owned(), port, tls: None, user_timeout: None };
    let stream = connect(&peer, 0, SOON).await.unwrap();
    let connection = handshake::open(uri, ConnectionProperties::default(), stream).await.unwrap();
    assert!(tasks() > before);
    drop(connection);
    eventually(SOON, "tasks end", async || tasks(), |tasks| *tasks <= before).await;
}

/// lapin closes a connection on which it reads nothing for two heartbeats; so that
/// `stream/inbound.rs` makes heartbeats.
#[tokio::test]
async fn lapin_closes_a_silent_connection() {
    let port = serve(1, SOON);
    let mut uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    uri.query.heartbeat = Some(1);
    let connection = Connection::connect_uri(uri, ConnectionProperties::default()).await.unwrap();
    eventually(SOON, "the connection is closed", async || connection.status().connected(), |connected| !connected)
        .await;
}
