//! A fake AMQP 1.0 broker: completes the handshake, then does what a test tells it to.

use std::{io, sync::Arc};

use tokio::{io::AsyncReadExt, net::tcp::OwnedReadHalf};

use crate::peer::{Boxed, Broker, Peer, Running};

pub(crate) const NULL: &[u8] = &[0x40];
pub(crate) const TRUE: &[u8] = &[0x41];
pub(crate) const FALSE: &[u8] = &[0x42];

/// A step of the client that an attack may follow.
#[derive(Clone, Debug)]
pub(crate) enum Did {
    /// It sent its credentials; not answered yet.
    LogsIn,
    /// It opened the connection; not answered yet.
    Opens,
    /// It began a session; not answered yet.
    Begins,
    /// It attached a link on a channel; already answered.
    Attached { channel: u16, handle: u32, receives: bool },
}

impl Did {
    fn is_handshake(&self) -> bool {
        matches!(self, Self::LogsIn | Self::Opens | Self::Begins)
    }
}

/// The attack's frames after this step; they replace an answer that was not sent yet.
pub(crate) type Attack = Arc<dyn Fn(Peer, Did) -> Option<Boxed> + Send + Sync>;

pub(crate) fn uint(number: u32) -> Vec<u8> {
    [&[0x70][..], &number.to_be_bytes()].concat()
}

fn ushort(number: u16) -> Vec<u8> {
    [&[0x60][..], &number.to_be_bytes()].concat()
}

pub(crate) fn described(code: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body = fields.concat();
    let size = u32::try_from(body.len() + 4).unwrap();
    let count = u32::try_from(fields.len()).unwrap();
    [&[0, 0x53, code, 0xd0][..], &size.to_be_bytes(), &count.to_be_bytes(), &body].concat()
}

fn typed(kind: u8, channel: u16, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes()[..], &[2, kind], &channel.to_be_bytes(), body].concat()
}

pub(crate) fn frame(channel: u16, body: &[u8]) -> Vec<u8> {
    typed(0, channel, body)
}

/// The broker's open.
pub(crate) fn open(idle: &[u8]) -> Vec<u8> {
    frame(0, &described(0x10, &[b"\xa1\x04fake", NULL, &uint(65_536), &ushort(255), idle]))
}

/// A disposition of deliveries that the client sent.
pub(crate) fn disposition(channel: u16, first: u32, last: u32, settled: bool) -> Vec<u8> {
    let settled = if settled { TRUE } else { FALSE };
    let accepted = described(0x24, &[]);
    frame(channel, &described(0x15, &[TRUE, &uint(first), &uint(last), settled, &accepted]))
}

/// A transfer to the client.
pub(crate) fn transfer(channel: u16, handle: u32, number: u32, more: bool, payload: &[u8]) -> Vec<u8> {
    let tag = [&[0xa0, 4][..], &number.to_be_bytes()].concat();
    let more = if more { TRUE } else { FALSE };
    let performative = described(0x14, &[&uint(handle), &uint(number), &tag, &[0x43], FALSE, more]);
    frame(channel, &[&performative[..], payload].concat())
}

/// A message with a text, as Python writes requests.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [&[0, 0x53, 0x77, 0xb1][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// The encoded length of a value, for the types that fe2o3-amqp writes.
fn width(bytes: &[u8]) -> usize {
    match bytes[0] {
        0 => {
            let descriptor = width(&bytes[1..]);
            1 + descriptor + width(&bytes[1 + descriptor..])
        }
        code => match code >> 4 {
            4 => 1,
            5 => 2,
            6 => 3,
            7 => 5,
            8 => 9,
            9 => 17,
            0xa | 0xc | 0xe => 2 + usize::from(bytes[1]),
            _ => 5 + u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize,
        },
    }
}

/// A performative's code and fields.
fn performative(body: &[u8]) -> (u8, Vec<Vec<u8>>) {
    let code = body[2];
    let (mut at, count) = match body[3] {
        0x45 => return (code, Vec::new()),
        0xc0 => (6, usize::from(body[5])),
        _ => (12, u32::from_be_bytes(body[8..12].try_into().unwrap()) as usize),
    };
    let fields = (0..count).map(|_| {
        let field = body[at..at + width(&body[at..])].to_vec();
        at += field.len();
        field
    });
    (code, fields.collect())
}

fn number(field: &[u8]) -> u32 {
    match field {
        [0x52 | 0x50, byte] => u32::from(*byte),
        [0x70, bytes @ ..] => u32::from_be_bytes(bytes.try_into().unwrap()),
        _ => 0,
    }
}

/// Starts a broker.
pub(crate) async fn start(attack: impl Fn(Peer, Did) -> Option<Boxed> + Send + Sync + 'static) -> Broker {
    let attack: Attack = Arc::new(attack);
    Broker::start(move |read, peer| serve(read, peer, attack.clone())).await
}

async fn serve(mut read: OwnedReadHalf, peer: Peer, attack: Attack) -> io::Result<()> {
    let mut running = Running::default();
    let mut may = |did: Did| running.begin(&peer, did.is_handshake(), attack(peer.clone(), did));
    loop {
        let mut head = [0; 8];
        read.read_exact(&mut head).await?;
        if head.starts_with(b"AMQP") {
            peer.send(&head).await?;
            if head[4] == 3 {
                let mechanisms = [&[0xe0, 18, 2, 0xa3, 5][..], b"PLAIN", &[9], b"ANONYMOUS"].concat();
                peer.send(&typed(1, 0, &described(0x40, &[&mechanisms]))).await?;
            }
            continue;
        }
        let size = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize;
        let channel = u16::from_be_bytes([head[6], head[7]]);
        let mut body = vec![0; size - 8];
        read.read_exact(&mut body).await?;
        if body.is_empty() {
            peer.seen().note_empty();
            continue;
        }
        let (code, fields) = performative(&body);
        let field = |place: usize| fields.get(place).map_or(NULL, Vec::as_slice);
        match code {
            0x41 if may(Did::LogsIn) => {}
            0x41 => peer.send(&typed(1, 0, &described(0x44, &[&[0x50, 0]]))).await?,
            0x10 if may(Did::Opens) => {}
            0x10 => peer.send(&open(NULL)).await?,
            0x11 if may(Did::Begins) => {}
            0x11 => {
                let window = uint(2048);
                let begin = described(0x11, &[&ushort(channel), &[0x43], &window, &window, &uint(255)]);
                peer.send(&frame(channel, &begin)).await?;
            }
            0x12 => {
                let receives = field(2) == TRUE;
                let (role, count) = if receives { (FALSE, &[0x43][..]) } else { (TRUE, NULL) };
                let attach = [field(0), field(1), role, field(3), field(4), field(5), field(6), NULL, NULL, count];
                peer.send(&frame(channel, &described(0x12, &attach))).await?;
                if !receives {
                    let (window, credit) = (uint(2048), uint(100));
                    let flow = [&[0x43], &window[..], &[0x43], &window, field(1), &[0x43], &credit, &[0x43], FALSE];
                    peer.send(&frame(channel, &described(0x13, &flow))).await?;
                }
                may(Did::Attached { channel, handle: number(field(1)), receives });
            }
            0x14 => {
                let delivery = number(field(1));
                peer.send(&disposition(channel, delivery, delivery, true)).await?;
            }
            0x15 => peer.seen().note_settled(),
            0x16 => peer.send(&frame(channel, &described(0x16, &[field(0), TRUE]))).await?,
            0x17 => peer.send(&frame(channel, &described(0x17, &[]))).await?,
            0x18 => {
                peer.send(&frame(0, &described(0x18, &[]))).await?;
                peer.close().await;
                return Ok(());
            }
            _ => {}
        }
    }
}
