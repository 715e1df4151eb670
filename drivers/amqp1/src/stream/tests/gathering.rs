//! Written bytes reach the socket when fe2o3-amqp's task has nothing else to do.

use std::{
    pin::Pin,
    task::{Context, Waker},
};

use oxlo_driver_kit::socket::Socket;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
};

use super::wire;
use crate::stream::GuardedStream;

async fn pair() -> (GuardedStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (theirs, _) = listener.accept().await.unwrap();
    (GuardedStream::new(Socket::Plain(ours), 65_536, 1 << 20, 0), theirs)
}

/// Whether there is something to read.
fn read(stream: &mut GuardedStream) -> bool {
    let cx = &mut Context::from_waker(Waker::noop());
    Pin::new(stream).poll_read(cx, &mut ReadBuf::new(&mut [0; 64])).is_ready()
}

async fn got(peer: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut got = vec![0; bytes];
    peer.read_exact(&mut got).await.unwrap();
    got
}

#[tokio::test]
async fn frames_that_follow_each_other_are_sent_at_once() {
    let (mut stream, mut peer) = pair().await;
    let frame = wire::frame(0, &[]);
    for _ in 0..3 {
        stream.write_all(&frame).await.unwrap();
        stream.flush().await.unwrap();
        assert!(!read(&mut stream));
    }
    assert!(peer.try_read(&mut [0; 64]).is_err(), "more might follow");
    assert!(!read(&mut stream));
    assert_eq!(got(&mut peer, 3 * frame.len()).await, frame.repeat(3));
}

#[tokio::test]
async fn a_task_that_waits_for_an_answer_has_sent_the_question() {
    let (mut stream, mut peer) = pair().await;
    let answered = async {
        got(&mut peer, 8).await;
        peer.write_all(wire::AMQP_HEADER).await.unwrap();
    };
    let asked = async {
        stream.write_all(wire::AMQP_HEADER).await.unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await.unwrap();
        answer
    };
    assert_eq!(tokio::join!(asked, answered).0, wire::AMQP_HEADER);
}

#[tokio::test]
async fn what_was_written_is_sent_before_the_end() {
    let (mut stream, mut peer) = pair().await;
    let frames = wire::frame(0, &[]).repeat(20_000);
    let written = async {
        for frame in frames.chunks(8) {
            stream.write_all(frame).await.unwrap();
        }
        stream.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, read) = tokio::join!(written, peer.read_to_end(&mut got));
    read.unwrap();
    assert_eq!(got, frames);
}
