//! Channels that are dropped or closed while the broker closes them: what lapin does, and how the driver keeps the
//! connection.

use std::{sync::mpsc, time::Duration};

use lapin::{
    Channel, Connection, ConnectionProperties, Consumer, options::BasicConsumeOptions, types::FieldTable, uri::AMQPUri,
};
use oxlo_driver_kit::socket::Peer;
use oxlo_test_support::eventually;

use super::{
    connect,
    fake_server::{Session, listen},
    wire,
};
use crate::{
    control::{channels::ChannelCloser, handshake},
    stream::{StreamHandle, ports::Allowance},
};

const SOON: Duration = Duration::from_secs(20);
const TRIES: usize = 50;
/// 404, no text, `basic.publish`.
const CLOSE: &[u8] = b"\x01\x94\0\0\x3c\0\x28";

/// A step of the fake broker.
type Step = fn(&mut Session) -> std::io::Result<()>;

/// A connection, and the trigger of its broker's next step.
struct Scene {
    connection: Connection,
    handle: StreamHandle,
    go: mpsc::Sender<()>,
    /// Held open; the tests are not about this channel.
    _first: (Channel, Consumer),
}

impl Scene {
    fn goes_on(&self) {
        self.go.send(()).unwrap();
    }
}

/// A connection to a broker that does the steps one after the other, of which the first opens this channel 2.
async fn connected(steps: &'static [Step]) -> (Scene, Channel) {
    let (listener, port) = listen();
    let (go, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut session, _) = Session::accept(&listener).unwrap();
        for step in steps {
            // The test is over, or its connection: both end the broker too.
            if told.recv().is_err() || step(&mut session).is_err() {
                return;
            }
        }
        let _ = told.recv();
    });
    let peer = Peer { host: "127.0.0.1".to_owned(), port, tls: None, user_timeout: None };
    let stream = connect(&peer, 0, SOON).await.unwrap();
    let handle = stream.handle();
    let uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    let connection = handshake::open(uri, ConnectionProperties::default(), stream).await.unwrap();
    let first = connection.create_channel().await.unwrap();
    let consume = first.basic_consume("q".into(), "1".into(), BasicConsumeOptions::default(), FieldTable::default());
    let consumer = consume.await.unwrap();
    go.send(()).unwrap();
    let channel = connection.create_channel().await.unwrap();
    (Scene { connection, handle, go, _first: (first, consumer) }, channel)
}

fn opens<const CHANNEL: u16>(session: &mut Session) -> std::io::Result<()> {
    session.expect(20, 10)?;
    session.send(&wire::method(CHANNEL, 20, 11, b"\0\0\0\0"))
}

/// Does not wait for lapin's answer, which may follow its next frames.
fn closes(session: &mut Session) -> std::io::Result<()> {
    session.send(&wire::method(2, 20, 40, CLOSE))
}

/// Disposes of the channel with `end` after the stream has read the broker's close and before lapin has. Returns whether
/// the connection survives.
async fn survives(end: fn(Channel, &StreamHandle)) -> bool {
    let (scene, channel) = connected(&[opens::<2>, closes, opens::<3>]).await;
    let mut inbox = scene.handle.ports().consume(2, Allowance { messages: 9, body: 9 });
    scene.goes_on();
    assert!(inbox.recv().await.is_none());
    end(channel, &scene.handle);
    // lapin's I/O thread reads the close now; what the drop has queued for this runtime comes after it.
    std::thread::sleep(Duration::from_millis(5));
    scene.goes_on();
    tokio::time::timeout(SOON, scene.connection.create_channel()).await.is_ok_and(|opened| opened.is_ok())
}

#[tokio::test]
async fn a_channel_that_is_let_go_of_in_the_moment_of_its_end_takes_nothing_along() {
    for _ in 0..TRIES {
        assert!(survives(|channel, handle| drop(ChannelCloser::spawn(handle.clone()).wrap(channel))).await);
    }
}

/// Why there is a [`ChannelCloser`]. When this fails, lapin has learned to be dropped from, and it may go.
#[tokio::test]
async fn lapin_alone_loses_its_connection_with_such_a_channel() {
    for _ in 0..TRIES {
        if !survives(|channel, _| drop(channel)).await {
            return;
        }
    }
    panic!("lapin survived {TRIES} channels that were dropped while the broker closed them");
}

fn closes_at_the_same_moment(session: &mut Session) -> std::io::Result<()> {
    session.expect(20, 40)?;
    // As RabbitMQ does: its own close crossed the client's, which it still answers.
    session.send(&[wire::method(2, 20, 40, CLOSE), wire::method(2, 20, 41, b"")].concat())?;
    session.expect(20, 41).map(drop)
}

#[tokio::test]
async fn closes_that_cross_end_the_channel_and_nothing_else() {
    let (scene, channel) = connected(&[opens::<2>, closes_at_the_same_moment, opens::<3>]).await;
    scene.goes_on();
    let _ = tokio::time::timeout(SOON, channel.close(200, "OK".into())).await.unwrap();
    let closing = async || channel.status().connected() || channel.status().closing();
    eventually(SOON, "lapin is done with the channel", closing, |closing| !closing).await;
    scene.goes_on();
    tokio::time::timeout(SOON, scene.connection.create_channel()).await.unwrap().unwrap();
    assert!(scene.handle.end().is_none());
}
