//! Replies that cannot be delivered now, held beside the server until their queue accepts them.
//!
//! A reply is sent once while the server waits. If its queue is missing or refuses it, it is held here and delays no other
//! caller: one task for each reply queue retries the smallest reply that waits for it, and sends the rest when that one is
//! delivered. Held replies are bounded in number and in bytes; the oldest are dropped first.
//!
//! Names of reply queues come from peers and may be forged. So a queue that has taken a reply before is told from one that
//! never did: the second kind is tried for seconds only, and has bounds of its own, so that any number of forged names
//! drops no reply to a real caller.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use oxlo_transport::{Retry, TransportError, limited};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{recent::Recent, send_budget::SendBudget};

/// How long until a queue is tried again, at first and at most. oslo pauses 250 ms.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a queue is tried that never took a reply.
const STRANGER_LIMIT: Duration = Duration::from_secs(5);
/// How long one try may take.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// How many replies are sent together to a queue that is back.
const TOGETHER: usize = 16;
/// How many queues of a kind are tried at the same time.
const TRIES: usize = 8;
/// How many queues are remembered that took a reply.
const ALIVE_MOST: usize = 4096;
/// How many queues are remembered that did not come back, and for how long.
const GONE_MOST: usize = 1000;
const GONE_FOR: Duration = Duration::from_secs(60);
/// How long closing waits for replies to queues that have taken one before.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A reply that can be sent any number of times.
pub trait HeldReply: Send + Sync + 'static {
    /// How many bytes it takes.
    fn size(&self) -> usize;

    /// Sends it once.
    ///
    /// # Errors
    ///
    /// Whatever the broker answers.
    fn send(&self, patience: &SendBudget) -> impl Future<Output = Result<(), TransportError>> + Send;
}

/// What is known about a reply queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Replies can be sent to it.
    Open,
    /// Replies to it are held.
    Waiting,
    /// It did not reappear in time, a short while ago.
    Gone,
}

/// Whether a reply queue exists beyond doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It took a reply before, or its caller may have lost it together with the broker.
    Known,
    /// It never took a reply: its name may be forged.
    Stranger,
}

/// How much of one kind is held.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    replies: usize,
    bytes: usize,
}

impl Kind {
    const fn bounds(self) -> Bounds {
        match self {
            Self::Known => Bounds { replies: 10_000, bytes: 64 << 20 },
            Self::Stranger => Bounds { replies: 1000, bytes: 16 << 20 },
        }
    }
}

/// Holds replies for any number of reply queues.
///
/// Dropping it drops what it holds. [`close`](Self::close) gives replies to callers that are known a moment.
pub struct HeldReplies<M> {
    shared: Arc<Shared<M>>,
    /// How long a queue is tried that took a reply before.
    patience: Duration,
    closed: CancellationToken,
    _end: DropGuard,
}

impl<M: HeldReply> HeldReplies<M> {
    /// Tries a queue that took a reply before for as long as `patience`, any other at most 5 s.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        let closed = CancellationToken::new();
        let _end = closed.clone().drop_guard();
        Self { shared: Arc::default(), patience, closed, _end }
    }

    /// What is known of a reply queue.
    #[must_use]
    pub fn standing(&self, queue: &str) -> Standing {
        let state = self.shared.lock();
        if !state.queues.is_empty() && state.queues.contains_key(queue) {
            return Standing::Waiting;
        }
        if state.gone.contains(queue) { Standing::Gone } else { Standing::Open }
    }

    /// Notes that a reply queue has accepted a message.
    pub fn arrived(&self, queue: &str) {
        self.shared.lock().alive.insert(queue);
    }

    /// Takes over a reply that could not be delivered. It is retried until `until` at most; its outcome is counted and
    /// logged.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn hold(&self, queue: &str, reply: M, until: Option<Instant>, kind: Kind) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let kind = if state.alive.contains(queue) { Kind::Known } else { kind };
        let window = match kind {
            Kind::Known => self.patience,
            Kind::Stranger => self.patience.min(STRANGER_LIMIT),
        };
        let until = until.map_or(now + window, |until| until.min(now + window));
        let (is_new, dropped) = state.hold(queue, reply, until, kind, window);
        drop(state);
        lost(dropped, None, "too many replies wait for their queues; dropped the oldest");
        if let Some(first) = is_new {
            let (shared, closed, queue) = (self.shared.clone(), self.closed.clone(), Arc::from(queue));
            tokio::spawn(async move { closed.run_until_cancelled(shared.keep_trying(queue, first)).await });
        }
    }

    /// How many replies are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.lock().replies()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits a second at most for replies to queues that have accepted one before, and drops the rest.
    pub async fn close(&self) {
        let _ = timeout(CLOSE_LIMIT, self.shared.known_are_gone()).await;
        self.closed.cancel();
        let dropped = self.shared.lock().clear();
        lost(dropped, None, "the transport was closed before their queues accepted them");
    }
}

impl<M> fmt::Debug for HeldReplies<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldReplies").field("replies", &self.shared.lock().replies()).finish_non_exhaustive()
    }
}

/// Counts and logs replies that are given up.
fn lost(count: usize, queue: Option<&str>, why: &'static str) {
    if count > 0 {
        metrics::counter!("oxlo_replies_undeliverable_total").increment(count as u64);
        limited!(warn, "replies could not be delivered", replies = count, queue, why);
    }
}

struct Shared<M> {
    state: Mutex<State<M>>,
    known: Semaphore,
    strangers: Semaphore,
    /// Told when a queue's replies are all done with.
    done: Notify,
}

impl<M> Default for Shared<M> {
    fn default() -> Self {
        let tries = || Semaphore::new(TRIES);
        Self { state: Mutex::default(), known: tries(), strangers: tries(), done: Notify::new() }
    }
}

impl<M> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn known_are_gone(&self) {
        loop {
            let done = self.done.notified();
            if self.lock().held(Kind::Known).order.is_empty() {
                return;
            }
            done.await;
        }
    }
}

impl<M: HeldReply> Shared<M> {
    /// Sends the replies to one queue, for as long as there are any.
    async fn keep_trying(self: Arc<Self>, queue: Arc<str>, first: u64) {
        let (mut pause, mut together) = (PAUSE, 1);
        let mut next = Instant::now() + pause;
        loop {
            sleep_until(next).await;
            let Some(kind) = self.lock().waiting(&queue, first).map(|waiting| waiting.kind) else { break };
            let tries = if kind == Kind::Known { &self.known } else { &self.strangers };
            let permit = tries.acquire().await;
            let (taken, expired) = self.lock().take(&queue, first, together, Instant::now());
            lost(expired, Some(&queue), "the reply queue did not accept them in time");
            if taken.is_empty() {
                break;
            }
            let patience = SendBudget::new(TRY_LIMIT, Retry::Forever);
            let sent = join_all(taken.iter().map(|(_, reply)| reply.send(&patience))).await;
            drop(permit);
            let mut missing = false;
            for ((number, _), sent) in taken.iter().zip(sent) {
                match sent {
                    Ok(()) => self.lock().arrived(&queue, *number),
                    Err(error) if may_pass(&error) => missing = true,
                    Err(_) => {
                        self.lock().remove(&queue, *number);
                        lost(1, Some(&queue), "the broker refused them");
                    }
                }
            }
            if missing {
                next = Instant::now() + pause;
                (pause, together) = ((pause * 2).min(LONGEST_PAUSE), 1);
            } else {
                (next, pause, together) = (Instant::now(), PAUSE, TOGETHER);
            }
        }
        self.done.notify_waiters();
    }
}

/// Whether a reply queue may take later what it does not take now.
fn may_pass(error: &TransportError) -> bool {
    matches!(
        error,
        TransportError::Undeliverable { .. }
            | TransportError::Rejected { .. }
            | TransportError::ConnectionLost { .. }
            | TransportError::Unreachable { .. }
            | TransportError::Blocked { .. }
            | TransportError::Unconfirmed { .. }
    )
}

struct State<M> {
    alive: Recent,
    gone: Recent,
    queues: HashMap<Arc<str>, Waiting<M>>,
    known: Share,
    strangers: Share,
    next: u64,
}

/// What is held of one kind.
#[derive(Default)]
struct Share {
    /// The queue of each reply, the oldest first.
    order: BTreeMap<u64, Arc<str>>,
    bytes: usize,
}

/// The replies to one queue, the oldest first.
struct Waiting<M> {
    kind: Kind,
    /// The number of the reply that it began with, by which the task knows its own.
    first: u64,
    /// Since when nothing gets through.
    since: Instant,
    /// How long the queue is tried.
    window: Duration,
    replies: VecDeque<Held<M>>,
}

struct Held<M> {
    number: u64,
    until: Instant,
    reply: Arc<M>,
    size: usize,
}

impl<M> Default for State<M> {
    fn default() -> Self {
        Self {
            alive: Recent::new(ALIVE_MOST, None),
            gone: Recent::new(GONE_MOST, Some(GONE_FOR)),
            queues: HashMap::new(),
            known: Share::default(),
            strangers: Share::default(),
            next: 0,
        }
    }
}

impl<M> State<M> {
    fn held(&mut self, kind: Kind) -> &mut Share {
        match kind {
            Kind::Known => &mut self.known,
            Kind::Stranger => &mut self.strangers,
        }
    }

    fn replies(&self) -> usize {
        self.known.order.len() + self.strangers.order.len()
    }

    /// What waits for a queue since a reply.
    fn waiting(&self, queue: &str, first: u64) -> Option<&Waiting<M>> {
        self.queues.get(queue).filter(|waiting| waiting.first == first)
    }

    /// Forgets a reply, and its queue with the last one.
    fn remove(&mut self, queue: &str, number: u64) {
        let Some(waiting) = self.queues.get_mut(queue) else { return };
        let Some(at) = waiting.replies.iter().position(|held| held.number == number) else { return };
        let size = waiting.replies.remove(at).map_or(0, |held| held.size);
        let (kind, is_empty) = (waiting.kind, waiting.replies.is_empty());
        if is_empty {
            self.queues.remove(queue);
        }
        let share = self.held(kind);
        share.order.remove(&number);
        share.bytes -= size;
    }

    /// A reply got through.
    fn arrived(&mut self, queue: &str, number: u64) {
        self.alive.insert(queue);
        if let Some(waiting) = self.queues.get_mut(queue) {
            waiting.since = Instant::now();
        }
        self.remove(queue, number);
    }

    /// The replies to try now, the smallest one or as many as `together`, and how many were given up.
    fn take(&mut self, queue: &str, first: u64, together: usize, now: Instant) -> (Vec<(u64, Arc<M>)>, usize) {
        let Some(waiting) = self.waiting(queue, first) else { return (Vec::new(), 0) };
        let is_gone = now.saturating_duration_since(waiting.since) >= waiting.window;
        let given_up = |held: &&Held<M>| is_gone || held.until <= now;
        let expired: Vec<u64> = waiting.replies.iter().filter(given_up).map(|held| held.number).collect();
        // Forged names would only push real ones out of this memory.
        if is_gone && waiting.kind == Kind::Known {
            self.gone.insert(queue);
        }
        expired.iter().for_each(|number| self.remove(queue, *number));
        let Some(waiting) = self.queues.get(queue) else { return (Vec::new(), expired.len()) };
        let of = |held: &Held<M>| (held.number, held.reply.clone());
        let taken = match together {
            1 => waiting.replies.iter().min_by_key(|held| held.size).map(of).into_iter().collect(),
            _ => waiting.replies.iter().take(together).map(of).collect(),
        };
        (taken, expired.len())
    }

    fn clear(&mut self) -> usize {
        let dropped = self.replies();
        self.queues.clear();
        (self.known, self.strangers) = (Share::default(), Share::default());
        dropped
    }
}

impl<M: HeldReply> State<M> {
    /// Adds a reply; its number if it is the first one of its queue, and how many older ones had to be dropped.
    fn hold(&mut self, queue: &str, reply: M, until: Instant, kind: Kind, window: Duration) -> (Option<u64>, usize) {
        let (number, size) = (self.next, reply.size());
        self.next += 1;
        let held = Held { number, until, reply: Arc::new(reply), size };
        let known = self.queues.get_key_value(queue).map(|(name, _)| name.clone());
        let is_new = known.is_none();
        let name = known.unwrap_or_else(|| queue.into());
        let waiting = self.queues.entry(name.clone()).or_insert_with(|| Waiting {
            kind,
            first: number,
            since: Instant::now(),
            window,
            replies: VecDeque::new(),
        });
        waiting.replies.push_back(held);
        let kind = waiting.kind;
        let share = self.held(kind);
        share.order.insert(number, name.clone());
        share.bytes += size;
        let (bounds, mut dropped) = (kind.bounds(), 0);
        loop {
            let share = self.held(kind);
            if share.order.len() <= bounds.replies && share.bytes <= bounds.bytes {
                break;
            }
            let Some((number, queue)) = share.order.first_key_value().map(|(number, queue)| (*number, queue.clone()))
            else {
                break;
            };
            self.remove(&queue, number);
            dropped += 1;
        }
        (is_new.then_some(number), dropped)
    }
}
