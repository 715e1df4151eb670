//! Bytes that wait to be written to a stream: frames of the driver and of lapin, in the order in which they were added.
//!
//! lapin would take messages and acknowledgements through a queue to a sleeping thread. Here whoever has a frame adds
//! it, and one task of the runtime writes everything that the ready tasks have added, in one system call
//! ([`writer`](super::writer)). With few messages in flight, whoever adds a frame writes it at once: waking a task
//! takes longer than the write, and there is nothing to share the write with.
//!
//! * [`lapin_frames`] splits lapin's bytes into whole frames.
//! * [`sender`] adds the frames of one channel.

mod lapin_frames;
mod sender;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use lapin_frames::{LapinFrames, Scope};
pub(crate) use sender::{ChannelSender, DeferredFrames};
use tokio::sync::Notify;

use super::{frames::Frames, shared::Shared};

/// Waiting bytes from which lapin has to wait. Its frames are small, and those of the driver are bounded elsewhere.
const LAPIN_LIMIT: usize = 1 << 20;
/// Bytes accepted from lapin in one call.
const LAPIN_CHUNK: usize = 64 * 1024;
/// A buffer that grew beyond this for a large message is freed after use.
const MAX_KEPT_BUFFER: usize = 256 * 1024;
/// Up to this many messages in flight, whoever adds a frame writes it. Beyond it, shared writes are faster (measured
/// with 1 to 64 concurrent calls).
const WRITE_NOW_LIMIT: usize = 4;

#[derive(Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    /// The smaller of both peers' `frame_max`; 0 until it is known.
    frame_max: AtomicU32,
}

#[derive(Default)]
struct Queue {
    /// Whole frames.
    bytes: Vec<u8>,
    /// Sources of frames that are made when they are written.
    deferred: Vec<(ChannelSender, Arc<dyn DeferredFrames>)>,
    /// The writing task has been woken.
    notified: bool,
    lapin: LapinFrames,
    /// Whether each channel with a sender is still open.
    open: HashMap<u16, Arc<AtomicBool>>,
    /// No frame of the driver may be sent any more.
    closed: bool,
    /// Wakes lapin, which waits for space.
    lapin_waker: Option<Waker>,
}

impl Outbox {
    /// Accepts bytes of lapin if `allowed` and there is space; returns how many.
    pub(super) fn poll_accept(&self, cx: &Context<'_>, bytes: &[u8], allowed: bool) -> Poll<usize> {
        let bytes = &bytes[..bytes.len().min(LAPIN_CHUNK)];
        let mut queue = self.lock();
        if !allowed || queue.bytes.len() > LAPIN_LIMIT {
            queue.lapin_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let Queue { lapin, bytes: out, .. } = &mut *queue;
        for ended in lapin.accept(bytes, out, self.frame_max.load(Ordering::Relaxed)) {
            queue.end(ended);
        }
        self.notify(&mut queue);
        Poll::Ready(bytes.len())
    }

    /// Sets the negotiated `frame_max`.
    pub(super) fn set_frame_max(&self, frame_max: u32) {
        self.frame_max.store(frame_max, Ordering::Relaxed);
    }

    /// The negotiated `frame_max`; 0 until it is known.
    pub(super) fn frame_max(&self) -> u32 {
        self.frame_max.load(Ordering::Relaxed)
    }

    /// Waits until there is something to write.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe for a single waiter.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Moves everything that waits into a buffer, after clearing it; returns `false` if nothing waits.
    pub(super) fn drain(&self, into: &mut Vec<u8>) -> bool {
        into.clear();
        if into.capacity() > MAX_KEPT_BUFFER {
            *into = Vec::new();
        }
        let mut queue = self.lock();
        queue.add_deferred();
        queue.notified = !queue.bytes.is_empty();
        std::mem::swap(&mut queue.bytes, into);
        wake_lapin(queue);
        !into.is_empty()
    }

    /// Whether only deferred frames wait.
    pub(super) fn has_only_deferred(&self) -> bool {
        self.lock().bytes.is_empty()
    }

    /// Stops all senders: no frame of the driver is sent any more.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.close();
        wake_lapin(queue);
    }

    /// Wakes the writing task, once for everything that it then finds.
    fn notify(&self, queue: &mut Queue) {
        let empty = queue.bytes.is_empty() && queue.deferred.is_empty();
        if !(empty || queue.notified) {
            queue.notified = true;
            self.filled.notify_one();
        }
    }

    /// Writes what waits: at once if little is in flight, the writing task has not been woken, and the socket takes it;
    /// otherwise the writing task does.
    fn dispatch(&self, queue: &mut Queue, shared: &Shared) {
        if shared.is_in_flight_at_most(WRITE_NOW_LIMIT) && !queue.notified {
            queue.add_deferred();
            let written = shared.write_now(&queue.bytes);
            queue.bytes.drain(..written);
        }
        self.notify(queue);
    }

    /// Registers a sender for the channel; returns the flag that tells whether it may still send.
    fn register(&self, channel: u16) -> Arc<AtomicBool> {
        let mut queue = self.lock();
        let open = Arc::new(AtomicBool::new(!queue.closed));
        if !queue.closed {
            queue.open.insert(channel, open.clone());
        }
        open
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Adds the deferred frames, except those of channels that were closed in between.
    fn add_deferred(&mut self) {
        for (sender, source) in self.deferred.drain(..) {
            if sender.is_open() {
                source.add(&mut Frames::new(&mut self.bytes, sender.channel, sender.frame_max));
            }
        }
    }

    fn end(&mut self, scope: Scope) {
        match scope {
            Scope::Channel(channel) => {
                if let Some(open) = self.open.remove(&channel) {
                    open.store(false, Ordering::Relaxed);
                }
            }
            Scope::Connection => self.close(),
        }
    }

    fn close(&mut self) {
        self.deferred.clear();
        self.closed = true;
        self.open.drain().for_each(|(_, open)| open.store(false, Ordering::Relaxed));
    }
}

/// Wakes lapin if it waits for space.
fn wake_lapin(mut queue: MutexGuard<'_, Queue>) {
    let lapin = queue.lapin_waker.take();
    drop(queue);
    if let Some(lapin) = lapin {
        lapin.wake();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
