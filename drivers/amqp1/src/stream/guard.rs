//! What stands between the peer's bytes and fe2o3-amqp's parser, which recurses as deep as a value is nested: a few
//! kilobytes of nested lists overflow its stack, and the process is gone.
//!
//! Frames are let through one by one (AMQP 1.0, part 2.3). A performative that is nested too deeply, or that contradicts
//! itself, ends the connection: only the broker itself can write one. A message is anybody's, so it is not looked at here:
//! the payload of each transfer is wrapped into a data section, `fe2o3-amqp` delivers it as bytes, and
//! [`message`](crate::message) reads those without recursion.

mod bounds;
mod error;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    channels::{Channels, Inbound},
    outbound::{PAIR, last_letter},
};
use crate::scan::{For, Raw};
use bounds::Bounds;
pub(crate) use error::GuardError;

/// How much a frame grows at most: a payload when it is wrapped, or a detach that is made one that closes.
pub(crate) const GROWTH: u32 = 16;

/// What a payload is wrapped into.
const WRAPPING: usize = 8;
const HEADER: usize = 8;
const SASL: u8 = 3;
const SASL_OUTCOME: u64 = 0x44;
const OPEN: u64 = 0x10;
const BEGIN: u64 = 0x11;
const ATTACH: u64 = 0x12;
const TRANSFER: u64 = 0x14;
const DISPOSITION: u64 = 0x15;
const DETACH: u64 = 0x16;
const END: u64 = 0x17;
const CLOSE: u64 = 0x18;
/// Places in an open and in a begin.
const CHANNEL_MAX: usize = 3;
const IDLE_TIME_OUT: usize = 4;
const HANDLE_MAX: usize = 4;

/// The shortest idle timeout that a broker is believed, in milliseconds: fe2o3-amqp sends an empty frame that often.
const LEAST_IDLE: u8 = 100;
/// What the peer said of itself when it opened the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) product: Option<String>,
    pub(crate) version: Option<String>,
    /// The highest channel number that it allows.
    pub(crate) channel_max: u16,
}

impl Default for Opened {
    fn default() -> Self {
        Self { product: None, version: None, channel_max: u16::MAX }
    }
}

/// The state of one connection's inbound bytes.
#[derive(Debug)]
pub(crate) struct Guard {
    stage: Stage,
    inbox: BytesMut,
    outbox: BytesMut,
    /// The largest frame that we allowed the peer.
    frame_max: usize,
    bounds: Bounds,
    opened: Option<Opened>,
    /// The highest handle that the peer allows in each session.
    handle_max: u32,
    /// Sessions that are to be ended without fe2o3-amqp.
    to_end: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A protocol header is due; the first one of the connection, or a later one.
    Header {
        first: bool,
    },
    Sasl,
    Amqp,
}

impl Guard {
    pub(crate) fn new(frame_max: u32, message_max: usize) -> Self {
        Self {
            stage: Stage::Header { first: true },
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            frame_max: frame_max as usize,
            bounds: Bounds::new(message_max),
            opened: None,
            handle_max: u32::MAX,
            to_end: Vec::new(),
        }
    }

    /// Where received bytes are to be put.
    pub(crate) fn inbox(&mut self) -> &mut BytesMut {
        &mut self.inbox
    }

    /// What may be handed on.
    pub(crate) fn outbox(&mut self) -> &mut BytesMut {
        &mut self.outbox
    }

    /// What the peer said of itself, once.
    pub(crate) fn opened(&mut self) -> Option<Opened> {
        self.opened.take()
    }

    /// So many deliveries were sent to the peer.
    pub(crate) fn delivered(&mut self, deliveries: u32) {
        self.bounds.delivered(deliveries);
    }

    /// The highest handle that the peer allows in each session.
    pub(crate) fn handle_max(&self) -> u32 {
        self.handle_max
    }

    /// The next session that is to be ended without fe2o3-amqp.
    pub(super) fn take_to_end(&mut self) -> Option<u16> {
        self.to_end.pop()
    }

    /// Moves what is complete from the inbox to the outbox.
    ///
    /// # Errors
    ///
    /// [`GuardError`]; nothing must be read any more.
    pub(crate) fn work(&mut self, channels: &mut Channels) -> Result<(), GuardError> {
        loop {
            match self.stage {
                Stage::Header { first } => {
                    if self.inbox.len() < HEADER {
                        return match self.inbox.first() {
                            Some(b'A') | None => Ok(()),
                            Some(_) if first => Err(self.other_protocol()),
                            Some(_) => Err(GuardError::Frame("a protocol header was due")),
                        };
                    }
                    self.stage = match &self.inbox[..HEADER] {
                        [b'A', b'M', b'Q', b'P', 0, 1, 0, 0] => Stage::Amqp,
                        [b'A', b'M', b'Q', b'P', SASL, 1, 0, 0] => Stage::Sasl,
                        _ if first => return Err(self.other_protocol()),
                        _ => return Err(GuardError::Frame("a protocol header was due")),
                    };
                    let header = self.inbox.split_to(HEADER);
                    self.outbox.extend_from_slice(&header);
                }
                Stage::Sasl | Stage::Amqp => {
                    let Some(frame) = self.frame()? else { return Ok(()) };
                    self.pass(&frame, channels)?;
                }
            }
        }
    }

    /// What the peer's end of the stream means; `None` if it is an end like any other.
    pub(crate) fn ended(&self) -> Option<GuardError> {
        let cut_short = self.stage == Stage::Header { first: true } && !self.inbox.is_empty();
        cut_short.then(|| self.other_protocol())
    }

    fn other_protocol(&self) -> GuardError {
        let says = match &self.inbox[..] {
            [b'A', b'M', b'Q', b'P', _, 0, 9, _, ..] | [b'A', b'M', b'Q', b'P', 1, 1, ..] => {
                "this broker speaks AMQP 0-9-1, use rabbit:// (or switch on its AMQP 1.0 plugin)".to_owned()
            }
            [b'A', b'M', b'Q', b'P', id, major, minor, revision, ..] => {
                format!("the peer refuses AMQP 1.0 and offers the protocol header AMQP {id}.{major}.{minor}.{revision}")
            }
            // Content types change_cipher_spec to heartbeat, then the record's version 3.x.
            [0x14..=0x18, 3, ..] => "the peer answers in TLS: use amqps:// for this port".to_owned(),
            bytes if bytes.starts_with(b"HTTP/") => "the peer answers in HTTP: this is no AMQP port".to_owned(),
            bytes if bytes.starts_with(b"SSH-") => "the peer answers in SSH: this is no AMQP port".to_owned(),
            bytes => {
                let first = bytes.get(..5).unwrap_or(bytes);
                format!("the peer does not speak AMQP 1.0: it began with {}", first.escape_ascii())
            }
        };
        GuardError::OtherProtocol(says.into())
    }

    /// The next frame, once it is complete.
    fn frame(&mut self) -> Result<Option<Bytes>, GuardError> {
        let Some(size) = self.inbox.get(..4).and_then(|size| <[u8; 4]>::try_from(size).ok()) else { return Ok(None) };
        let size = u32::from_be_bytes(size) as usize;
        if size < HEADER {
            return Err(GuardError::Frame("it is smaller than its own header"));
        }
        if size > self.frame_max {
            return Err(GuardError::Frame("it is larger than what was agreed"));
        }
        if self.inbox.len() < size {
            self.inbox.reserve(size - self.inbox.len());
            return Ok(None);
        }
        Ok(Some(self.inbox.split_to(size).freeze()))
    }

    fn pass(&mut self, frame: &Bytes, channels: &mut Channels) -> Result<(), GuardError> {
        let kind = u8::from(self.stage == Stage::Sasl);
        // Nobody extends the header of a frame, and fe2o3-amqp does not expect it.
        if frame[4] != 2 || frame[5] != kind {
            return Err(GuardError::Frame("it has an extended header or is of an unknown type"));
        }
        let body = &frame[HEADER..];
        if body.is_empty() {
            self.outbox.extend_from_slice(frame);
            return Ok(());
        }
        let (performative, payload) = Raw::first_for(body, For::SerdeAmqp)?;
        let (code, fields) = self.performative(performative)?;
        let channel = u16::from_be_bytes([frame[6], frame[7]]);
        if kind == 0 {
            let inbound = match code {
                OPEN | CLOSE => Inbound::Pass,
                BEGIN => {
                    let handle_max = fields.elements().nth(HANDLE_MAX).and_then(Raw::unsigned);
                    let handle_max = handle_max.and_then(|most| u32::try_from(most).ok()).unwrap_or(u32::MAX);
                    self.handle_max = self.handle_max.min(handle_max);
                    let number = fields.elements().next().and_then(short);
                    number.map_or(Inbound::Pass, |number| channels.begun(channel, number))
                }
                END => channels.ended(channel),
                _ => channels.inbound(channel),
            };
            match inbound {
                Inbound::Pass => {}
                Inbound::Begun(inner) => {
                    let number = inner.to_be_bytes();
                    self.pass_with(frame, [fields.elements().next().map(|field| (field, &number[..]))]);
                    return Ok(());
                }
                Inbound::Swallow => return Ok(()),
                Inbound::End(number) => {
                    self.to_end.push(number);
                    return Ok(());
                }
            }
        }
        match code {
            TRANSFER if kind == 0 => {
                let payload = self.bounds.admitted(channel, fields, payload)?;
                self.wrap(&frame[4..HEADER], performative, payload);
                return Ok(());
            }
            _ if !payload.is_empty() => return Err(GuardError::Frame("bytes follow where none belong")),
            SASL_OUTCOME if kind == 1 => self.stage = Stage::Header { first: false },
            DETACH => {
                self.pass_closing(frame, fields);
                return Ok(());
            }
            DISPOSITION if kind == 0 => self.bounds.settles(fields)?,
            OPEN => {
                self.opened = Some(opened(fields));
                // How many sessions there are is seen to where they get their numbers.
                let channel_max = fields.elements().nth(CHANNEL_MAX).filter(|field| short(*field).is_some());
                let idle = [0, 0, 0, LEAST_IDLE];
                let idle = fields.elements().nth(IDLE_TIME_OUT).and_then(|field| match field.encoded() {
                    [0x52, 1..LEAST_IDLE] => Some((field, &idle[3..])),
                    [0x70, 0, 0, 0, 1..LEAST_IDLE] => Some((field, &idle[..])),
                    _ => None,
                });
                self.pass_with(frame, [channel_max.map(|field| (field, &[0xff; 2][..])), idle]);
                return Ok(());
            }
            ATTACH => {
                let mut fields = fields.elements();
                let place = last_letter(fields.next(), &[PAIR], frame);
                let handle = fields.next().and_then(Raw::unsigned).unwrap_or(0);
                self.bounds.attached(channel, handle);
                if let Some(place) = place {
                    // The peer receives what our sender sends.
                    let ours = if fields.next().and_then(Raw::boolean) == Some(true) { b's' } else { b'r' };
                    let begins = self.outbox.len();
                    self.outbox.extend_from_slice(frame);
                    self.outbox[begins + place] = ours;
                    return Ok(());
                }
            }
            _ => {}
        }
        self.outbox.extend_from_slice(frame);
        Ok(())
    }

    /// Hands a detach on as one that closes the link. No link is ever resumed, and of one that is only detached fe2o3-amqp
    /// keeps the messages whose outcome will never come; RabbitMQ 3 says of none that it is closed.
    fn pass_closing(&mut self, frame: &Bytes, fields: Raw<'_>) {
        let mut rest = fields.elements();
        let handle = rest.next().map_or(&[0x43][..], Raw::encoded);
        if rest.next().and_then(Raw::boolean) == Some(true) {
            return self.outbox.extend_from_slice(frame);
        }
        let error = rest.next().map_or(&[0x40][..], Raw::encoded);
        let size = handle.len() + 1 + error.len();
        // Both sizes are near that of the frame, which has at most the agreed size.
        let narrow = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        self.outbox.put_u32(narrow(HEADER + 12 + size));
        self.outbox.extend_from_slice(&frame[4..HEADER]);
        self.outbox.extend_from_slice(&[0, 0x53, 0x16, 0xd0]);
        self.outbox.put_u32(narrow(4 + size));
        self.outbox.put_u32(3);
        self.outbox.extend_from_slice(handle);
        self.outbox.put_u8(0x41);
        self.outbox.extend_from_slice(error);
    }

    /// Hands a frame on with other numbers at the ends of some of its fields.
    fn pass_with<'a, const COUNT: usize>(&mut self, frame: &Bytes, changes: [Option<(Raw<'a>, &'a [u8])>; COUNT]) {
        let begins = self.outbox.len();
        self.outbox.extend_from_slice(frame);
        for (field, number) in changes.into_iter().flatten() {
            let field = field.encoded();
            let place = field.as_ptr() as usize - frame.as_ptr() as usize + field.len() - number.len();
            self.outbox[begins + place..][..number.len()].copy_from_slice(number);
        }
    }

    fn performative<'a>(&self, value: Raw<'a>) -> Result<(u64, Raw<'a>), GuardError> {
        if let Some(described) = value.described() {
            return Ok(described);
        }
        // Nobody writes the long names, but a parser may read them.
        match value.described_by_symbol() {
            Some((b"amqp:attach:list", fields)) => Ok((ATTACH, fields)),
            Some((b"amqp:transfer:list", fields)) => Ok((TRANSFER, fields)),
            Some((b"amqp:disposition:list", fields)) => Ok((DISPOSITION, fields)),
            Some((b"amqp:open:list", fields)) => Ok((OPEN, fields)),
            Some((b"amqp:begin:list", fields)) => Ok((BEGIN, fields)),
            Some((b"amqp:detach:list", fields)) => Ok((DETACH, fields)),
            Some((b"amqp:end:list", fields)) => Ok((END, fields)),
            Some((b"amqp:close:list", fields)) => Ok((CLOSE, fields)),
            Some((_, fields)) => Ok((0, fields)),
            None => Err(GuardError::Frame("it does not begin with a performative")),
        }
    }

    fn wrap(&mut self, header: &[u8], performative: Raw<'_>, payload: &[u8]) {
        let performative = performative.encoded();
        let growth = if payload.is_empty() { 0 } else { WRAPPING };
        let size = HEADER + performative.len() + growth + payload.len();
        self.outbox.reserve(size);
        // Both numbers are below the agreed frame size.
        self.outbox.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
        self.outbox.extend_from_slice(header);
        self.outbox.extend_from_slice(performative);
        if !payload.is_empty() {
            self.outbox.extend_from_slice(&[0x00, 0x53, 0x75, 0xb0]);
            self.outbox.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
            self.outbox.extend_from_slice(payload);
        }
    }
}

/// A number of two bytes, which has one encoding only.
fn short(field: Raw<'_>) -> Option<u16> {
    match field.encoded() {
        &[0x60, high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// What counts of an open: its channel limit, and the product and version in its properties.
fn opened(fields: Raw<'_>) -> Opened {
    let mut opened = Opened::default();
    if let Some(channel_max) = fields.elements().nth(CHANNEL_MAX).and_then(short) {
        opened.channel_max = channel_max;
    }
    let Some(properties) = fields.elements().nth(9) else { return opened };
    let mut entries = properties.elements();
    while let (Some(key), Some(value)) = (entries.next(), entries.next()) {
        let text = || value.text().map(|text| text.chars().take(200).collect());
        match key.text() {
            Some("product") => opened.product = text(),
            Some("version") => opened.version = text(),
            _ => {}
        }
    }
    opened
}

/// Takes as much of what may be handed on as fits.
pub(crate) fn take(outbox: &mut BytesMut, room: &mut tokio::io::ReadBuf<'_>) -> bool {
    let bytes = outbox.len().min(room.remaining());
    room.put_slice(&outbox[..bytes]);
    outbox.advance(bytes);
    bytes > 0
}
