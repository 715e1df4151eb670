//! Sends frames on one channel.

use std::{
    fmt,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use super::Queue;
use crate::stream::{frames::Frames, shared::Shared};

/// A source of frames that are made when they are written.
pub(crate) trait DeferredFrames: Send + Sync {
    /// Adds the frames that are due now. Must not send by itself.
    fn add(&self, frames: &mut Frames<'_>);
}

/// Sends frames on a channel until the channel is closed, by lapin or with the stream.
#[derive(Clone)]
pub(crate) struct ChannelSender {
    shared: Arc<Shared>,
    pub(super) channel: u16,
    pub(super) frame_max: u32,
    open: Arc<AtomicBool>,
}

impl ChannelSender {
    /// A sender for a channel that lapin has opened, on a connection with this `frame_max`.
    pub(in crate::stream) fn new(shared: Arc<Shared>, channel: u16, frame_max: u32) -> Self {
        let open = shared.outbox().register(channel);
        Self { shared, channel, frame_max, open }
    }

    /// Locks the outbox to add frames; `None` if the channel is closed. Frames of concurrent senders do not mix, and go
    /// out in the order of these calls.
    pub(crate) fn lock(&self) -> Option<SendGuard<'_>> {
        let queue = self.shared.outbox().lock();
        self.is_open().then_some(SendGuard { sender: self, queue })
    }

    /// Sends the frames that `source` adds at the time of writing, unless the channel is closed by then.
    pub(crate) fn defer(self, source: Arc<dyn DeferredFrames>) {
        let shared = self.shared.clone();
        let mut queue = shared.outbox().lock();
        if self.is_open() {
            queue.deferred.push((self, source));
            shared.outbox().dispatch(&mut queue, &shared);
        }
    }

    /// Whether the channel is open. Never true again after it was false, and constant while the outbox is locked.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for ChannelSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSender")
            .field("channel", &self.channel)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// Exclusive access to the outbox. On drop, the added frames are written, or the writing task is woken.
pub(crate) struct SendGuard<'a> {
    sender: &'a ChannelSender,
    queue: MutexGuard<'a, Queue>,
}

impl SendGuard<'_> {
    pub(crate) fn frames(&mut self) -> Frames<'_> {
        Frames::new(&mut self.queue.bytes, self.sender.channel, self.sender.frame_max)
    }
}

impl Drop for SendGuard<'_> {
    fn drop(&mut self) {
        let Self { sender: ChannelSender { shared, .. }, queue } = self;
        shared.outbox().dispatch(queue, shared);
    }
}
