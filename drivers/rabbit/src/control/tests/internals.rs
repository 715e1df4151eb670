//! What the driver relies on in lapin beyond its documentation, see [`lapin_internals`].

use std::sync::mpsc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use oxlo_driver_kit::socket::Peer;
use oxlo_test_support::eventually;
use tokio::runtime::Handle;

use super::connect;
use super::fake_server::{Session, listen};
use crate::control::handshake;
use crate::lapin_internals;

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

/// The `frame_max` in lapin's `connection.tune-ok` when both sides ask for 4096 bytes: the broker would refuse it.
#[tokio::test]
async fn lapin_raises_a_smaller_frame_max() {
    let (listener, port) = listen();
    let (report, tuned) = mpsc::channel();
    std::thread::spawn(move || {
        let mut session = Session::greet(&listener).unwrap();
        report.send(session.tune(4_096, 0).unwrap()).unwrap();
    });
    let mut uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    uri.query.frame_max = Some(4_096);
    let attempt = tokio::spawn(Connection::connect_uri(uri, ConnectionProperties::default()));
    let tuned = tokio::task::spawn_blocking(move || tuned.recv_timeout(SOON)).await.unwrap();
    attempt.abort();
    assert_eq!(tuned, Ok(lapin_internals::MIN_FRAME_MAX));
}

/// The broker's side of a connection with this heartbeat in seconds, until its client goes.
fn serve(heartbeat: u16) -> u16 {
    let (listener, port) = listen();
    std::thread::spawn(move || {
        let mut session = Session::greet(&listener).unwrap();
        session.tune(131_072, heartbeat).unwrap();
        session.open().unwrap();
        while session.expect(0, 0).is_ok() {}
    });
    port
}

/// The number of tasks some time after a connection with a heartbeat of an hour was lost, beyond those before.
async fn tasks_left(guarded: bool) -> usize {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let port = serve(3_600);
    let mut uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    uri.query.heartbeat = Some(3_600);
    let connection = if guarded {
        let peer = Peer { host: "127.0.0.1".to_owned(), port, tls: None, user_timeout: None };
        let stream = connect(&peer, 0, SOON).await.unwrap();
        handshake::open(uri, ConnectionProperties::default(), stream).await.unwrap()
    } else {
        Connection::connect_uri(uri, ConnectionProperties::default()).await.unwrap()
    };
    connection.close(200, "done".into()).await.ok();
    drop(connection);
    for _ in 0..100 {
        if tasks() <= before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tasks() - before
}

#[tokio::test]
async fn lapins_heartbeat_task_outlives_its_connection_without_the_stream() {
    assert_eq!(tasks_left(true).await, 0);
    assert!(
        tasks_left(false).await > 0,
        "lapin ends its heartbeat task by itself: `lapin_internals::sleep` is not needed"
    );
}

/// lapin closes a connection on which it reads nothing for two heartbeats; `stream/inbound.rs` must feed it.
#[tokio::test]
async fn lapin_closes_a_silent_connection() {
    let port = serve(1);
    let mut uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    uri.query.heartbeat = Some(1);
    let connection = Connection::connect_uri(uri, ConnectionProperties::default()).await.unwrap();
    eventually(SOON, "the connection is closed", async || connection.status().connected(), |connected| !connected)
        .await;
}
