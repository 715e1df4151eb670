//! Messages that the broker delivers on one channel, assembled from their frames.

use std::{
    str,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc;

use crate::{
    sabotage,
    stream::{
        guard::{Frame, GuardError, content_header},
        received::Received,
    },
};

/// How much of a body is allocated before it arrives: a header can announce more than ever comes.
const MAX_RESERVED: usize = 1 << 20;

/// A message that the broker delivered.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Its delivery tag, by which it is settled on its channel.
    pub(crate) tag: u64,
    /// The tag of its consumer, which is a number on a channel that has an inbox.
    pub(crate) consumer: usize,
    pub(crate) redelivered: bool,
    pub(crate) properties: Received,
    pub(crate) body: Vec<u8>,
    /// The size in bytes of a body that exceeds the allowance; the body itself is skipped.
    pub(crate) oversized: Option<usize>,
}

/// How much the broker may deliver on a channel.
///
/// A broker that follows the protocol never exceeds the number of messages. The size of a body is chosen by its
/// publisher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Messages that are not settled. One more ends the connection.
    pub(crate) messages: usize,
    /// Bytes of a body. A larger body is skipped.
    pub(crate) body: usize,
}

/// The messages of one channel. It ends with the channel or its connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: mpsc::UnboundedReceiver<Incoming>,
    unsettled: UnsettledCount,
}

impl Inbox {
    /// Waits for the next message; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no message is lost.
    pub(crate) async fn recv(&mut self) -> Option<Incoming> {
        self.messages.recv().await
    }

    /// The next message, if it has arrived.
    pub(crate) fn try_recv(&mut self) -> Result<Incoming, mpsc::error::TryRecvError> {
        self.messages.try_recv()
    }

    /// The number of messages that were delivered and are not settled.
    pub(crate) fn unsettled(&self) -> UnsettledCount {
        self.unsettled.clone()
    }
}

/// The number of messages of one channel that were delivered and are not settled, which its [`Allowance`] bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnsettledCount(Arc<AtomicUsize>);

impl UnsettledCount {
    /// Subtracts messages that are about to be settled at the broker.
    pub(crate) fn settled(&self, messages: usize) {
        self.0.fetch_sub(messages, Ordering::Relaxed);
    }

    fn add_one(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Assembles the messages of one channel.
pub(super) struct DeliveryPort {
    inbox: mpsc::UnboundedSender<Incoming>,
    allowance: Allowance,
    unsettled: UnsettledCount,
    partial: Option<PartialMessage>,
}

/// A message whose frames have not all arrived.
struct PartialMessage {
    message: Incoming,
    /// Bytes of the body that are still to come; unknown before the content header.
    remaining: Option<u64>,
}

/// A port and the inbox it delivers to.
pub(super) fn open(allowance: Allowance) -> (DeliveryPort, Inbox) {
    let (inbox, messages) = mpsc::unbounded_channel();
    let unsettled = UnsettledCount::default();
    let port = DeliveryPort { inbox, allowance, unsettled: unsettled.clone(), partial: None };
    (port, Inbox { messages, unsettled })
}

impl DeliveryPort {
    /// Adds a frame, and delivers the message that it completes.
    pub(super) fn take(&mut self, frame: Frame<'_>) -> Result<(), GuardError> {
        let Self { inbox, allowance, unsettled, partial } = self;
        match (frame, partial.as_mut()) {
            (Frame::Deliver(arguments), None) => {
                let message = announced(arguments).ok_or(GuardError::CutShort("delivery"))?;
                if unsettled.add_one() > allowance.messages && !sabotage::breaks("prefetch") {
                    return Err(GuardError::BeyondPrefetch(allowance.messages));
                }
                *partial = Some(PartialMessage { message, remaining: None });
                return Ok(());
            }
            (Frame::Header(payload), Some(PartialMessage { message, remaining: remaining @ None })) => {
                let (size, properties) =
                    content_header::parts(payload).ok_or(GuardError::CutShort("content header"))?;
                *remaining = Some(size);
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                message.properties = Received::new(properties);
                if size > allowance.body && !sabotage::breaks("body_size") {
                    message.oversized = Some(size);
                } else {
                    message.body.reserve_exact(size.min(MAX_RESERVED));
                }
            }
            (Frame::Body(payload), Some(PartialMessage { message, remaining: Some(remaining) })) => {
                *remaining = remaining
                    .checked_sub(payload.len() as u64)
                    .ok_or(GuardError::OutOfStep("more of a body than its header announced"))?;
                if message.oversized.is_none() {
                    message.body.extend_from_slice(payload);
                }
            }
            (Frame::Deliver(_), Some(_)) => {
                return Err(GuardError::OutOfStep("a message before the previous one was complete"));
            }
            (Frame::Header(_), _) => return Err(GuardError::OutOfStep("a content header without a message")),
            (Frame::Body(_), _) => return Err(GuardError::OutOfStep("a body without a message")),
            _ => return Ok(()),
        }
        if let Some(complete) = partial.take_if(|partial| partial.remaining == Some(0)) {
            // If the consumer is gone, the broker requeues the message when the channel closes.
            let _ = inbox.send(complete.message);
        }
        Ok(())
    }
}

fn announced(arguments: &[u8]) -> Option<Incoming> {
    let (length, rest) = arguments.split_first()?;
    let (consumer, rest) = rest.split_at_checked(usize::from(*length))?;
    let (tag, rest) = rest.split_first_chunk()?;
    Some(Incoming {
        tag: u64::from_be_bytes(*tag),
        consumer: str::from_utf8(consumer).ok()?.parse().ok()?,
        redelivered: *rest.first()? & 1 != 0,
        properties: Received::default(),
        body: Vec::new(),
        oversized: None,
    })
}
