//! Channels that the broker closes while we let go of them: what lapin makes of that, and what keeps its connection.

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
    channels::Closer,
    stream::{StreamHandle, ports::Allowance, runtime},
};

const SOON: Duration = Duration::from_secs(20);
const TRIES: usize = 50;
/// 404, no text, `basic.publish`.
const CLOSE: &[u8] = b"\x01\x94\0\0\x3c\0\x28";

/// What a broker does once it is told to.
type Deed = fn(&mut Session) -> std::io::Result<()>;

/// A connection, and its broker's next deed.
struct Scene {
    connection: Connection,
    handle: StreamHandle,
    go: mpsc::Sender<()>,
    /// Held, because it is not what the tests are about.
    _first: (Channel, Consumer),
}

impl Scene {
    fn goes_on(&self) {
        self.go.send(()).unwrap();
    }
}

/// A connection to a broker that does the deeds one after the other, of which the first opens this channel 2.
async fn connected(deeds: &'static [Deed]) -> (Scene, Channel) {
    let (listener, port) = listen();
    let (go, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut session, _) = Session::accept(&listener).unwrap();
        for deed in deeds {
            // The test is over, or its connection: both end the broker too.
            if told.recv().is_err() || deed(&mut session).is_err() {
                return;
            }
        }
        let _ = told.recv();
    });
    let peer = Peer { host: "127.0.0.1".to_owned(), port, tls: None, user_timeout: None };
    let stream = connect(&peer, 0, SOON).await.unwrap();
    let handle = stream.handle();
    let uri: AMQPUri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f").parse().unwrap();
    let connection = runtime::open(uri, ConnectionProperties::default(), stream).await.unwrap();
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

/// lapin's answer may come behind what it sends next.
fn closes(session: &mut Session) -> std::io::Result<()> {
    session.send(&wire::method(2, 20, 40, CLOSE))
}

/// The channel is let go of by `end` after our stream has learned of the broker's close, and before lapin has. Whether the
/// connection lives on.
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
        assert!(survives(|channel, handle| drop(Closer::spawn(handle.clone()).guard(channel))).await);
    }
}

/// Why there is a [`Closer`]. When this fails, lapin has learned to be dropped from, and it may go.
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
    // As RabbitMQ does: its own close was on its way, and it answers ours all the same.
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
