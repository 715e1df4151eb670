//! The guarded stream over real sockets: counters, the end, the kill switch.

use std::{io, time::Duration};

use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use oxlo_driver_kit::socket::Socket;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::wire;
use crate::stream::{GuardedStream, StreamEnd, guard::GuardError, is_permanent};

const SOON: Duration = Duration::from_secs(10);

async fn pair() -> (GuardedStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    let stream = GuardedStream::new(Socket::Plain(ours), 0);
    stream.handle().ports().let_lapin_consume();
    (stream, theirs)
}

#[tokio::test]
async fn bytes_pass_both_ways_and_are_counted() {
    let (mut stream, mut peer) = pair().await;
    let handle = stream.handle();
    let start = wire::start(b"");
    // Byte by byte, as the slowest peer sends.
    let sent = start.clone();
    let sender = tokio::spawn(async move {
        peer.set_nodelay(true).unwrap();
        for byte in sent {
            peer.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut greeting = [0; 8];
        peer.read_exact(&mut greeting).await.unwrap();
        (peer, greeting)
    });
    let mut received = vec![0; start.len()];
    timeout(SOON, stream.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(received, start);
    stream.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
    let (peer, greeting) = timeout(SOON, sender).await.unwrap().unwrap();
    assert_eq!(&greeting, b"AMQP\0\0\x09\x01");
    assert_eq!((handle.bytes_in(), handle.bytes_out()), (start.len() as u64, 8));
    assert!(handle.silent_for() < SOON);
    assert!(handle.end().is_none());

    drop(peer);
    assert_eq!(timeout(SOON, stream.read(&mut received)).await.unwrap().unwrap(), 0);
    assert!(matches!(handle.ended().await, StreamEnd::Closed));
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let (mut stream, mut peer) = pair().await;
    let body: Vec<u8> = (0..131_064_u32).map(|byte| (byte % 251) as u8).collect();
    let sent = [wire::start(b""), wire::frame(3, 1, &body).repeat(20), wire::frame(8, 0, b"")].concat();
    let expected = sent.clone();
    let sender = tokio::spawn(async move {
        peer.write_all(&sent).await.unwrap();
        peer
    });
    let mut received = vec![0; expected.len()];
    timeout(SOON, stream.read_exact(&mut received)).await.unwrap().unwrap();
    assert!(received == expected);
    drop(sender.await.unwrap());
}

#[tokio::test]
async fn a_kill_ends_a_read_that_waits_and_says_why() {
    let (mut stream, mut peer) = pair().await;
    let handle = stream.handle();
    let killer = handle.clone();
    let reader = tokio::spawn(async move {
        let outcome = stream.read(&mut [0; 16]).await;
        (stream, outcome)
    });
    tokio::task::yield_now().await;
    killer.kill("for the test");
    let (mut stream, outcome) = timeout(SOON, reader).await.unwrap().unwrap();
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(error.to_string(), "the connection was aborted: for the test");
    assert!(stream.write(b"x").await.is_err());
    assert!(stream.flush().await.is_err());
    assert!(stream.close().await.is_ok());
    assert!(matches!(handle.ended().await, StreamEnd::Killed("for the test")));
    // The peer learns of it while our side still holds the stream.
    let heard = timeout(SOON, peer.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(heard, Ok(0) | Err(_)), "{heard:?}");
}

#[tokio::test]
async fn a_kill_ends_a_write_to_a_peer_that_does_not_read() {
    let (mut stream, _peer) = pair().await;
    let handle = stream.handle();
    let writer = tokio::spawn(async move { stream.write_all(&vec![0; 64 << 20]).await });
    timeout(SOON, async {
        // Until the buffers of both kernels are full.
        let mut before = u64::MAX;
        while handle.bytes_out() == 0 || handle.bytes_out() != before {
            before = handle.bytes_out();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    handle.kill("frozen");
    assert!(timeout(SOON, writer).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn what_the_guard_refuses_is_the_end_with_its_cause() {
    let (mut stream, mut peer) = pair().await;
    let handle = stream.handle();
    peer.write_all(b"AMQP\x00\x01\x00\x00").await.unwrap();
    let error = timeout(SOON, stream.read(&mut [0; 16])).await.unwrap().unwrap_err();
    assert!(is_permanent(&error));
    assert!(error.to_string().contains("AMQP 1.0"), "{error}");
    let StreamEnd::Failed(end) = timeout(SOON, handle.ended()).await.unwrap() else { panic!("{:?}", handle.end()) };
    assert!(is_permanent(&end));
    assert!(matches!(end.get_ref().unwrap().downcast_ref(), Some(GuardError::OtherProtocol(_))));
}

#[tokio::test]
async fn a_reset_is_the_end_with_its_cause() {
    let (mut stream, peer) = pair().await;
    let handle = stream.handle();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    let error = timeout(SOON, stream.read(&mut [0; 16])).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(!is_permanent(&error));
    let StreamEnd::Failed(end) = timeout(SOON, handle.ended()).await.unwrap() else { panic!("{:?}", handle.end()) };
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_a_peer_said_before_it_reset_is_read_although_writing_fails() {
    let (mut stream, mut peer) = pair().await;
    let handle = stream.handle();
    peer.write_all(&wire::start(b"")).await.unwrap();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    // lapin writes before it reads.
    let write = async {
        while futures_util::poll!(stream.write(b"AMQP\0\0\x09\x01")).is_ready() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, write).await.unwrap();
    assert!(handle.end().is_none());
    let mut received = vec![0; wire::start(b"").len()];
    timeout(SOON, stream.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(received, wire::start(b""));
    let error = timeout(SOON, stream.read(&mut [0; 16])).await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error:?}");
    assert!(matches!(handle.end(), Some(StreamEnd::Failed(_))));
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let (stream, mut peer) = pair().await;
    let handle = stream.handle();
    drop(stream);
    assert_eq!(timeout(SOON, peer.read(&mut [0; 16])).await.unwrap().unwrap(), 0);
    assert!(matches!(handle.ended().await, StreamEnd::Dropped));
    handle.kill("too late to matter");
    assert!(matches!(handle.end(), Some(StreamEnd::Dropped)));
}

#[tokio::test]
async fn dropped_headers_are_counted() {
    let (mut stream, mut peer) = pair().await;
    let handle = stream.handle();
    let sent = [wire::start(b""), wire::delivery(1, b"tag", 1, &wire::nested_tables(900), b"content")].concat();
    let expected = [wire::start(b""), wire::delivery(1, b"tag", 1, b"", b"content")].concat();
    peer.write_all(&sent).await.unwrap();
    let mut received = vec![0; expected.len()];
    timeout(SOON, stream.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(received, expected);
    assert_eq!(handle.headers_dropped(), 1);
}
