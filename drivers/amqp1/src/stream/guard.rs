//! Checks the peer's bytes before fe2o3-amqp parses them. Its parser recurses as deep as a value is nested: a few
//! kilobytes of nested lists overflow its stack and abort the process.
//!
//! Frames pass one by one (AMQP 1.0 part 2.3). A performative that is nested too deeply or contradicts itself ends the
//! connection: only the broker writes performatives. Anybody can write a message, so that messages are not parsed here:
//! the payload of each transfer is wrapped into a data section, fe2o3-amqp delivers it as bytes, and
//! [`message`](crate::message) reads those without recursion.

mod bounds;
mod error;

use bounds::Bounds;
use bytes::{Buf, BufMut, Bytes, BytesMut};
pub(crate) use error::GuardError;

use super::{
    channel_numbers::{ChannelNumbers, InboundAction},
    outbound::last_letter,
};
use crate::{
    encoding::{Raw, Reader},
    fe2o3_internals::{MIN_IDLE_TIMEOUT_MS, PAIR},
};

/// Bytes of the head of the data section around a payload.
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
// Positions of fields: two in an open, one in a begin.
const CHANNEL_MAX: usize = 3;
const IDLE_TIME_OUT: usize = 4;
const HANDLE_MAX: usize = 4;

/// The peer's open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) product: Option<String>,
    pub(crate) version: Option<String>,
    /// The highest channel number that the peer allows.
    pub(crate) channel_max: u16,
}

impl Default for Opened {
    fn default() -> Self {
        Self { product: None, version: None, channel_max: u16::MAX }
    }
}

/// The inbound state of one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    stage: Stage,
    inbox: BytesMut,
    outbox: BytesMut,
    /// The largest frame in bytes that the peer may send.
    frame_max: usize,
    bounds: Bounds,
    opened: Option<Opened>,
    /// The highest handle that the peer allows in each session.
    handle_max: u32,
    /// Sessions to end that fe2o3-amqp has forgotten, by their number on the wire.
    unwanted: Vec<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A protocol header is next: the first of the connection, or a later one.
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
            unwanted: Vec::new(),
        }
    }

    /// The buffer for received bytes.
    pub(crate) fn inbox(&mut self) -> &mut BytesMut {
        &mut self.inbox
    }

    /// The bytes for fe2o3-amqp.
    pub(crate) fn outbox(&mut self) -> &mut BytesMut {
        &mut self.outbox
    }

    /// Takes the peer's open.
    pub(crate) fn opened(&mut self) -> Option<Opened> {
        self.opened.take()
    }

    /// Counts deliveries that were sent to the peer.
    pub(crate) fn count_deliveries(&mut self, deliveries: u32) {
        self.bounds.count_deliveries(deliveries);
    }

    /// The highest handle that the peer allows in each session.
    pub(crate) fn handle_max(&self) -> u32 {
        self.handle_max
    }

    /// Takes the next session to end that fe2o3-amqp has forgotten.
    pub(super) fn take_unwanted(&mut self) -> Option<u16> {
        self.unwanted.pop()
    }

    /// Checks complete frames of the inbox and moves them to the outbox.
    ///
    /// # Errors
    ///
    /// [`GuardError`]; the connection is unusable then.
    pub(crate) fn process(&mut self, numbers: &mut ChannelNumbers) -> Result<(), GuardError> {
        loop {
            match self.stage {
                Stage::Header { first } => {
                    if self.inbox.len() < HEADER {
                        return match self.inbox.first() {
                            Some(b'A') | None => Ok(()),
                            Some(_) if first => Err(self.other_protocol()),
                            Some(_) => Err(GuardError::Frame("a protocol header was expected")),
                        };
                    }
                    self.stage = match &self.inbox[..HEADER] {
                        [b'A', b'M', b'Q', b'P', 0, 1, 0, 0] => Stage::Amqp,
                        [b'A', b'M', b'Q', b'P', SASL, 1, 0, 0] => Stage::Sasl,
                        _ if first => return Err(self.other_protocol()),
                        _ => return Err(GuardError::Frame("a protocol header was expected")),
                    };
                    let header = self.inbox.split_to(HEADER);
                    self.outbox.extend_from_slice(&header);
                }
                Stage::Sasl | Stage::Amqp => {
                    let Some(frame) = self.frame()? else { return Ok(()) };
                    self.pass(&frame, numbers)?;
                }
            }
        }
    }

    /// The error of a stream that ends here, if its bytes explain the end.
    pub(crate) fn error_at_end(&self) -> Option<GuardError> {
        let is_incomplete = self.stage == Stage::Header { first: true } && !self.inbox.is_empty();
        is_incomplete.then(|| self.other_protocol())
    }

    fn other_protocol(&self) -> GuardError {
        let says = match &self.inbox[..] {
            [b'A', b'M', b'Q', b'P', _, 0, 9, _, ..] | [b'A', b'M', b'Q', b'P', 1, 1, ..] => {
                "the peer speaks AMQP 0-9-1: use rabbit://, or enable its AMQP 1.0 plugin".to_owned()
            }
            [b'A', b'M', b'Q', b'P', id, major, minor, revision, ..] => {
                format!("the peer refuses AMQP 1.0 and offers the protocol header AMQP {id}.{major}.{minor}.{revision}")
            }
            // Content types change_cipher_spec to heartbeat, then the record's version 3.x.
            [0x14..=0x18, 3, ..] => "the peer answers in TLS: use amqps:// for this port".to_owned(),
            bytes if bytes.starts_with(b"HTTP/") => {
                "the peer answers in HTTP: use the AMQP port of the broker".to_owned()
            }
            bytes if bytes.starts_with(b"SSH-") => {
                "the peer answers in SSH: use the AMQP port of the broker".to_owned()
            }
            bytes => {
                let first = bytes.get(..5).unwrap_or(bytes);
                format!("the peer does not speak AMQP 1.0: its first bytes are {}", first.escape_ascii())
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
            return Err(GuardError::Frame("it is larger than the negotiated size"));
        }
        if self.inbox.len() < size {
            self.inbox.reserve(size - self.inbox.len());
            return Ok(None);
        }
        Ok(Some(self.inbox.split_to(size).freeze()))
    }

    fn pass(&mut self, frame: &Bytes, numbers: &mut ChannelNumbers) -> Result<(), GuardError> {
        let kind = u8::from(self.stage == Stage::Sasl);
        // No broker extends the header of a frame, and fe2o3-amqp does not expect it.
        if frame[4] != 2 || frame[5] != kind {
            return Err(GuardError::Frame("it has an extended header or is of an unknown type"));
        }
        let body = &frame[HEADER..];
        if body.is_empty() {
            self.outbox.extend_from_slice(frame);
            return Ok(());
        }
        let (performative, payload) = Raw::first_for(body, Reader::SerdeAmqp)?;
        let (code, fields) = self.performative(performative)?;
        let channel = u16::from_be_bytes([frame[6], frame[7]]);
        if kind == 0 {
            let action = match code {
                OPEN | CLOSE => InboundAction::Pass,
                BEGIN => {
                    let handle_max = fields.elements().nth(HANDLE_MAX).and_then(Raw::unsigned);
                    let handle_max = handle_max.and_then(|most| u32::try_from(most).ok()).unwrap_or(u32::MAX);
                    self.handle_max = self.handle_max.min(handle_max);
                    let number = fields.elements().next().and_then(short);
                    number.map_or(InboundAction::Pass, |number| numbers.begun(channel, number))
                }
                END => numbers.ended(channel),
                _ => numbers.inbound(channel),
            };
            match action {
                InboundAction::Pass => {}
                InboundAction::Begun(inner) => {
                    let number = inner.to_be_bytes();
                    self.pass_with(frame, [fields.elements().next().map(|field| (field, &number[..]))]);
                    return Ok(());
                }
                InboundAction::Drop => return Ok(()),
                InboundAction::End(number) => {
                    self.unwanted.push(number);
                    return Ok(());
                }
            }
        }
        match code {
            TRANSFER if kind == 0 => {
                let payload = self.bounds.admit(channel, fields, payload)?;
                self.wrap(&frame[4..HEADER], performative, payload);
                return Ok(());
            }
            _ if !payload.is_empty() => return Err(GuardError::Frame("bytes follow its performative")),
            SASL_OUTCOME if kind == 1 => self.stage = Stage::Header { first: false },
            DETACH => {
                self.pass_closing(frame, fields);
                return Ok(());
            }
            DISPOSITION if kind == 0 => self.bounds.check_disposition(fields)?,
            OPEN => {
                self.opened = Some(opened(fields));
                // `ChannelNumbers` limits the sessions, so that fe2o3-amqp need not.
                let channel_max = fields.elements().nth(CHANNEL_MAX).filter(|field| short(*field).is_some());
                let idle = [0, 0, 0, MIN_IDLE_TIMEOUT_MS];
                let idle = fields.elements().nth(IDLE_TIME_OUT).and_then(|field| match field.encoded() {
                    [0x52, 1..MIN_IDLE_TIMEOUT_MS] => Some((field, &idle[3..])),
                    [0x70, 0, 0, 0, 1..MIN_IDLE_TIMEOUT_MS] => Some((field, &idle[..])),
                    _ => None,
                });
                self.pass_with(frame, [channel_max.map(|field| (field, &[0xff; 2][..])), idle]);
                return Ok(());
            }
            ATTACH => {
                let mut fields = fields.elements();
                let place = last_letter(fields.next(), &[PAIR], frame);
                let handle = fields.next().and_then(Raw::unsigned).unwrap_or(0);
                self.bounds.attach(channel, handle);
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

    /// Passes a detach as one that closes the link. Links are never resumed, and fe2o3-amqp keeps the unsettled
    /// messages of a link that is only detached; RabbitMQ 3 never closes one.
    fn pass_closing(&mut self, frame: &Bytes, fields: Raw<'_>) {
        let mut rest = fields.elements();
        let handle = rest.next().map_or(&[0x43][..], Raw::encoded);
        if rest.next().and_then(Raw::boolean) == Some(true) {
            return self.outbox.extend_from_slice(frame);
        }
        let error = rest.next().map_or(&[0x40][..], Raw::encoded);
        let size = handle.len() + 1 + error.len();
        // Both sizes are close to that of the frame, which is limited.
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

    /// Passes a frame with other numbers at the ends of some fields.
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
        // Brokers do not write symbolic descriptors, but fe2o3-amqp reads them.
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
        // Both numbers are below the negotiated frame size.
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

/// A `ushort`, which has a single encoding.
fn short(field: Raw<'_>) -> Option<u16> {
    match field.encoded() {
        &[0x60, high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// Reads an open: its channel limit, and the product and version in its properties.
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

/// Moves as many bytes as fit; returns whether there were any.
pub(crate) fn copy_into(outbox: &mut BytesMut, room: &mut tokio::io::ReadBuf<'_>) -> bool {
    let bytes = outbox.len().min(room.remaining());
    room.put_slice(&outbox[..bytes]);
    outbox.advance(bytes);
    bytes > 0
}
