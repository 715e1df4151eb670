//! A fake AMQP 0-9-1 broker: completes the handshake, then does what a test tells it to.

use std::{collections::HashMap, io, sync::Arc};

use serde_json::json;
use tokio::{io::AsyncReadExt, net::tcp::OwnedReadHalf};

use crate::peer::{Boxed, Broker, Peer, Running};

/// A step of the client that an attack may follow.
#[derive(Clone, Debug)]
pub(crate) enum Did {
    /// It sent its credentials; not answered yet.
    LogsIn,
    /// It sent `connection.open`; not answered yet.
    Opens,
    /// It consumes on a channel, with this tag.
    Consumes(u16, Vec<u8>),
    /// It published its first message on a channel.
    Published(u16),
}

impl Did {
    fn is_handshake(&self) -> bool {
        matches!(self, Self::LogsIn | Self::Opens)
    }
}

/// The attack's frames after this step; `true` if they replace the usual answer.
pub(crate) type Attack = Arc<dyn Fn(Peer, Did) -> Option<Boxed> + Send + Sync>;

pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap();
    [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[0xce]].concat()
}

pub(crate) fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat())
}

pub(crate) fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()][..], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

pub(crate) fn deliver(channel: u16, tag: &[u8], number: u64) -> Vec<u8> {
    let arguments = [&short(tag)[..], &number.to_be_bytes(), &[0], &short(b""), &short(b"victim")].concat();
    method(channel, 60, 60, &arguments)
}

/// A content header of JSON.
pub(crate) fn header(channel: u16, size: u64) -> Vec<u8> {
    let properties = [&short(b"application/json")[..], &short(b"utf-8")].concat();
    frame(2, channel, &[&[0, 60, 0, 0][..], &size.to_be_bytes(), &[0xc0, 0], &properties].concat())
}

/// `basic.return` of a message with this id.
pub(crate) fn returned(channel: u16, id: &str) -> Vec<u8> {
    let arguments = [&[1, 56][..], &short(b"NO_ROUTE"), &short(b""), &short(b"nowhere")].concat();
    let properties = [&[0, 60, 0, 0][..], &3_u64.to_be_bytes(), &[0, 0x80], &short(id.as_bytes())].concat();
    [method(channel, 60, 50, &arguments), frame(2, channel, &properties), frame(3, channel, b"abc")].concat()
}

/// A cast to the service of [`victim`](crate::victim).
pub(crate) fn request(id: &str, text: &str) -> Vec<u8> {
    let inner = json!({"method": "echo", "args": {"text": text}, "version": "1.0", "_unique_id": id}).to_string();
    json!({"oslo.version": "2.0", "oslo.message": inner}).to_string().into_bytes()
}

/// A whole message.
pub(crate) fn message(channel: u16, tag: &[u8], number: u64, body: &[u8]) -> Vec<u8> {
    [deliver(channel, tag, number), header(channel, body.len() as u64), frame(3, channel, body)].concat()
}

/// Starts a broker.
pub(crate) async fn start(attack: impl Fn(Peer, Did) -> Option<Boxed> + Send + Sync + 'static) -> Broker {
    let attack: Attack = Arc::new(attack);
    Broker::start(move |read, peer| serve(read, peer, attack.clone())).await
}

async fn serve(mut read: OwnedReadHalf, peer: Peer, attack: Attack) -> io::Result<()> {
    let mut running = Running::default();
    let mut may = |did: Did| running.begin(&peer, did.is_handshake(), attack(peer.clone(), did));
    let mut greeting = [0; 8];
    read.read_exact(&mut greeting).await?;
    let start = [&[0, 9][..], &long(b""), &long(b"PLAIN AMQPLAIN"), &long(b"en_US")].concat();
    peer.send(&method(0, 10, 10, &start)).await?;
    let mut published = HashMap::<u16, u64>::new();
    loop {
        let mut head = [0; 7];
        read.read_exact(&mut head).await?;
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut payload = vec![0; size + 1];
        read.read_exact(&mut payload).await?;
        if head[0] != 1 {
            continue;
        }
        let arguments = &payload[4..size];
        let answer = match (u16::from_be_bytes([payload[0], payload[1]]), u16::from_be_bytes([payload[2], payload[3]]))
        {
            (10, 11) if may(Did::LogsIn) => continue,
            (10, 11) => method(0, 10, 30, &[&2047_u16.to_be_bytes()[..], &131_072_u32.to_be_bytes(), &[0, 0]].concat()),
            (10, 40) if may(Did::Opens) => continue,
            (10, 40) => method(0, 10, 41, &[0]),
            (10, 50) => {
                peer.send(&method(0, 10, 51, &[])).await?;
                peer.close().await;
                return Ok(());
            }
            (20, 10) => method(channel, 20, 11, &[0; 4]),
            (20, 40) => method(channel, 20, 41, &[]),
            (40, 10) => method(channel, 40, 11, &[]),
            (50, 10) => {
                let queue = &arguments[3..3 + usize::from(arguments[2])];
                method(channel, 50, 11, &[&short(queue)[..], &[0; 8]].concat())
            }
            (50, 20) => method(channel, 50, 21, &[]),
            (50, 40) => method(channel, 50, 41, &[0; 4]),
            (60, 10) => method(channel, 60, 11, &[]),
            (60, 20) => {
                let at = 3 + usize::from(arguments[2]);
                let tag = arguments[at + 1..][..usize::from(arguments[at])].to_vec();
                peer.send(&method(channel, 60, 21, &short(&tag))).await?;
                // Several consumers share one channel.
                if tag == b"1" {
                    may(Did::Consumes(channel, tag));
                }
                continue;
            }
            (60, 30) => method(channel, 60, 31, &arguments[..=usize::from(arguments[0])]),
            (60, 40) => {
                let number = published.entry(channel).or_default();
                *number += 1;
                let first = *number == 1;
                peer.send(&method(channel, 60, 80, &[&number.to_be_bytes()[..], &[0]].concat())).await?;
                if first {
                    may(Did::Published(channel));
                }
                continue;
            }
            (60, 80) => {
                peer.seen().note_settled();
                continue;
            }
            (60, 90) if arguments[8] == 0 => {
                peer.seen().note_rejected();
                continue;
            }
            _ => continue,
        };
        peer.send(&answer).await?;
    }
}
