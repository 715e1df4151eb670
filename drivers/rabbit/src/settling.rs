//! Settling the deliveries of one channel. A delivery may be settled from any task; the frames are made when they are about
//! to be written, so that they are few.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use oxlo_driver_kit::duplicates;
use oxlo_transport::Settlement;
use tokio::sync::Notify;

use crate::{
    acks::{self, AckFrame, AckWindow},
    stream::{ChannelSender, DeferredFrames, Frames, ports::UnsettledCount},
};

/// The deliveries of one channel.
pub(crate) struct Settling {
    sender: ChannelSender,
    book: Mutex<Book>,
    idle: Notify,
    /// UnsettledCount deliveries of the whole stream.
    all: Arc<AtomicUsize>,
    /// UnsettledCount deliveries of the channel, which bound what the broker may send.
    unsettled: UnsettledCount,
}

#[derive(Default)]
struct Book {
    window: AckWindow,
    /// Settled by us, and not yet at the broker.
    settled: Vec<(u64, Settlement)>,
}

impl Settling {
    /// Starts without deliveries; `all` counts those of the whole stream, `unsettled` those of the channel.
    pub(crate) fn new(sender: ChannelSender, all: Arc<AtomicUsize>, unsettled: UnsettledCount) -> Arc<Self> {
        Arc::new(Self { sender, book: Mutex::default(), idle: Notify::new(), all, unsettled })
    }

    /// Registers a delivery, and returns what settles it.
    pub(crate) fn delivered(self: &Arc<Self>, tag: u64) -> Settler {
        self.book().window.delivered(tag);
        self.all.fetch_add(1, Ordering::Relaxed);
        Settler { settling: self.clone(), tag }
    }

    /// Requeues deliveries that were never registered.
    pub(crate) fn give_back(&self, tags: impl Iterator<Item = u64>) {
        acks::send(&self.sender, tags.map(|tag| AckFrame::Reject { tag, requeue: true }));
    }

    /// Writes the settlements that are not at the broker yet: after the channel's close they could not be sent.
    pub(crate) fn flush(&self) {
        if let Some(mut guard) = self.sender.lock() {
            self.add(&mut guard.frames());
        }
    }

    /// Resolves when every delivery is settled.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.book().window.is_empty() {
                return;
            }
            idle.await;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let left = self.book().window.len();
        self.all.fetch_sub(left, Ordering::Relaxed);
    }
}

impl DeferredFrames for Settling {
    fn add(&self, frames: &mut Frames<'_>) {
        let mut book = self.book();
        let Book { window, settled } = &mut *book;
        let mut told = Vec::new();
        let before = window.len();
        self.unsettled.settled(window.settle(settled.drain(..), &mut told));
        self.all.fetch_sub(before - window.len(), Ordering::Relaxed);
        let idle = window.is_empty();
        drop(book);
        acks::write(frames, told);
        if idle {
            self.idle.notify_waiters();
        }
    }
}

impl fmt::Debug for Settling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settling").field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// Settles one delivery. After the end of its channel this has no effect: the broker requeues the message.
#[derive(Clone, Debug)]
pub(crate) struct Settler {
    settling: Arc<Settling>,
    tag: u64,
}

impl duplicates::Settler for Settler {
    fn settle(self, settlement: Settlement) {
        let Self { settling, tag } = self;
        let mut book = settling.book();
        book.settled.push((tag, settlement));
        let first = book.settled.len() == 1;
        drop(book);
        if first {
            let sender = settling.sender.clone();
            sender.defer(settling);
        }
    }
}
