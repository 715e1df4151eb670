//! What fe2o3-amqp writes, changed on the way where the wire is to see something else.
//!
//! * A message is encoded when fe2o3-amqp gets it, as the bytes of a data section; what goes out is the message alone.
//! * Its open asks for smaller frames than it accepts, so that a frame still fits when the guard has wrapped its payload.
//! * A link's credit goes out without the [`SURPLUS`] in it. fe2o3-amqp counts every delivery against the credit that it last
//!   sent, and ends a link that gets more. RabbitMQ 3 sends more when credit reaches it while it is sending, and every broker
//!   may have sent when the credit was taken back; so fe2o3-amqp is told of a credit that is never used up.
//! * Sessions get their [numbers](super::channels) on the wire.
//! * RabbitMQ's management wants a sender and a receiver of one name on one session, which AMQP allows and fe2o3-amqp
//!   refuses; so it is told of two names, and the broker of one.

use std::ops::Range;

use bytes::{BufMut, BytesMut};

use super::{
    channels::Channels,
    guard::{GROWTH, GuardError},
};
use crate::scan::Raw;

/// What is added to the credit of each link that receives, and is not sent: the deliveries beyond its credit that
/// fe2o3-amqp puts up with.
pub(crate) const SURPLUS: u32 = 1 << 30;

/// What fe2o3-amqp calls the sender and the receiver of a pair; they differ in the last letter only.
pub(crate) const PAIR_SENDER: &str = "openstack.org/om/management/s";
/// See [`PAIR_SENDER`].
pub(crate) const PAIR_RECEIVER: &str = "openstack.org/om/management/r";
/// What both are called on the wire.
pub(super) const PAIR: &str = "openstack.org/om/management/p";

const HEADER: usize = 8;
const OPEN: u64 = 0x10;
const BEGIN: u8 = 0x11;
const FLOW: u64 = 0x13;
const END: u8 = 0x17;
const CLOSE: u8 = 0x18;
/// Where a frame says its channel.
const CHANNEL: Range<usize> = 6..8;
/// Places of the maximum frame size in an open, of the credit in a flow, of the delivery's id in a transfer.
const MAX_FRAME_SIZE: usize = 2;
const DELIVERY_ID: usize = 1;
const LINK_CREDIT: usize = 6;

/// What fe2o3-amqp wrote and the socket has not taken.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    bytes: BytesMut,
    /// Whether something was written since this was asked last.
    grown: bool,
    /// How many deliveries were written at most since this was asked last.
    deliveries: u32,
}

impl Outbound {
    /// Takes what is written: whole frames, with what is to be changed in them.
    ///
    /// # Errors
    ///
    /// [`GuardError`] if a frame is not whole, or an open is not written as it always was.
    pub(crate) fn write(&mut self, bytes: &[u8], channels: &mut Channels) -> Result<(), GuardError> {
        self.grown = true;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (frame, after) = unit(rest)
                .and_then(|size| rest.split_at_checked(size))
                .ok_or(GuardError::Frame("our own frame is not written at once"))?;
            rest = after;
            let Some(channel) = channel(frame, channels)? else { continue };
            let begins = self.bytes.len();
            // Of a message in several frames each counts: that is only more than there are.
            self.deliveries += u32::from(matches!(frame, [_, _, _, _, _, 0, _, _, 0, 0x53, 0x14, ..]));
            match changed(frame)? {
                Some(Change::Without(data)) => {
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

    /// Ends the session of this number, of which fe2o3-amqp knows nothing.
    pub(super) fn end(&mut self, number: u16) {
        self.bytes.extend_from_slice(&[0, 0, 0, 12, 2, 0]);
        self.bytes.put_u16(number);
        self.bytes.extend_from_slice(&[0, 0x53, END, 0x45]);
    }

    /// Whether something was written since this was asked last.
    pub(crate) fn is_growing(&mut self) -> bool {
        std::mem::take(&mut self.grown)
    }

    /// How many deliveries were written at most since this was asked last.
    pub(super) fn take_deliveries(&mut self) -> u32 {
        std::mem::take(&mut self.deliveries)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What the socket is to take next.
    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }
}

/// How long the protocol header or frame is that begins here.
fn unit(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'A', b'M', b'Q', b'P', ..] => Some(HEADER),
        [a, b, c, d, ..] => Some((u32::from_be_bytes([*a, *b, *c, *d]) as usize).max(HEADER)),
        _ => None,
    }
}

/// What must be changed in a frame: the place, and what must be there.
enum Change {
    Without(Range<usize>),
    Number(usize, u32),
    Letter(usize, u8),
}

/// On which channel a frame goes out.
enum Channel {
    /// As it is written: it belongs to no session.
    Written,
    Number(u16),
}

/// The channel of a frame; nothing if the frame belongs to a session that is over, and is not to be sent.
fn channel(frame: &[u8], channels: &mut Channels) -> Result<Option<Channel>, GuardError> {
    let [_, _, _, _, _, 0, high, low, 0, 0x53, code, ..] = frame else { return Ok(Some(Channel::Written)) };
    let inner = u16::from_be_bytes([*high, *low]);
    Ok(match *code {
        BEGIN => Some(channels.begin(inner)?),
        END => channels.end(inner),
        code if u64::from(code) == OPEN || code == CLOSE => return Ok(Some(Channel::Written)),
        _ => channels.outbound(inner),
    }
    .map(Channel::Number))
}

/// The place of the last letter of an attach's name, if it is one of these.
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
        return Ok(wrapping(frame)?.map(Change::Without));
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
        // Small numbers, and none, have shorter encodings.
        _ if wanted == FLOW => return Ok(None),
        _ => return Err(GuardError::Frame("our own open has no maximum frame size")),
    };
    let place = field.as_ptr() as usize - frame.as_ptr() as usize + 1;
    Ok(match wanted {
        OPEN => Some(Change::Number(place, number.saturating_sub(GROWTH))),
        _ if number >= SURPLUS / 2 => Some(Change::Number(place, number.saturating_sub(SURPLUS))),
        _ => None,
    })
}

/// What is before a message in its first transfer; those that follow have no delivery id.
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
