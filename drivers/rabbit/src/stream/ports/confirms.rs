//! Confirms and returns of the messages that were published on one channel.

use std::str;

use uuid::Uuid;

use crate::stream::{
    channel_close::ChannelClose,
    guard::{Frame, GuardError, content_header},
};

/// Receives what the broker reports about messages published on one channel, in the broker's order.
///
/// Called by the task that reads the socket, so that an implementation must not block.
pub(crate) trait ConfirmSink: Send + Sync {
    /// The broker answered `basic.ack` (`acked`) or `basic.nack`: for the message with this delivery tag, with
    /// `multiple` also for every earlier one, and with tag 0 for all.
    fn confirmed(&self, tag: u64, multiple: bool, acked: bool);

    /// The broker returned a message; its confirm follows. Returns `false` if more messages came back than are in
    /// flight.
    fn returned(&self, message_id: Uuid) -> bool;

    /// The broker closed the channel.
    fn channel_closed(&self, close: ChannelClose);

    /// The channel ended with its connection.
    fn connection_lost(&self);
}

/// Passes a frame of a publishing channel to `sink`.
pub(super) fn take(sink: &dyn ConfirmSink, frame: Frame<'_>) -> Result<(), GuardError> {
    match frame {
        Frame::Settled { acked, arguments } => {
            let cut_short = GuardError::CutShort("confirm");
            let Some((tag, [flags, ..])) = arguments.split_first_chunk() else { return Err(cut_short) };
            sink.confirmed(u64::from_be_bytes(*tag), flags & 1 != 0, acked);
        }
        // Only the id of a returned message matters here.
        Frame::Header(payload) => {
            if let Some(id) = content_header::message_id(payload).and_then(own_id)
                && !sink.returned(id)
            {
                return Err(GuardError::TooManyReturns);
            }
        }
        _ => {}
    }
    Ok(())
}

fn own_id(text: &[u8]) -> Option<Uuid> {
    str::from_utf8(text).ok()?.parse().ok()
}
