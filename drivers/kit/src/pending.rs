//! Calls that wait for their reply.
//!
//! A call is registered before its request leaves, so that a reply can never come too early; whatever ends it (reply,
//! timeout, lost reply queue, close, the caller dropping the future) takes the entry out exactly once, and who takes it
//! out decides how the call ends.
//!
//! `model` (in the tests) runs this file with other locks, channels and clocks, in every order that matters.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use oxlo_transport::{Payload, PendingReply, Reply, TransportError};
use oxlo_wire::{reply::ReplyPart, unread::UnreadReply};
use uuid::Uuid;

use super::sync::{Instant, Mutex, MutexGuard, Sleep, oneshot, sleep_until};
use crate::numbers::Numbered;

type Outcome = Result<Reply, TransportError>;

/// What the task that waits for a call is given.
enum Ending {
    Read(Reply),
    Unread(Box<UnreadReply>),
}

impl Ending {
    fn read(self) -> Outcome {
        match self {
            Self::Read(reply) => Ok(reply),
            Self::Unread(unread) => unread.read().map_err(|reason| TransportError::MalformedReply { reason }),
        }
    }
}

/// The calls of one transport that wait for their reply. Cloning shares them.
#[derive(Clone, Default)]
pub struct PendingCalls(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    waiting: Numbered<Waiting>,
    closed: bool,
}

struct Waiting {
    done: oneshot::Sender<Result<Ending, TransportError>>,
    heard: Option<Arc<Mutex<Instant>>>,
    partial: Option<Payload>,
}

impl PendingCalls {
    /// No calls.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a call that may take `timeout` from now, and returns what becomes its reply.
    ///
    /// # Errors
    ///
    /// [`TransportError::Closed`] after [`close`](Self::close).
    pub fn register(
        &self,
        timeout: Duration,
        monitor_timeout: Option<Duration>,
    ) -> Result<PendingCall, TransportError> {
        self.register_as(Uuid::new_v4(), timeout, monitor_timeout)
    }

    /// As [`register`](Self::register), under an id of the caller's, which must be a fresh one.
    ///
    /// # Errors
    ///
    /// [`TransportError::Closed`] after [`close`](Self::close).
    pub fn register_as(
        &self,
        id: Uuid,
        timeout: Duration,
        monitor_timeout: Option<Duration>,
    ) -> Result<PendingCall, TransportError> {
        let id = id.as_u128();
        let now = Instant::now();
        let (done, reply) = oneshot::channel();
        let monitor = monitor_timeout.map(|silence| Monitor { silence, heard: Arc::new(Mutex::new(now)) });
        let heard = monitor.as_ref().map(|monitor| monitor.heard.clone());
        let mut calls = lock(&self.0);
        if calls.closed {
            return Err(TransportError::Closed);
        }
        calls.waiting.insert(id, Waiting { done, heard, partial: None });
        drop(calls);
        Ok(PendingCall {
            entry: Entry { id, calls: self.clone() },
            reply,
            started: now,
            deadline: now.checked_add(timeout).unwrap_or_else(|| now + FAR_AWAY),
            monitor,
            timer: None,
        })
    }

    /// Hands a part of a reply to the call that waits for it. Returns `false` if none does: it timed out, was dropped,
    /// was answered already, or never was.
    pub fn deliver(&self, message_id: &str, part: ReplyPart) -> bool {
        parse_id(message_id).is_some_and(|id| self.deliver_to(id, part))
    }

    /// As [`deliver`](Self::deliver), by the id as [`PendingCall::id`] gives it.
    pub fn deliver_to(&self, id: Uuid, part: ReplyPart) -> bool {
        let id = id.as_u128();
        let mut calls = lock(&self.0);
        match part {
            ReplyPart::Heartbeat => {
                let Some(waiting) = calls.waiting.get(&id) else { return false };
                if let Some(heard) = &waiting.heard {
                    *lock(heard) = Instant::now();
                }
                true
            }
            ReplyPart::Partial(result) => {
                let Some(waiting) = calls.waiting.get_mut(&id) else { return false };
                waiting.partial = Some(result);
                true
            }
            ReplyPart::Final(reply) => {
                let Some(waiting) = calls.waiting.remove(&id) else { return false };
                drop(calls);
                let reply = reply.unwrap_or_else(|| Reply::Result(waiting.partial.unwrap_or_else(Payload::null)));
                // A caller that is being dropped at this moment no longer wants it.
                let _ = waiting.done.send(Ok(Ending::Read(reply)));
                true
            }
            ReplyPart::Unread(unread) => {
                let Some(waiting) = calls.waiting.remove(&id) else { return false };
                drop(calls);
                let _ = waiting.done.send(Ok(Ending::Unread(unread)));
                true
            }
        }
    }

    /// Whether a call still waits.
    #[must_use]
    pub fn is_waiting(&self, message_id: &str) -> bool {
        parse_id(message_id).is_some_and(|id| lock(&self.0).waiting.contains_key(&id.as_u128()))
    }

    /// Ends one call with an error, for whoever needs to know whether it still waited. Returns `false` if it does not wait any more.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn fail(&self, message_id: &str, error: TransportError) -> bool {
        let Some(waiting) = parse_id(message_id).and_then(|id| lock(&self.0).waiting.remove(&id.as_u128())) else {
            return false;
        };
        let _ = waiting.done.send(Err(error));
        true
    }

    /// Ends every call that waits at this moment with `error`, and returns how many there were. Calls registered
    /// later are not touched.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn fail_all(&self, error: &TransportError) -> usize {
        let waiting = std::mem::take(&mut lock(&self.0).waiting);
        let count = waiting.len();
        for call in waiting.into_values() {
            let _ = call.done.send(Err(error.clone()));
        }
        count
    }

    /// Ends every call as `ClosedWaiting` and refuses new ones as `Closed`.
    pub fn close(&self) {
        lock(&self.0).closed = true;
        self.fail_all(&TransportError::ClosedWaiting);
    }

    /// How many calls wait.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0).waiting.len()
    }

    /// Whether no call waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for PendingCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCalls").field("waiting", &self.len()).finish()
    }
}

/// A call whose request has been handed over; resolves to its reply.
///
/// It resolves within the call's timeout, which began when the call did. Dropping it forgets the call at once: the
/// method may still run, its reply is dropped.
#[must_use = "dropping it forgets the call"]
pub struct PendingCall {
    // Declared first: the entry is gone before the receiver is, so a reply never finds a call that nobody holds.
    entry: Entry,
    reply: oneshot::Receiver<Result<Ending, TransportError>>,
    started: Instant,
    deadline: Instant,
    monitor: Option<Monitor>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct Entry {
    id: u128,
    calls: PendingCalls,
}

impl Entry {
    /// Takes the call out. Returns `false` if somebody else has, who then says how it ends.
    fn take(&self) -> bool {
        let waiting = lock(&self.calls.0).waiting.remove(&self.id);
        waiting.is_some()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.take();
    }
}

struct Monitor {
    silence: Duration,
    heard: Arc<Mutex<Instant>>,
}

// Far enough that nobody waits for it, near enough that an `Instant` can hold it.
const FAR_AWAY: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

impl PendingCall {
    /// The call's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        Uuid::from_u128(self.entry.id)
    }

    /// The call's id as it travels: 32 hexadecimal digits.
    #[must_use]
    pub fn message_id(&self) -> String {
        self.id().simple().to_string()
    }

    /// When the call ends at the latest.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Starts the clock of call monitoring anew: the server cannot be silent before it has the request.
    pub fn sent(&self) {
        if let Some(monitor) = &self.monitor {
            *lock(&monitor.heard) = Instant::now();
        }
    }

    fn wake_at(&self) -> Instant {
        match &self.monitor {
            Some(monitor) => self.deadline.min(*lock(&monitor.heard) + monitor.silence),
            None => self.deadline,
        }
    }

    fn overdue(&self) -> TransportError {
        match &self.monitor {
            Some(monitor) if Instant::now() < self.deadline => {
                TransportError::ServerSilent { silence: monitor.silence }
            }
            _ => TransportError::TimedOut { waited: self.deadline - self.started },
        }
    }
}

impl Future for PendingCall {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        if let Poll::Ready(outcome) = Pin::new(&mut this.reply).poll(cx) {
            let outcome = outcome.unwrap_or(Err(TransportError::ClosedWaiting)).and_then(Ending::read);
            return Poll::Ready(outcome);
        }
        let wake_at = this.wake_at();
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(wake_at)));
        while timer.as_mut().poll(cx).is_ready() {
            // Heartbeats move the time to wake up at, and only this task looks at it.
            let wake_at = match &this.monitor {
                Some(monitor) => this.deadline.min(*lock(&monitor.heard) + monitor.silence),
                None => this.deadline,
            };
            if wake_at <= Instant::now() {
                if this.entry.take() {
                    return Poll::Ready(Err(this.overdue()));
                }
                // Whoever took it is about to send, which wakes this task: a reply that was taken is never lost.
                return Poll::Pending;
            }
            timer.as_mut().reset(wake_at);
        }
        Poll::Pending
    }
}

impl From<PendingCall> for PendingReply {
    fn from(call: PendingCall) -> Self {
        Self::new(call.id(), call)
    }
}

impl fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall")
            .field("message_id", &self.message_id())
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

fn parse_id(message_id: &str) -> Option<Uuid> {
    // Of this length there is no other way to write one than by its digits.
    (message_id.len() == 32).then(|| Uuid::try_parse(message_id).ok()).flatten()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds these locks; a poisoned one still holds whole values.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
