//! How many bytes of messages a listener may hold that are unpacked and not finished with.

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

/// The bytes of messages that one listener has unpacked and handed out, against what it may hold. Cloning shares it.
///
/// A driver unpacks the next message only while the budget [is open](Self::is_open): until as many bytes are charged as it
/// has. So it is exceeded by one message at most, and a message that is larger than the whole budget is taken when nothing
/// else is held. What does not fit waits as it came from the broker, which the prefetch bounds.
#[derive(Clone)]
pub struct Budget(Arc<State>);

struct State {
    limit: usize,
    used: AtomicUsize,
    opened: Notify,
    /// Whether it was logged that it is used up.
    told: AtomicBool,
}

/// How many bytes a listener or a reply queue unpacks before other tasks of the runtime get a turn.
pub const TURN: usize = 256 << 10;

/// How many bytes an entry of a context takes beside its text.
const ENTRY: usize = 128;

/// The bytes that a decoded message is charged with: `text` of JSON, and what its context takes beside that.
#[must_use]
pub fn weight(text: usize, context: &Context) -> usize {
    text.saturating_add(context.len().saturating_mul(ENTRY))
}

impl Budget {
    /// A budget of so many bytes, at least one.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(State {
            limit: bytes.max(1),
            used: AtomicUsize::new(0),
            opened: Notify::new(),
            told: AtomicBool::new(false),
        }))
    }

    /// Whether another message may be unpacked.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.used() < self.0.limit
    }

    /// As [`is_open`](Self::is_open), before a message is taken from `source`. Logs the first time that one has to wait, at
    /// WARN.
    #[must_use]
    pub fn has_room(&self, source: &dyn fmt::Debug) -> bool {
        let room = self.is_open();
        if !room && !self.0.told.swap(true, Ordering::Relaxed) {
            warn!(
                ?source,
                "what is being worked on fills max_in_flight_bytes; further messages wait (not logged again)"
            );
        }
        room
    }

    /// Resolves when another message may be unpacked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn opened(&self) {
        loop {
            // Before the look, so that what is given back in between is not missed.
            let opened = self.0.opened.notified();
            if self.is_open() {
                return;
            }
            opened.await;
        }
    }

    /// Charges a message that was unpacked.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Permit {
        self.0.used.fetch_add(bytes, Ordering::AcqRel);
        Permit { budget: self.clone(), bytes }
    }

    /// Bytes that are charged at this moment.
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

/// The share of one message in the [`Budget`] of its listener; dropping it gives the share back.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    bytes: usize,
}

impl Permit {
    /// Whether the listener hands out no further message until others are finished with.
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
    fn it_is_open_until_as_much_is_charged_as_there_is() {
        let budget = Budget::new(100);
        let (first, second) = (budget.charge(60), budget.charge(60));
        assert!(!budget.is_open() && first.is_last(), "exceeded by one message");
        let (mut one, mut other) = (pin!(budget.opened()), pin!(budget.opened()));
        assert!(!is_ready(one.as_mut()) && !is_ready(other.as_mut()));
        drop(first);
        assert!(is_ready(one) && is_ready(other), "each link waits for itself");
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
    fn what_is_given_back_before_it_is_waited_for_is_not_missed() {
        let budget = Budget::new(1);
        let held = budget.charge(1);
        let opened = pin!(budget.opened());
        drop(held);
        assert!(is_ready(opened));
    }
}
