//! A bound on the bytes of decompressed messages that a listener holds.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;
use tracing::warn;

use crate::context::Context;

/// Counts the bytes of decompressed messages that one listener has yielded and whose processing has not ended, against a
/// limit. Clones share the count.
///
/// A driver decompresses the next message only while the budget [is open](Self::is_open), that is, while fewer bytes than the
/// limit are charged. The limit is therefore exceeded by at most one message, and a message larger than the whole budget is
/// taken when no other is held. Further messages wait as received from the broker, bounded by the prefetch.
#[derive(Clone)]
pub struct Budget(Arc<State>);

struct State {
    limit: usize,
    used: AtomicUsize,
    opened: Notify,
    /// Whether it was logged that the budget is exhausted.
    logged: AtomicBool,
}

/// How many bytes a listener or a reply queue decompresses before it yields to other tasks of the runtime.
pub const TURN: usize = 256 << 10;

/// The size of a context entry in bytes, beside its text.
const ENTRY: usize = 128;

/// The number of bytes to charge for a decoded message: `text` bytes of JSON, and the overhead of its context.
#[must_use]
pub fn weight(text: usize, context: &Context) -> usize {
    text.saturating_add(context.len().saturating_mul(ENTRY))
}

impl Budget {
    /// Creates a budget of `bytes`, at least one.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(State {
            limit: bytes.max(1),
            used: AtomicUsize::new(0),
            opened: Notify::new(),
            logged: AtomicBool::new(false),
        }))
    }

    /// Whether another message may be decompressed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.used() < self.0.limit
    }

    /// As [`is_open`](Self::is_open), before a message is taken from `source`. The first time that a message has to wait is
    /// logged at `warn`.
    #[must_use]
    pub fn has_room(&self, source: &dyn fmt::Debug) -> bool {
        let room = self.is_open();
        if !room && !self.0.logged.swap(true, Ordering::Relaxed) {
            warn!(?source, "messages being processed exceed max_in_flight_bytes; further messages wait (logged once)");
        }
        room
    }

    /// Waits until another message may be decompressed.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe.
    pub async fn opened(&self) {
        loop {
            // Created before the check, so that a permit dropped in between is not missed.
            let opened = self.0.opened.notified();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }

    /// Charges a decompressed message. Dropping the permit returns the bytes.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Permit {
        self.0.used.fetch_add(bytes, Ordering::AcqRel);
        Permit { budget: self.clone(), bytes }
    }

    /// The bytes currently charged.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("used", &self.used()).field("limit", &self.0.limit).finish()
    }
}

/// The share of one message in the [`Budget`] of its listener; dropping it returns the share.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    bytes: usize,
}

impl Permit {
    /// Whether the budget is exhausted, so that the listener yields no further message until a permit is dropped.
    #[must_use]
    pub fn is_last(&self) -> bool {
        !self.budget.is_open()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let State { limit, used, opened, .. } = &*self.budget.0;
        let before = used.fetch_sub(self.bytes, Ordering::AcqRel);
        if before >= *limit && before - self.bytes < *limit {
            opened.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        task::{self, Waker},
    };

    use super::*;

    fn is_ready(future: Pin<&mut impl Future>) -> bool {
        future.poll(&mut task::Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn it_is_open_until_the_limit_is_charged() {
        let budget = Budget::new(100);
        let (first, second) = (budget.charge(60), budget.charge(60));
        assert!(!budget.is_open() && first.is_last(), "exceeded by one message");
        let (mut one, mut other) = (pin!(budget.opened()), pin!(budget.opened()));
        assert!(!is_ready(one.as_mut()) && !is_ready(other.as_mut()));
        drop(first);
        assert!(is_ready(one) && is_ready(other), "every waiter is woken");
        assert!(!second.is_last());
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_message_always_fits() {
        for bytes in [0, 1, 10] {
            let budget = Budget::new(bytes);
            assert!(is_ready(pin!(budget.opened())));
            let large = budget.charge(1 << 20);
            assert!(!budget.is_open());
            drop(large);
            assert!(is_ready(pin!(budget.opened())));
        }
    }

    #[test]
    fn a_permit_dropped_before_the_first_poll_is_not_missed() {
        let budget = Budget::new(1);
        let held = budget.charge(1);
        let opened = pin!(budget.opened());
        drop(held);
        assert!(is_ready(opened));
    }
}
