//! What a broker says of messages that we published: confirms, returned messages, the end of a channel.
//!
//! lapin hands each confirm out as a future of its own, and gives a returned message to whichever confirm it settles next.
//! It does not learn that a channel is in confirm mode: these frames are taken out of the stream, and what they say is
//! told in the broker's order, in which a returned message comes before its own confirm.

use std::str;

use uuid::Uuid;

use super::GuardError;

pub(super) const ACK: (u16, u16) = (60, 80);
pub(super) const NACK: (u16, u16) = (60, 120);
pub(super) const RETURN: (u16, u16) = (60, 50);
/// Some brokers send it even where it is not wanted.
pub(super) const SELECT_OK: (u16, u16) = (85, 11);
pub(super) const CHANNEL_CLOSE: (u16, u16) = (20, 40);

/// What became of messages that were published on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The broker has the message of this tag, or does not want it.
    Settled {
        channel: u16,
        tag: u64,
        /// And all before it that are not settled; with tag 0 all there are.
        multiple: bool,
        acked: bool,
    },
    /// A mandatory message that no queue took; its confirm follows.
    Returned { channel: u16, id: Uuid },
    /// The broker ends the channel: nothing on it is confirmed any more.
    ChannelClosed { channel: u16 },
}

/// What an ack or nack says; nothing in the answer to `confirm.select`.
pub(super) fn settled(channel: u16, method: (u16, u16), arguments: &[u8]) -> Result<Option<News>, GuardError> {
    if method == SELECT_OK {
        return Ok(None);
    }
    let (tag, rest) = arguments.split_first_chunk().ok_or(GuardError::CutShort("confirm"))?;
    let flags = rest.first().ok_or(GuardError::CutShort("confirm"))?;
    let tag = u64::from_be_bytes(*tag);
    Ok(Some(News::Settled { channel, tag, multiple: flags & 1 != 0, acked: method == ACK }))
}

/// The id of a message of ours.
pub(super) fn id(text: &[u8]) -> Option<Uuid> {
    str::from_utf8(text).ok()?.parse().ok()
}

/// Returned messages whose content is on its way: their channel, and how much of the body is still to come once the
/// header was there. Content of one channel comes in a row, but channels take turns.
#[derive(Debug, Default)]
pub(super) struct Returning(Vec<(u16, Option<u64>)>);

impl Returning {
    pub(super) fn begin(&mut self, channel: u16) {
        self.0.retain(|(known, _)| *known != channel);
        self.0.push((channel, None));
    }

    /// Whether the next content header of the channel belongs to a returned message.
    pub(super) fn is_on(&self, channel: u16) -> bool {
        self.0.iter().any(|(known, left)| *known == channel && left.is_none())
    }

    pub(super) fn header(&mut self, channel: u16, body: u64) {
        self.0.retain_mut(|(known, left)| {
            if *known == channel {
                *left = Some(body);
            }
            *left != Some(0)
        });
    }

    /// Whether a body frame of the channel belongs to a returned message.
    pub(super) fn body(&mut self, channel: u16, payload: usize) -> bool {
        let mut ours = false;
        self.0.retain_mut(|(known, left)| match left {
            Some(bytes) if *known == channel => {
                ours = true;
                *bytes = bytes.saturating_sub(payload as u64);
                *bytes > 0
            }
            _ => true,
        });
        ours
    }
}
