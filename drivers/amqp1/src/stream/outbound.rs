//! The bytes that fe2o3-amqp writes, adapted for the wire.
//!
//! * A message is encoded before fe2o3-amqp gets it, as the bytes of a data section; the section's head is removed.
//! * The open asks for smaller frames than fe2o3-amqp accepts, so that a frame still fits after the guard has wrapped
//!   its payload.
//! * The credit of a link is reduced by [`SURPLUS`].
//! * Sessions get their [numbers](super::channel_numbers) on the wire.
//! * A sender and a receiver that form a pair get one name: RabbitMQ's management requires it, AMQP allows it, and
//!   fe2o3-amqp refuses it.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::{channel_numbers::ChannelNumbers, guard::GuardError};
use crate::{
    encoding::Raw,
    fe2o3_internals::{GROWTH, PAIR_RECEIVER, PAIR_SENDER, SURPLUS},
};

const HEADER: usize = 8;
const OPEN: u64 = 0x10;
const BEGIN: u8 = 0x11;
const FLOW: u64 = 0x13;
const END: u8 = 0x17;
const CLOSE: u8 = 0x18;
/// The position of the channel number in a frame.
const CHANNEL: Range<usize> = 6..8;
// Positions of fields: in an open, in a transfer, in a flow.
const MAX_FRAME_SIZE: usize = 2;
const DELIVERY_ID: usize = 1;
const LINK_CREDIT: usize = 6;

/// Bytes that fe2o3-amqp wrote and the socket has not accepted.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    bytes: BytesMut,
    /// Whether something was written since the last call of `take_has_grown`.
    grown: bool,
    /// Upper bound of the deliveries that were written since the last call of `take_deliveries`.
    deliveries: u32,
}

impl Outbound {
    /// Accepts whole frames and adapts them.
    ///
    /// # Errors
    ///
    /// [`GuardError`] if a frame is not whole, or an open has an unexpected encoding.
    pub(crate) fn write(&mut self, bytes: &[u8], numbers: &mut ChannelNumbers) -> Result<(), GuardError> {
        self.grown = true;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (frame, after) = unit(rest)
                .and_then(|size| rest.split_at_checked(size))
                .ok_or(GuardError::Frame("fe2o3-amqp wrote a part of a frame"))?;
            rest = after;
            let Some(channel) = channel(frame, numbers)? else { continue };
            let begins = self.bytes.len();
            // Each frame of a message counts, which only raises the bound.
            self.deliveries += u32::from(matches!(frame, [_, _, _, _, _, 0, _, _, 0, 0x53, 0x14, ..]));
            match changed(frame)? {
                Some(Change::Remove(data)) => {
                    self.bytes.put_u32(u32::try_from(frame.len() - data.len()).unwrap_or(u32::MAX));
                    self.bytes.extend_from_slice(&frame[4..data.start]);
                    self.bytes.extend_from_slice(&frame[data.end..]);
                }
                Some(Change::Number(place, number)) => {
                    self.bytes.extend_from_slice(frame);
                    self.bytes[begins + place..begins + place + 4].copy_from_slice(&number.to_be_bytes());
                }
                Some(Change::Letter(place, letter)) => {
                    self.bytes.extend_from_slice(frame);
                    self.bytes[begins + place] = letter;
                }
                None => self.bytes.extend_from_slice(frame),
            }
            if let Channel::Number(number) = channel {
                self.bytes[begins..][CHANNEL].copy_from_slice(&number.to_be_bytes());
            }
        }
        Ok(())
    }

    /// Ends the session of this number, which fe2o3-amqp has forgotten.
    pub(super) fn end_session(&mut self, number: u16) {
        self.bytes.extend_from_slice(&[0, 0, 0, 12, 2, 0]);
        self.bytes.put_u16(number);
        self.bytes.extend_from_slice(&[0, 0x53, END, 0x45]);
    }

    /// Returns and resets whether something was written.
    pub(crate) fn take_has_grown(&mut self) -> bool {
        std::mem::take(&mut self.grown)
    }

    /// Returns and resets an upper bound of the deliveries that were written.
    pub(super) fn take_deliveries(&mut self) -> u32 {
        std::mem::take(&mut self.deliveries)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes for the socket.
    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

/// Bytes of the protocol header or frame at the front.
fn unit(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'A', b'M', b'Q', b'P', ..] => Some(HEADER),
        [a, b, c, d, ..] => Some((u32::from_be_bytes([*a, *b, *c, *d]) as usize).max(HEADER)),
        _ => None,
    }
}

/// A change in a frame.
enum Change {
    /// Remove these bytes.
    Remove(Range<usize>),
    /// Set the number at this position.
    Number(usize, u32),
    /// Set the octet at this position.
    Letter(usize, u8),
}

/// The channel of an outbound frame.
enum Channel {
    /// Unchanged: the frame belongs to no session.
    Unchanged,
    /// This number on the wire.
    Number(u16),
}

/// The channel of a frame; `None` if its session is over, and the frame must not be sent.
fn channel(frame: &[u8], numbers: &mut ChannelNumbers) -> Result<Option<Channel>, GuardError> {
    let [_, _, _, _, _, 0, high, low, 0, 0x53, code, ..] = frame else { return Ok(Some(Channel::Unchanged)) };
    let inner = u16::from_be_bytes([*high, *low]);
    Ok(match *code {
        BEGIN => Some(numbers.begin(inner)?),
        END => numbers.end(inner),
        code if u64::from(code) == OPEN || code == CLOSE => return Ok(Some(Channel::Unchanged)),
        _ => numbers.outbound(inner),
    }
    .map(Channel::Number))
}

/// The position of the last letter of a link name, if it is one of `names`.
pub(super) fn last_letter(name: Option<Raw<'_>>, names: &[&str], frame: &[u8]) -> Option<usize> {
    let name = name?;
    let encoded = name.encoded();
    names.contains(&name.text()?).then(|| encoded.as_ptr() as usize - frame.as_ptr() as usize + encoded.len() - 1)
}

fn changed(frame: &[u8]) -> Result<Option<Change>, GuardError> {
    if let [_, _, _, _, _, 0, _, _, 0, 0x53, 0x12, ..] = frame {
        let (attach, _) = Raw::first(&frame[HEADER..])?;
        let name = attach.described().and_then(|(_, fields)| fields.elements().next());
        let place = last_letter(name, &[PAIR_SENDER, PAIR_RECEIVER], frame);
        return Ok(place.map(|place| Change::Letter(place, b'p')));
    }
    if let [_, _, _, _, _, 0, _, _, 0, 0x53, 0x14, ..] = frame {
        return Ok(wrapping(frame)?.map(Change::Remove));
    }
    // Type AMQP; the descriptors of open and flow are small numbers.
    let wanted = match frame {
        [_, _, _, _, _, 0, _, _, 0, 0x53, 0x10, ..] => OPEN,
        [_, _, _, _, _, 0, _, _, 0, 0x53, 0x13, ..] => FLOW,
        _ => return Ok(None),
    };
    let (performative, _) = Raw::first(&frame[HEADER..])?;
    let fields = performative.described().map(|(_, fields)| fields.elements());
    let place = if wanted == OPEN { MAX_FRAME_SIZE } else { LINK_CREDIT };
    let field = fields.and_then(|mut fields| fields.nth(place)).map(Raw::encoded);
    let (field, number) = match field {
        Some(field @ &[0x70, a, b, c, d]) => (field, u32::from_be_bytes([a, b, c, d])),
        // Small numbers have shorter encodings, and contain no surplus.
        _ if wanted == FLOW => return Ok(None),
        _ => return Err(GuardError::Frame("fe2o3-amqp wrote an open without a maximum frame size")),
    };
    let place = field.as_ptr() as usize - frame.as_ptr() as usize + 1;
    Ok(match wanted {
        OPEN => Some(Change::Number(place, number.saturating_sub(GROWTH))),
        _ if number >= SURPLUS / 2 => Some(Change::Number(place, number.saturating_sub(SURPLUS))),
        _ => None,
    })
}

/// The head of the data section in the first transfer of a message; later transfers have no delivery id.
fn wrapping(frame: &[u8]) -> Result<Option<Range<usize>>, GuardError> {
    let (transfer, payload) = Raw::first(&frame[HEADER..])?;
    let id = transfer.described().and_then(|(_, fields)| fields.elements().nth(DELIVERY_ID));
    let length = match payload {
        [0, 0x53, 0x75, 0xa0, _, ..] => 5,
        [0, 0x53, 0x75, 0xb0, _, _, _, _, ..] => 8,
        _ => return Ok(None),
    };
    let begins = frame.len() - payload.len();
    Ok(id.filter(|id| !id.is_null()).map(|_| begins..begins + length))
}
