//! What waits to be written to a stream: frames of ours and of lapin's, in the order in which they were handed over.
//!
//! Messages and acknowledgements go in here by whoever has them. lapin would take them by a queue to a thread that sleeps;
//! here a task of the runtime writes what all that are ready have put in, at once (`writer`). Where there is little under
//! way, whoever has something writes it himself: waking a task takes longer than the write, and nothing would share it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use tokio::sync::Notify;

use super::{
    frames::Frames,
    handle::Shared,
    layout::{
        self, CHANNEL_CLOSE, CHANNEL_CLOSE_OK, CONNECTION_CLOSE, CONNECTION_CLOSE_OK, CONNECTION_TUNE_OK, FRAME_HEAD,
        Head, METHOD,
    },
};

/// How much may wait before lapin has to: what it sends is small, and what is sent past it is bounded elsewhere.
const LAPIN_WAITS: usize = 1 << 20;
/// How much is taken of lapin's at once.
const AT_ONCE: usize = 64 * 1024;
/// A buffer that a large message has grown beyond this is not kept.
const KEPT: usize = 256 * 1024;
/// Up to how much under way each is written by whoever has it: more only pays to write together (measured with 1 to 64
/// calls in flight).
const FEW: usize = 4;
/// The protocol header, which is what lapin begins with and no frame.
const GREETING: usize = 8;

#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    /// The `frame_max` that the broker asks for, or we if that is less; 0 until it is known.
    frame_max: AtomicU32,
}

#[derive(Default)]
struct Waiting {
    /// Whole frames.
    bytes: Vec<u8>,
    /// Makes frames when they are to be written.
    deferred: Vec<(Sender, Arc<dyn Deferred>)>,
    /// Whoever writes knows that there is something.
    told: bool,
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
        waiting.begun.extend_from_slice(bytes);
        waiting.frames(self.frame_max.load(Ordering::Relaxed));
        self.tell(&mut waiting);
        Poll::Ready(bytes.len())
    }

    /// Notes what was agreed upon. lapin knows no `frame_max` below 8192, and a broker that asks for less refuses that.
    pub(super) fn agree(&self, frame_max: u32) {
        self.frame_max.store(frame_max, Ordering::Relaxed);
    }

    /// What was agreed upon.
    pub(super) fn frame_max(&self) -> u32 {
        self.frame_max.load(Ordering::Relaxed)
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
        waiting.add_deferred();
        waiting.told = !waiting.bytes.is_empty();
        std::mem::swap(&mut waiting.bytes, into);
        wake_lapin(waiting);
        !into.is_empty()
    }

    /// Whether only what was deferred waits.
    pub(super) fn is_deferred(&self) -> bool {
        self.lock().bytes.is_empty()
    }

    /// Wakes whoever writes, once for all that it then finds.
    fn tell(&self, waiting: &mut Waiting) {
        let nothing = waiting.bytes.is_empty() && waiting.deferred.is_empty();
        if !(nothing || waiting.told) {
            waiting.told = true;
            self.filled.notify_one();
        }
    }

    /// Has it written what waits: here and now where little is under way, nobody is about to write, and the socket takes it;
    /// else by whoever writes.
    fn dispatch(&self, waiting: &mut Waiting, shared: &Shared) {
        if shared.is_under_way_at_most(FEW) && !waiting.told {
            waiting.add_deferred();
            let written = shared.write_now(&waiting.bytes);
            waiting.bytes.drain(..written);
        }
        self.tell(waiting);
    }

    /// From now on nothing of ours is sent.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.close();
        wake_lapin(waiting);
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
    fn frames(&mut self, frame_max: u32) {
        let mut taken = 0;
        if !self.greeted && self.begun.len() >= GREETING {
            self.greeted = true;
            taken = GREETING;
        }
        if self.greeted {
            while let Some(frame) = first_frame(&self.begun[taken..]) {
                let size = frame.len();
                if frame_max > 0 && tunes(frame) {
                    // Behind the method and channel-max (2).
                    let place = taken + FRAME_HEAD + 4 + 2;
                    self.begun[place..place + 4].copy_from_slice(&frame_max.to_be_bytes());
                    taken += size;
                    continue;
                }
                match ends(frame) {
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

    /// Adds what was deferred; of a channel that was closed since then it is void.
    fn add_deferred(&mut self) {
        for (sender, source) in self.deferred.drain(..) {
            if sender.is_open() {
                source.add(&mut Frames::new(&mut self.bytes, sender.channel, sender.frame_max));
            }
        }
    }

    fn close(&mut self) {
        self.deferred.clear();
        self.closed = true;
        self.open.drain().for_each(|(_, open)| open.store(false, Ordering::Relaxed));
    }
}

/// Has lapin look again, if it waits.
fn wake_lapin(mut waiting: MutexGuard<'_, Waiting>) {
    let lapin = waiting.lapin.take();
    drop(waiting);
    if let Some(lapin) = lapin {
        lapin.wake();
    }
}

fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..Head::of(bytes)?.size())
}

/// Whether it is `connection.tune-ok`, whole.
fn tunes(frame: &[u8]) -> bool {
    let method = || layout::method(&frame[FRAME_HEAD..]);
    Head::of(frame).is_some_and(|head| head.kind == METHOD && head.payload == 12)
        && method().is_some_and(|(method, _)| method == CONNECTION_TUNE_OK)
}

/// What a frame of lapin's ends: behind it a broker takes no other frame.
enum Ends {
    Channel(u16),
    Connection,
}

fn ends(frame: &[u8]) -> Option<Ends> {
    let head = Head::of(frame).filter(|head| head.kind == METHOD)?;
    match layout::method(&frame[FRAME_HEAD..])?.0 {
        CHANNEL_CLOSE | CHANNEL_CLOSE_OK => Some(Ends::Channel(head.channel)),
        CONNECTION_CLOSE | CONNECTION_CLOSE_OK => Some(Ends::Connection),
        _ => None,
    }
}

/// Makes frames at the last moment.
pub(crate) trait Deferred: Send + Sync {
    /// Adds what there is to send now. Must not send by itself.
    fn add(&self, frames: &mut Frames<'_>);
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
        self.is_open().then_some(Sending { sender: self, waiting })
    }

    /// Sends what `source` adds when it comes to writing; nothing if the channel is closed then.
    pub(crate) fn defer(self, source: Arc<dyn Deferred>) {
        let shared = self.shared.clone();
        let mut waiting = shared.outbox().lock();
        if self.is_open() {
            waiting.deferred.push((self, source));
            shared.outbox().dispatch(&mut waiting, &shared);
        }
    }

    /// Never true again once it is false; while somebody sends it stays as it is.
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("channel", &self.channel).field("open", &self.open).finish_non_exhaustive()
    }
}

/// Frames on their way into the outbox; they are written, or whoever writes learns of them, when this is dropped.
pub(crate) struct Sending<'a> {
    sender: &'a Sender,
    waiting: MutexGuard<'a, Waiting>,
}

impl Sending<'_> {
    pub(crate) fn frames(&mut self) -> Frames<'_> {
        Frames::new(&mut self.waiting.bytes, self.sender.channel, self.sender.frame_max)
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let Self { sender: Sender { shared, .. }, waiting } = self;
        shared.outbox().dispatch(waiting, shared);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;
    use std::task::Waker;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::stream::{StreamHandle, tests::wire};

    const GREETED: &[u8] = b"AMQP\0\0\x09\x01";

    async fn connected() -> (Arc<Shared>, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Arc::new(Shared::of(&ours, true)), ours, listener.accept().await.unwrap().0)
    }

    fn under_way(shared: &Arc<Shared>, count: usize) {
        StreamHandle::new(shared.clone()).under_way().store(count, Ordering::Relaxed);
    }

    /// One on which much is under way.
    async fn shared() -> Arc<Shared> {
        let shared = connected().await.0;
        under_way(&shared, FEW + 1);
        shared
    }

    fn lapin_writes(shared: &Shared, bytes: &[u8]) {
        let taken = shared.outbox().poll_take(&Context::from_waker(Waker::noop()), bytes, true);
        assert_eq!(taken, Poll::Ready(bytes.len()));
    }

    fn drained(shared: &Shared) -> Vec<u8> {
        let mut bytes = Vec::new();
        shared.outbox().drain(&mut bytes);
        bytes
    }

    fn ack(sender: &Sender, tag: u64) -> bool {
        sender.begin().map(|mut sending| sending.frames().ack(tag, false)).is_some()
    }

    fn acked(channel: u16, tag: u64) -> Vec<u8> {
        wire::method(channel, 60, 80, &[&tag.to_be_bytes()[..], &[0]].concat())
    }

    #[tokio::test]
    async fn nothing_of_ours_comes_between_the_parts_of_a_frame_of_lapins() {
        let shared = shared().await;
        let (sender, open) = (Sender::new(shared.clone(), 1, 4096), wire::method(2, 20, 10, b"\0"));
        lapin_writes(&shared, &[GREETED, &open[..5]].concat());
        assert!(ack(&sender, 1));
        lapin_writes(&shared, &open[5..]);
        assert!(ack(&sender, 2));
        assert_eq!(drained(&shared), [GREETED, &acked(1, 1), &open, &acked(1, 2)].concat());
    }

    #[tokio::test]
    async fn lapin_agrees_to_frames_as_small_as_the_broker_asks_for() {
        let shared = shared().await;
        shared.outbox().agree(4096);
        let tune_ok = |frame_max: u32| {
            wire::method(0, 10, 31, &[&2047_u16.to_be_bytes()[..], &frame_max.to_be_bytes(), &[0, 60]].concat())
        };
        let (asked, open) = (tune_ok(8192), wire::method(0, 10, 40, b"\x01/\0\0"));
        lapin_writes(&shared, &[GREETED, &asked, &open].concat());
        assert_eq!(drained(&shared), [GREETED, &tune_ok(4096), &open].concat());
    }

    #[tokio::test]
    async fn behind_the_close_of_its_channel_nothing_is_sent() {
        let shared = shared().await;
        lapin_writes(&shared, GREETED);
        for (method, arguments) in [(40, &[0, 200, 0, 0, 0, 0, 0][..]), (41, &[])] {
            let [closed, other] = [1, 2].map(|channel| Sender::new(shared.clone(), channel, 4096));
            drained(&shared);
            let close = wire::method(1, 20, method, arguments);
            lapin_writes(&shared, &close);
            assert!(!ack(&closed, 1) && ack(&other, 2));
            assert_eq!(drained(&shared), [close, acked(2, 2)].concat());
            // Another channel may have the number.
            let next = Sender::new(shared.clone(), 1, 4096);
            assert!(ack(&next, 3) && !ack(&closed, 4));
            assert_eq!(drained(&shared), acked(1, 3));
        }
        let sender = Sender::new(shared.clone(), 1, 4096);
        lapin_writes(&shared, &wire::method(0, 10, 51, b""));
        assert!(!ack(&sender, 5) && !ack(&Sender::new(shared.clone(), 3, 4096), 6));
    }

    struct Acks(Mutex<Vec<u64>>);

    impl Deferred for Acks {
        fn add(&self, frames: &mut Frames<'_>) {
            self.0.lock().unwrap().drain(..).for_each(|tag| frames.ack(tag, false));
        }
    }

    #[tokio::test]
    async fn what_is_deferred_is_made_when_it_is_written() {
        let shared = shared().await;
        let (sender, acks) = (Sender::new(shared.clone(), 1, 4096), Arc::new(Acks(Mutex::new(vec![1]))));
        sender.clone().defer(acks.clone());
        assert!(shared.outbox().is_deferred());
        acks.0.lock().unwrap().push(2);
        assert_eq!(drained(&shared), [acked(1, 1), acked(1, 2)].concat());
        sender.clone().defer(acks.clone());
        acks.0.lock().unwrap().push(3);
        shared.outbox().close();
        assert_eq!(drained(&shared), b"");
    }

    #[tokio::test]
    async fn whoever_writes_is_told_once_for_all_that_waits() {
        let shared = shared().await;
        let sender = Sender::new(shared.clone(), 1, 4096);
        for _ in 0..3 {
            assert!(!told(&shared));
            assert!(ack(&sender, 1) && ack(&sender, 2));
            assert!(told(&shared) && !told(&shared));
            assert!(!drained(&shared).is_empty() && drained(&shared).is_empty());
        }
    }

    fn told(shared: &Shared) -> bool {
        shared.outbox().filled().now_or_never().is_some()
    }

    #[tokio::test]
    async fn where_little_is_under_way_it_is_written_at_once() {
        let (shared, _ours, mut broker) = connected().await;
        let sender = Sender::new(shared.clone(), 1, 4096);
        under_way(&shared, FEW);
        assert!(ack(&sender, 1));
        sender.clone().defer(Arc::new(Acks(Mutex::new(vec![2]))));
        let mut came = vec![0; acked(1, 1).len() * 2];
        broker.read_exact(&mut came).await.unwrap();
        assert_eq!(came, [acked(1, 1), acked(1, 2)].concat());
        assert!(!told(&shared) && drained(&shared).is_empty());
        under_way(&shared, FEW + 1);
        assert!(ack(&sender, 3));
        assert!(told(&shared));
        // Behind what somebody is about to write, or writes, there is no shorter way.
        under_way(&shared, 1);
        assert!(ack(&sender, 4));
        assert_eq!(drained(&shared), [acked(1, 3), acked(1, 4)].concat());
        assert!(ack(&sender, 5));
        assert_eq!(drained(&shared), acked(1, 5));
        assert!(drained(&shared).is_empty());
        assert!(ack(&sender, 6));
        assert!(drained(&shared).is_empty(), "it is written");
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_is_left_to_whoever_writes() {
        let (shared, _ours, mut broker) = connected().await;
        let sender = Sender::new(shared.clone(), 1, 4096);
        let mut count = 0;
        while !told(&shared) {
            count += 1;
            assert!(ack(&sender, count));
        }
        let rest = drained(&shared);
        assert!(!rest.is_empty());
        let mut came = vec![0; acked(1, 1).len() * usize::try_from(count).unwrap() - rest.len()];
        broker.read_exact(&mut came).await.unwrap();
        let sent: Vec<_> = (1..=count).flat_map(|tag| acked(1, tag)).collect();
        assert!([came, rest].concat() == sent);
    }

    #[tokio::test]
    async fn with_tls_in_between_nothing_goes_past_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let shared = Arc::new(Shared::of(&ours, false));
        assert!(ack(&Sender::new(shared.clone(), 1, 4096), 1));
        assert!(told(&shared));
        assert_eq!(drained(&shared), acked(1, 1));
    }

    proptest! {
        #[test]
        fn lapins_bytes_come_out_as_they_went_in(
            frames in prop::collection::vec((1..4_u8, prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            parts in prop::collection::vec(1..200_usize, 1..20),
        ) {
            let bytes = frames.iter().fold(GREETED.to_vec(), |mut bytes, (kind, payload)| {
                bytes.extend(wire::frame(*kind, 1, payload));
                bytes
            });
            let outbox = Outbox::default();
            let (mut rest, mut sizes, mut out) = (&bytes[..], parts.iter().cycle(), Vec::new());
            while !rest.is_empty() {
                let (part, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                rest = later;
                prop_assert_eq!(outbox.poll_take(&Context::from_waker(Waker::noop()), part, true), Poll::Ready(part.len()));
                let mut written = Vec::new();
                outbox.drain(&mut written);
                out.extend(written);
            }
            prop_assert!(out == bytes);
        }
    }
}
