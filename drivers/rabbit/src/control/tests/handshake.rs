//! The AMQP handshake over a stream: invalid peers, and no thread left after a failed attempt.

use std::time::{Duration, Instant};

use lapin::{Connection, ConnectionProperties, ErrorKind, uri::AMQPUri};
use oxlo_driver_kit::socket::Peer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::{child::Process, connect, wire};
use crate::{
    control::handshake,
    lapin_internals::IO_THREAD,
    stream::{StreamEnd, StreamHandle, is_permanent},
};

const SOON: Duration = Duration::from_secs(10);

async fn listen() -> (TcpListener, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, Peer { host: "127.0.0.1".to_owned(), port, tls: None, user_timeout: None })
}

async fn open(peer: &Peer) -> (lapin::Result<Connection>, StreamHandle) {
    let stream = connect(peer, 0, SOON).await.unwrap();
    let handle = stream.handle();
    (handshake::open(AMQPUri::default(), ConnectionProperties::default(), stream).await, handle)
}

/// A peer that answers the first bytes with `says`, and then closes or waits.
fn answering(listener: TcpListener, says: Vec<u8>, closes: bool) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let heard = tcp.read_exact(&mut [0; 8]).await;
        if heard.is_ok() && tcp.write_all(&says).await.is_ok() && !closes {
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
    })
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_named() {
    for (says, expected) in [
        (&b"AMQP\x00\x01\x00\x00"[..], "AMQP 1.0"),
        (b"AMQP\x03\x01\x00\x00", "AMQP 1.0"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
    ] {
        for closes in [true, false] {
            let (listener, peer) = listen().await;
            let server = answering(listener, says.to_vec(), closes);
            let (outcome, handle) = timeout(SOON, open(&peer)).await.unwrap();
            let error = outcome.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            let ErrorKind::IOError(cause) = error.kind() else { panic!("{error:?}") };
            assert!(is_permanent(cause));
            let StreamEnd::Failed(end) = handle.ended().await else { panic!("{:?}", handle.end()) };
            assert!(is_permanent(&end));
            server.await.unwrap();
        }
    }
}

#[tokio::test]
async fn deep_server_properties_are_an_error_and_not_an_abort() {
    let (listener, peer) = listen().await;
    let server = answering(listener, wire::start(&wire::nested_tables(18_000)), false);
    let error = timeout(SOON, open(&peer)).await.unwrap().0.unwrap_err();
    assert!(error.to_string().contains("connection.start are nested deeper"), "{error}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_one_failed_attempt() {
    let (listener, peer) = listen().await;
    let server = answering(listener, Vec::new(), true);
    let (outcome, handle) = timeout(SOON, open(&peer)).await.unwrap();
    assert!(outcome.is_err());
    assert!(!matches!(handle.ended().await, StreamEnd::Killed(_)));
    server.await.unwrap();
}

#[test]
fn no_io_thread_outlives_its_attempt() {
    Process::start("handshake::child_counts_threads", &[]).passes();
}

/// In a child process, so that it counts no thread of another test.
#[tokio::test]
#[ignore = "the child of the test above"]
async fn child_counts_threads() {
    assert_eq!(io_threads(), 0);
    let (listener, peer) = listen().await;
    let server = answering(listener, Vec::new(), false);
    let attempt = tokio::spawn(async move { open(&peer).await.0.is_ok() });
    let deadline = Instant::now() + SOON;
    while io_threads() == 0 {
        assert!(Instant::now() < deadline, "the thread is not called what this test looks for");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    attempt.abort();
    server.await.unwrap();
    until_no_io_thread().await;

    // Peers that accept and say nothing, and peers that stop in the middle of the handshake.
    for says in [Vec::new(), wire::start(b"")[..20].to_vec(), wire::start(b"")] {
        let attempts = (0..5).map(|_| async {
            let (listener, peer) = listen().await;
            let server = answering(listener, says.clone(), false);
            let outcome = timeout(Duration::from_millis(300), open(&peer)).await;
            assert!(outcome.is_err(), "{outcome:?}");
            // The peer sees the end: dropping the future leaves nothing open.
            timeout(SOON, server).await.unwrap().unwrap();
        });
        futures_util::future::join_all(attempts).await;
        until_no_io_thread().await;
    }
    // Peers that hang up or speak nonsense.
    for says in [Vec::new(), b"HTTP/1.1 400\r\n".to_vec()] {
        let (listener, peer) = listen().await;
        let server = answering(listener, says, true);
        timeout(SOON, open(&peer)).await.unwrap().0.unwrap_err();
        server.await.unwrap();
        until_no_io_thread().await;
    }
}

async fn until_no_io_thread() {
    let deadline = Instant::now() + SOON;
    while io_threads() > 0 {
        assert!(Instant::now() < deadline, "{} threads of lapin are left", io_threads());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn io_threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.trim_end() == IO_THREAD)
        .count()
}
