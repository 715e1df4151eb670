//! What the driver relies on in fe2o3-amqp beyond its documentation, see [`fe2o3_internals`](crate::fe2o3_internals).

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use fe2o3_amqp::{
    Connection, Receiver, Sender, Session,
    link::ReceiverAttachError,
    types::primitives::{Array, Value},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::wire;
use crate::{
    fe2o3_internals,
    stream::{channel_numbers::ChannelNumbers, outbound::Outbound},
};

/// Update [`fe2o3_internals`] when this fails: check each of its items against the new version.
#[test]
fn fe2o3_amqp_is_the_version_that_was_examined() {
    let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));
    let locked = lock.split("name = \"fe2o3-amqp\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(locked, Some(fe2o3_internals::VERSION));
}

/// An empty array of small unsigned numbers, and `true` behind it.
#[test]
fn serde_amqp_misreads_an_empty_array() {
    let list = [0xc0, 6, 2, 0xe0, 2, 0, 0x52, 0x41];
    let read = serde_amqp::from_slice::<Value>(&list);
    let written = Value::List(vec![Value::Array(Array::from(Vec::new())), Value::Bool(true)]);
    assert!(!read.is_ok_and(|read| read == written), "serde_amqp reads empty arrays: `Reader` is not needed for them");
}

/// A stream that records each call of `poll_write`.
#[derive(Debug)]
struct Recorder {
    stream: DuplexStream,
    writes: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsyncRead for Recorder {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.lock().unwrap().push(bytes.to_vec());
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A broker that accepts sessions, and a sender named `same`.
async fn serve(mut stream: DuplexStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 8]).await?;
    stream.write_all(wire::AMQP_HEADER).await?;
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size).await?;
        let mut frame = vec![0; u32::from_be_bytes(size) as usize - 4];
        stream.read_exact(&mut frame).await?;
        let (channel, Some(code)) = (&frame[2..4], frame.get(6)) else { continue };
        let mut answer = wire::frame(
            0,
            &match code {
                0x10 => wire::described(0x10, 1, b"\xa1\x01s"),
                0x11 => {
                    let remote = [0x60, channel[0], channel[1]];
                    wire::described(0x11, 4, &[&remote[..], &[0x43, 0x52, 100, 0x52, 100]].concat())
                }
                0x12 => {
                    let (source, target) =
                        (wire::described(0x28, 1, b"\xa1\x01q"), wire::described(0x29, 1, b"\xa1\x01q"));
                    let attach = [b"\xa1\x04same\x43\x41\x40\x40".as_slice(), &source, &target].concat();
                    wire::described(0x12, 7, &attach)
                }
                0x17 => wire::described(0x17, 0, &[]),
                0x18 => wire::described(0x18, 0, &[]),
                _ => continue,
            },
        );
        answer[6..8].copy_from_slice(channel);
        stream.write_all(&answer).await?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_sessions_and_links_are_as_the_stream_expects() {
    let (stream, theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(serve(theirs));
    let writes = Arc::new(Mutex::new(Vec::new()));
    let recorder = Recorder { stream, writes: writes.clone() };
    let builder = Connection::builder().container_id("c").scheme("amqp").max_frame_size(65_536);
    let mut connection = builder.open_with_stream(recorder).await.unwrap();
    let mut first = Session::begin(&mut connection).await.unwrap();
    let mut second = Session::begin(&mut connection).await.unwrap();
    first.end().await.unwrap();
    let _third = Session::begin(&mut connection).await.unwrap();

    let _sender = Sender::attach(&mut second, "same", "q").await.unwrap();
    let refused = Receiver::attach(&mut second, "same", "q").await.unwrap_err();
    assert!(matches!(refused, ReceiverAttachError::DuplicatedLinkName), "{refused:?}");

    let writes = writes.lock().unwrap();
    let begins: Vec<_> = writes.iter().filter(|write| write.get(10) == Some(&0x11)).map(|write| write[7]).collect();
    assert_eq!(begins, [0, 1, 0], "the lowest free number is taken");
    // Whole frames only, and an open with a maximum frame size of four bytes.
    let mut numbers = ChannelNumbers::default();
    numbers.set_max(10);
    let mut outbound = Outbound::default();
    for write in writes.iter() {
        outbound.write(write, &mut numbers).unwrap();
    }
}
