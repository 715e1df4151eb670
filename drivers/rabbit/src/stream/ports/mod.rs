//! Per-channel receivers of messages and confirms.
//!
//! lapin would carry each message from its I/O thread to a task through two queues and a wake-up across threads, and
//! resolve each confirm as a future of its own. On a channel that has a port, what the broker sends goes to the port's
//! receiver in the broker's order, and lapin sees only the methods that concern the channel itself.
//!
//! * [`deliveries`] assembles messages for a consumer's [`Inbox`].
//! * [`confirms`] passes confirms and returns to a publisher's [`ConfirmSink`].

mod confirms;
mod deliveries;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use confirms::ConfirmSink;
use deliveries::DeliveryPort;
pub(crate) use deliveries::{Allowance, Inbox, Incoming, UnsettledCount};
use foldhash::{HashMap, HashSet};

use super::{
    channel_close::ChannelClose,
    guard::{ChannelOwner, Frame, GuardError},
};

enum Port {
    Publishing(Arc<dyn ConfirmSink>),
    Consuming(Box<DeliveryPort>),
}

/// The ports of one stream.
#[derive(Default)]
pub(crate) struct Ports(Mutex<PortTable>);

#[derive(Default)]
pub(super) struct PortTable {
    channels: HashMap<u16, Port>,
    /// Channels that the broker has closed, until they are opened again.
    closed: HashSet<u16>,
    ended: bool,
    /// Messages on channels without a port go to lapin.
    lapin_consumes: bool,
}

impl Ports {
    /// Routes confirms and returns of this channel to `sink`. On a stream that has ended, `sink` learns of the end at
    /// once.
    pub(crate) fn publish(&self, channel: u16, sink: &Arc<impl ConfirmSink + 'static>) {
        let port: Arc<dyn ConfirmSink> = sink.clone();
        if !self.insert(channel, Port::Publishing(port)) {
            sink.connection_lost();
        }
    }

    /// Routes the messages of this channel to the returned inbox. Call it before consuming on the channel.
    pub(crate) fn consume(&self, channel: u16, allowance: Allowance) -> Inbox {
        let (port, inbox) = deliveries::open(allowance);
        self.insert(channel, Port::Consuming(Box::new(port)));
        inbox
    }

    /// Lets lapin receive messages on channels without a port. The driver never does: lapin queues them without a
    /// limit.
    #[cfg(any(test, feature = "__fuzz"))]
    pub(crate) fn let_lapin_consume(&self) {
        self.lock().lapin_consumes = true;
    }

    /// Whether the broker has closed the channel. lapin may learn of it later.
    pub(crate) fn is_closed(&self, channel: u16) -> bool {
        self.lock().closed.contains(&channel)
    }

    /// Removes `sink` from the channel, unless the channel number has been reused for another port.
    pub(crate) fn remove(&self, channel: u16, sink: &Arc<impl ConfirmSink>) {
        let mut table = self.lock();
        let is_own = match table.channels.get(&channel) {
            Some(Port::Publishing(known)) => std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(sink)),
            _ => false,
        };
        if is_own {
            table.channels.remove(&channel);
        }
    }

    /// Ends every port: the stream has ended.
    pub(super) fn end(&self) {
        let channels = {
            let mut table = self.lock();
            table.ended = true;
            std::mem::take(&mut table.channels)
        };
        channels.into_values().for_each(Port::end);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, PortTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, channel: u16, port: Port) -> bool {
        let mut table = self.lock();
        if !table.ended {
            table.channels.insert(channel, port);
        }
        !table.ended
    }
}

impl PortTable {
    /// The receiver of this channel's frames.
    pub(super) fn owner(&self, channel: u16) -> ChannelOwner {
        if self.channels.contains_key(&channel) {
            ChannelOwner::Port
        } else if self.closed.contains(&channel) {
            ChannelOwner::Closed
        } else if self.lapin_consumes {
            ChannelOwner::LapinConsumer
        } else {
            ChannelOwner::Lapin
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
            Some(Port::Publishing(sink)) => confirms::take(&**sink, frame),
            Some(Port::Consuming(port)) => port.take(frame),
        }
    }
}

impl Port {
    fn end(self) {
        // An inbox ends when its sender is dropped.
        if let Self::Publishing(sink) = self {
            sink.connection_lost();
        }
    }

    /// Handles `channel.close` from the broker, given its arguments.
    fn closed(self, arguments: &[u8]) {
        if let Self::Publishing(sink) = self {
            sink.channel_closed(ChannelClose::parse(arguments));
        }
    }
}
