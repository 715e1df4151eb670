//! What waits to be written to a stream: frames of ours and of lapin's, in the order in which they were handed over.
//!
//! Messages and acknowledgements go in here by whoever has them. lapin would take them by a queue to a thread that sleeps;
//! here a task of the runtime writes what all that are ready have put in, at once (`writer`).

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use super::{frames::Frames, handle::Shared};

/// How much may wait before lapin has to: what it sends is small, and what is sent past it is bounded elsewhere.
const LAPIN_WAITS: usize = 1 << 20;
/// How much is taken of lapin's at once.
const AT_ONCE: usize = 64 * 1024;
/// A buffer that a large message has grown beyond this is not kept.
const KEPT: usize = 256 * 1024;
/// The protocol header, which is what lapin begins with and no frame.
const GREETING: usize = 8;
/// Type, channel and length of a frame.
const BEFORE: usize = 7;

#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Whole frames.
    bytes: Vec<u8>,
    /// Of lapin's, what is not a whole frame yet.
    begun: Vec<u8>,
    greeted: bool,
    /// The channels that somebody sends on, and whether they still may.
    open: HashMap<u16, Arc<AtomicBool>>,
    /// Nothing of ours may be sent any more.
    closed: bool,
    /// lapin, when it waits for room.
    lapin: Option<Waker>,
}

impl Outbox {
    /// Takes some of lapin's bytes, if it may and there is room.
    pub(super) fn poll_take(&self, cx: &Context<'_>, bytes: &[u8], may: bool) -> Poll<usize> {
        let bytes = &bytes[..bytes.len().min(AT_ONCE)];
        let mut waiting = self.lock();
        if !may || waiting.bytes.len() > LAPIN_WAITS {
            waiting.lapin = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let was_empty = waiting.bytes.is_empty();
        waiting.begun.extend_from_slice(bytes);
        waiting.frames();
        let filled = was_empty && !waiting.bytes.is_empty();
        drop(waiting);
        if filled {
            self.filled.notify_one();
        }
        Poll::Ready(bytes.len())
    }

    /// Waits until there is something to write.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe for one who waits.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Puts what is to be written into an empty buffer; `false` if there is nothing.
    pub(super) fn drain(&self, into: &mut Vec<u8>) -> bool {
        into.clear();
        if into.capacity() > KEPT {
            *into = Vec::new();
        }
        let mut waiting = self.lock();
        std::mem::swap(&mut waiting.bytes, into);
        let lapin = waiting.lapin.take();
        drop(waiting);
        if let Some(lapin) = lapin {
            lapin.wake();
        }
        !into.is_empty()
    }

    /// From now on nothing of ours is sent.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.close();
        let lapin = waiting.lapin.take();
        drop(waiting);
        if let Some(lapin) = lapin {
            lapin.wake();
        }
    }

    fn enter(&self, channel: u16) -> Arc<AtomicBool> {
        let mut waiting = self.lock();
        let open = Arc::new(AtomicBool::new(!waiting.closed));
        if !waiting.closed {
            waiting.open.insert(channel, open.clone());
        }
        open
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Moves whole frames of lapin's to what is to be written.
    fn frames(&mut self) {
        let mut taken = 0;
        if !self.greeted && self.begun.len() >= GREETING {
            self.greeted = true;
            taken = GREETING;
        }
        if self.greeted {
            while let Some(frame) = first_frame(&self.begun[taken..]) {
                let (size, ends) = (frame.len(), ends(frame));
                match ends {
                    Some(Ends::Channel(channel)) => {
                        if let Some(open) = self.open.remove(&channel) {
                            open.store(false, Ordering::Relaxed);
                        }
                    }
                    Some(Ends::Connection) => self.close(),
                    None => {}
                }
                taken += size;
            }
        }
        self.bytes.extend_from_slice(&self.begun[..taken]);
        self.begun.drain(..taken);
    }

    fn close(&mut self) {
        self.closed = true;
        self.open.drain().for_each(|(_, open)| open.store(false, Ordering::Relaxed));
    }
}

fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    let length: [u8; 4] = bytes.get(3..BEFORE)?.try_into().ok()?;
    let size = usize::try_from(u32::from_be_bytes(length)).ok()?.checked_add(BEFORE + 1)?;
    bytes.get(..size)
}

/// What a frame of lapin's ends: behind it a broker takes no other frame.
enum Ends {
    Channel(u16),
    Connection,
}

fn ends(frame: &[u8]) -> Option<Ends> {
    match frame {
        // channel.close, channel.close-ok
        [1, high, low, _, _, _, _, 0, 20, 0, 40 | 41, ..] => Some(Ends::Channel(u16::from_be_bytes([*high, *low]))),
        // connection.close, connection.close-ok
        [1, _, _, _, _, _, _, 0, 10, 0, 50 | 51, ..] => Some(Ends::Connection),
        _ => None,
    }
}

/// The right to send on a channel until it is closed, by lapin or with the stream.
#[derive(Clone)]
pub(crate) struct Sender {
    shared: Arc<Shared>,
    channel: u16,
    frame_max: u32,
    open: Arc<AtomicBool>,
}

impl Sender {
    /// For a channel that lapin has opened, on a connection with this `frame_max`.
    pub(super) fn new(shared: Arc<Shared>, channel: u16, frame_max: u32) -> Self {
        let open = shared.outbox().enter(channel);
        Self { shared, channel, frame_max, open }
    }

    /// Begins to send; frames of two that send do not mix, and go out in the order in which this was called. `None` if the
    /// channel is closed.
    pub(crate) fn begin(&self) -> Option<Sending<'_>> {
        let waiting = self.shared.outbox().lock();
        let was_empty = waiting.bytes.is_empty();
        self.open.load(Ordering::Relaxed).then_some(Sending { sender: self, waiting, was_empty })
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("channel", &self.channel).field("open", &self.open).finish_non_exhaustive()
    }
}

/// Frames on their way into the outbox; whoever writes them learns of it when this is dropped.
pub(crate) struct Sending<'a> {
    sender: &'a Sender,
    waiting: MutexGuard<'a, Waiting>,
    was_empty: bool,
}

impl Sending<'_> {
    pub(crate) fn frames(&mut self) -> Frames<'_> {
        Frames::new(&mut self.waiting.bytes, self.sender.channel, self.sender.frame_max)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if self.was_empty && !self.waiting.bytes.is_empty() {
            self.sender.shared.outbox().filled.notify_one();
        }
    }
}
