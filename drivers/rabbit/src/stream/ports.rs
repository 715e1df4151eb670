//! Channels whose messages and confirms are not lapin's business.
//!
//! lapin would carry each message from its I/O thread to a task by way of two queues and a wake-up across threads, and hand
//! each confirm out as a future of its own, after giving a returned message to whichever confirm it settles next. On a
//! channel that has a port here, what the broker sends goes to its taker in the broker's order, and lapin learns only how
//! the channel itself fares.

use std::{
    str,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::{HashMap, HashSet};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::guard::{Frame, GuardError, Standing, content_header};
use crate::{blame::ChannelClose, confirms::Ledger, received::Received};

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
}

/// The messages that come on a channel; it ends with the channel, or with the connection.
pub(crate) type Inbox = mpsc::UnboundedReceiver<Incoming>;

enum Port {
    Publishing(Arc<Ledger>),
    Consuming(Box<Consuming>),
}

struct Consuming {
    inbox: mpsc::UnboundedSender<Incoming>,
    begun: Option<Begun>,
}

/// A message whose content is not complete.
struct Begun {
    message: Incoming,
    left: usize,
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
}

impl Ports {
    /// From now on what the broker says of messages that were published on the channel goes to the ledger.
    pub(crate) fn publish(&self, channel: u16, ledger: &Arc<Ledger>) {
        if !self.insert(channel, Port::Publishing(ledger.clone())) {
            ledger.end();
        }
    }

    /// From now on the channel's messages come here. To be asked for before anything is consumed on it.
    pub(crate) fn consume(&self, channel: u16) -> Inbox {
        let (inbox, messages) = mpsc::unbounded_channel();
        self.insert(channel, Port::Consuming(Box::new(Consuming { inbox, begun: None })));
        messages
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
            if let Some(id) = content_header::message_id(payload).and_then(own_id) {
                ledger.returned(id);
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
    let Consuming { inbox, begun } = port;
    match frame {
        Frame::Deliver(arguments) => {
            *begun = Some(Begun { message: announced(arguments).ok_or(GuardError::CutShort("delivery"))?, left: 0 });
            return Ok(());
        }
        Frame::Header(payload) => {
            let Some(Begun { message, left }) = begun else { return Ok(()) };
            let (size, properties) = content_header::parts(payload).ok_or(GuardError::CutShort("content header"))?;
            *left = usize::try_from(size).unwrap_or(usize::MAX);
            message.properties = Received::new(properties);
            message.body.reserve_exact((*left).min(MOST_RESERVED));
        }
        Frame::Body(payload) => {
            let Some(Begun { message, left }) = begun else { return Ok(()) };
            message.body.extend_from_slice(payload);
            *left = left.saturating_sub(payload.len());
        }
        _ => return Ok(()),
    }
    if let Some(complete) = begun.take_if(|begun| begun.left == 0) {
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
    })
}
