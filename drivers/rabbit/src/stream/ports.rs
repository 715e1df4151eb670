//! Channels whose messages and confirms are not lapin's business.
//!
//! lapin would carry each message from its I/O thread to a task by way of two queues and a wake-up across threads, and hand
//! each confirm out as a future of its own, after giving a returned message to whichever confirm it settles next. On a
//! channel that has a port here, what the broker sends goes to its taker in the broker's order, and lapin learns only how
//! the channel itself fares.

use std::{
    str,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::{HashMap, HashSet};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::guard::{Frame, GuardError, Standing, content_header};
use crate::{blame::ChannelClose, confirms::Ledger, received::Received, sabotage};

/// A message that the broker handed us.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Settles it on its channel.
    pub(crate) tag: u64,
    /// The tag of its consumer, which is a number on a channel that has an inbox.
    pub(crate) consumer: usize,
    pub(crate) redelivered: bool,
    pub(crate) properties: Received,
    pub(crate) body: Vec<u8>,
    /// The size of a body that is larger than was allowed, of which nothing is kept.
    pub(crate) oversized: Option<usize>,
}

/// How much the broker may send on a channel. One that keeps to the protocol never sends more messages; a larger body is
/// anybody's, and costs no more than its own bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Messages that are not settled. The connection ends over one more.
    pub(crate) messages: usize,
    /// Bytes of a body. A larger one is skipped.
    pub(crate) body: usize,
}

/// The messages that come on a channel; it ends with the channel, or with the connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    messages: mpsc::UnboundedReceiver<Incoming>,
    unsettled: Unsettled,
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

    /// The next message, if it has come.
    pub(crate) fn try_recv(&mut self) -> Result<Incoming, mpsc::error::TryRecvError> {
        self.messages.try_recv()
    }

    /// The count of messages that came and are not settled.
    pub(crate) fn unsettled(&self) -> Unsettled {
        self.unsettled.clone()
    }
}

/// How many messages of a channel came and are not settled, which is what its [`Allowance`] bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unsettled(Arc<AtomicUsize>);

impl Unsettled {
    /// So many are about to be settled at the broker.
    pub(crate) fn settled(&self, messages: usize) {
        self.0.fetch_sub(messages, Ordering::Relaxed);
    }

    fn add_one(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

enum Port {
    Publishing(Arc<Ledger>),
    Consuming(Box<Consuming>),
}

struct Consuming {
    inbox: mpsc::UnboundedSender<Incoming>,
    allowance: Allowance,
    unsettled: Unsettled,
    begun: Option<Begun>,
}

/// A message whose content is not complete.
struct Begun {
    message: Incoming,
    /// Bytes of the body that are to come; unknown before the content header.
    left: Option<u64>,
}

/// The ports of one stream.
#[derive(Default)]
pub(crate) struct Ports(Mutex<Open>);

#[derive(Default)]
pub(super) struct Open {
    channels: HashMap<u16, Port>,
    /// The channels that the broker has closed, until they are opened again.
    closed: HashSet<u16>,
    ended: bool,
    /// lapin takes messages on channels that have no port.
    lapin_consumes: bool,
}

impl Ports {
    /// From now on what the broker says of messages that were published on the channel goes to the ledger.
    pub(crate) fn publish(&self, channel: u16, ledger: &Arc<Ledger>) {
        if !self.insert(channel, Port::Publishing(ledger.clone())) {
            ledger.end();
        }
    }

    /// From now on the channel's messages come here. To be asked for before anything is consumed on it.
    pub(crate) fn consume(&self, channel: u16, allowance: Allowance) -> Inbox {
        let (inbox, messages) = mpsc::unbounded_channel();
        let unsettled = Unsettled::default();
        let port = Consuming { inbox, allowance, unsettled: unsettled.clone(), begun: None };
        self.insert(channel, Port::Consuming(Box::new(port)));
        Inbox { messages, unsettled }
    }

    /// From now on messages on channels without a port are lapin's. The driver has none such, and lapin keeps whatever comes.
    #[cfg(any(test, feature = "__fuzz"))]
    pub(crate) fn let_lapin_consume(&self) {
        self.lock().lapin_consumes = true;
    }

    /// Whether the broker has closed the channel. lapin may learn of it later.
    pub(crate) fn is_closed(&self, channel: u16) -> bool {
        self.lock().closed.contains(&channel)
    }

    /// The ledger is not told of anything any more.
    pub(crate) fn forget(&self, channel: u16, ledger: &Arc<Ledger>) {
        let mut open = self.lock();
        // The number may be another channel's by now.
        if matches!(open.channels.get(&channel), Some(Port::Publishing(known)) if Arc::ptr_eq(known, ledger)) {
            open.channels.remove(&channel);
        }
    }

    /// The stream has ended, and nothing comes any more.
    pub(super) fn end(&self) {
        let channels = {
            let mut open = self.lock();
            open.ended = true;
            std::mem::take(&mut open.channels)
        };
        channels.into_values().for_each(Port::end);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, channel: u16, port: Port) -> bool {
        let mut open = self.lock();
        if !open.ended {
            open.channels.insert(channel, port);
        }
        !open.ended
    }
}

impl Open {
    /// Who gets the frames of the channel.
    pub(super) fn standing(&self, channel: u16) -> Standing {
        if self.channels.contains_key(&channel) {
            Standing::HasPort
        } else if self.closed.contains(&channel) {
            Standing::Closed
        } else if self.lapin_consumes {
            Standing::LapinConsumes
        } else {
            Standing::Lapins
        }
    }

    /// Hands a frame to the port of its channel.
    pub(super) fn take(&mut self, channel: u16, frame: Frame<'_>) -> Result<(), GuardError> {
        match frame {
            Frame::ChannelClose(arguments) => {
                self.closed.insert(channel);
                if let Some(port) = self.channels.remove(&channel) {
                    port.closed(arguments);
                }
                return Ok(());
            }
            Frame::ChannelOpen => {
                self.closed.remove(&channel);
                return Ok(());
            }
            _ => {}
        }
        match self.channels.get_mut(&channel) {
            None => Ok(()),
            Some(Port::Publishing(ledger)) => publishing(ledger, frame),
            Some(Port::Consuming(port)) => consuming(port, frame),
        }
    }
}

impl Port {
    fn end(self) {
        // An inbox ends with its sender.
        if let Self::Publishing(ledger) = self {
            ledger.end();
        }
    }

    /// The broker has closed the channel, with these arguments of `channel.close`.
    fn closed(self, arguments: &[u8]) {
        if let Self::Publishing(ledger) = self {
            ledger.closed(ChannelClose::of(arguments));
        }
    }
}

fn publishing(ledger: &Ledger, frame: Frame<'_>) -> Result<(), GuardError> {
    match frame {
        Frame::Settled { acked, arguments } => {
            let cut_short = GuardError::CutShort("confirm");
            let Some((tag, [flags, ..])) = arguments.split_first_chunk() else { return Err(cut_short) };
            ledger.settle(u64::from_be_bytes(*tag), flags & 1 != 0, acked);
        }
        // Of a message that comes back only its id matters; its confirm follows.
        Frame::Header(payload) => {
            if let Some(id) = content_header::message_id(payload).and_then(own_id)
                && !ledger.returned(id)
            {
                return Err(GuardError::Returned);
            }
        }
        _ => {}
    }
    Ok(())
}

fn own_id(text: &[u8]) -> Option<Uuid> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn consuming(port: &mut Consuming, frame: Frame<'_>) -> Result<(), GuardError> {
    let Consuming { inbox, allowance, unsettled, begun } = port;
    match (frame, begun.as_mut()) {
        (Frame::Deliver(arguments), None) => {
            let message = announced(arguments).ok_or(GuardError::CutShort("delivery"))?;
            if unsettled.add_one() > allowance.messages && !sabotage::breaks("prefetch") {
                return Err(GuardError::BeyondPrefetch(allowance.messages));
            }
            *begun = Some(Begun { message, left: None });
            return Ok(());
        }
        (Frame::Header(payload), Some(Begun { message, left: left @ None })) => {
            let (size, properties) = content_header::parts(payload).ok_or(GuardError::CutShort("content header"))?;
            *left = Some(size);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            message.properties = Received::new(properties);
            if size > allowance.body && !sabotage::breaks("body_size") {
                message.oversized = Some(size);
            } else {
                message.body.reserve_exact(size.min(MOST_RESERVED));
            }
        }
        (Frame::Body(payload), Some(Begun { message, left: Some(left) })) => {
            *left = left
                .checked_sub(payload.len() as u64)
                .ok_or(GuardError::OutOfStep("more of a body than it announced"))?;
            if message.oversized.is_none() {
                message.body.extend_from_slice(payload);
            }
        }
        (Frame::Deliver(_), Some(_)) => {
            return Err(GuardError::OutOfStep("a message before the last one was complete"));
        }
        (Frame::Header(_), _) => return Err(GuardError::OutOfStep("a content header that belongs to no message")),
        (Frame::Body(_), _) => return Err(GuardError::OutOfStep("a body that belongs to no message")),
        _ => return Ok(()),
    }
    if let Some(complete) = begun.take_if(|begun| begun.left == Some(0)) {
        // Whoever consumed may be gone; the channel's end gives the message back.
        let _ = inbox.send(complete.message);
    }
    Ok(())
}

/// A header can announce more than ever comes.
const MOST_RESERVED: usize = 1 << 20;

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
