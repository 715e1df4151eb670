//! Accepted notifications that are not settled: the bounded queue, and those in flight.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use oxlo_transport::{Notification, Retry};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout_at},
};

use super::error::NotifyError;

/// What happens to a notification when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The sender waits for room, for at most this long; then it receives [`NotifyError::QueueFull`].
    Wait(Duration),
    /// The oldest waiting notification is dropped, counted and reported.
    DropOldest,
    /// The sender receives [`NotifyError::QueueFull`] at once.
    Error,
}

impl Default for Overflow {
    /// Waits for at most 5 s.
    fn default() -> Self {
        Self::Wait(Duration::from_secs(5))
    }
}

/// An accepted notification.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) number: u64,
    pub(crate) notification: Notification,
    pub(crate) retry: Retry,
    pub(crate) outcome: oneshot::Sender<Result<(), NotifyError>>,
}

/// Why a notification was not accepted.
pub(crate) enum Refused {
    Full {
        waited: Duration,
    },
    Closed,
    /// The worker is gone, so nothing will be taken out of the queue.
    Orphaned,
}

#[derive(Debug)]
pub(crate) struct Queue {
    limit: usize,
    state: Mutex<State>,
    /// Notified when there is something to send, or the queue was closed.
    work: Notify,
    /// Notified when there may be room.
    room: Notify,
    /// Notified when a notification was settled.
    progress: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Item>,
    /// The numbers of all unsettled notifications, waiting or in flight.
    outstanding: BTreeSet<u64>,
    next: u64,
    /// When the rest is abandoned; set when the queue is closed.
    closes: Option<Instant>,
    /// The worker ended without being told to.
    orphaned: bool,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), work: Notify::new(), room: Notify::new(), progress: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts a notification if there is room now. Returns the notification that was dropped for it, which the caller
    /// must settle.
    pub(crate) fn try_push(
        &self,
        notification: Notification,
        retry: Retry,
        overflow: Overflow,
    ) -> Result<Pushed, (Box<Notification>, Refused)> {
        let (outcome, receiver) = oneshot::channel();
        let mut state = self.state();
        if state.orphaned {
            return Err((Box::new(notification), Refused::Orphaned));
        }
        if state.closes.is_some() {
            return Err((Box::new(notification), Refused::Closed));
        }
        let mut dropped = None;
        if state.waiting.len() >= self.limit {
            dropped = if overflow == Overflow::DropOldest { state.waiting.pop_front() } else { None };
            if dropped.is_none() {
                return Err((Box::new(notification), Refused::Full { waited: Duration::ZERO }));
            }
        }
        let number = state.next;
        state.next += 1;
        state.outstanding.insert(number);
        state.waiting.push_back(Item { number, notification, retry, outcome });
        drop(state);
        self.work.notify_one();
        Ok(Pushed { receiver, dropped })
    }

    /// Accepts a notification, waiting for room as the policy says.
    pub(crate) async fn push(
        &self,
        mut notification: Notification,
        retry: Retry,
        overflow: Overflow,
    ) -> Result<Pushed, Refused> {
        let begun = Instant::now();
        let deadline = match overflow {
            Overflow::Wait(limit) => begun.checked_add(limit),
            Overflow::DropOldest | Overflow::Error => Some(begun),
        };
        loop {
            let room = self.room.notified();
            notification = match self.try_push(notification, retry, overflow) {
                Ok(pushed) => return Ok(pushed),
                Err((notification, Refused::Full { .. })) => *notification,
                Err((_, refused)) => return Err(refused),
            };
            match deadline {
                None => room.await,
                Some(deadline) => {
                    if timeout_at(deadline, room).await.is_err() {
                        return Err(Refused::Full { waited: begun.elapsed() });
                    }
                }
            }
        }
    }

    /// Takes the oldest waiting notification. It stays outstanding until it is [settled](Self::settled).
    pub(crate) fn pop(&self) -> Option<Item> {
        let mut state = self.state();
        let item = state.waiting.pop_front()?;
        let more = state.waiting.len() < self.limit;
        drop(state);
        if more {
            self.room.notify_one();
        }
        Some(item)
    }

    /// Settles a notification that was sent, dropped, or abandoned.
    pub(crate) fn settled(&self, number: u64) {
        self.state().outstanding.remove(&number);
        self.progress.notify_waiters();
    }

    /// Resolves when there may be something to take, or the queue was closed.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
    }

    /// Accepts no more notifications; those in the queue may be sent until `deadline`. A second call can only bring the
    /// deadline forward.
    pub(crate) fn close(&self, deadline: Instant) {
        let mut state = self.state();
        state.closes = Some(state.closes.map_or(deadline, |earlier| earlier.min(deadline)));
        drop(state);
        self.work.notify_one();
        self.room.notify_waiters();
    }

    /// Accepts no more notifications, because the worker is gone.
    pub(crate) fn orphan(&self) {
        self.state().orphaned = true;
        self.room.notify_waiters();
    }

    /// When the rest is abandoned, if the queue was closed.
    pub(crate) fn closes(&self) -> Option<Instant> {
        self.state().closes
    }

    /// How many notifications wait, and how many are in flight.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state();
        (state.waiting.len(), state.outstanding.len() - state.waiting.len())
    }

    /// Waits until all notifications that were accepted before are settled. Cancel safe.
    pub(crate) async fn flushed(&self) {
        let next = self.state().next;
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            // Registered before the check, so that no settlement between check and wait is missed.
            progress.as_mut().enable();
            if self.state().outstanding.first().is_none_or(|oldest| *oldest >= next) {
                return;
            }
            progress.await;
        }
    }
}

/// The sender's side of an accepted notification.
pub(crate) struct Pushed {
    pub(crate) receiver: oneshot::Receiver<Result<(), NotifyError>>,
    pub(crate) dropped: Option<Item>,
}

/// The callback for lost notifications.
pub(crate) type OnLost = Arc<dyn Fn(&Notification, &NotifyError) + Send + Sync>;
