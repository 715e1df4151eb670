//! The counters of a notifier.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::quiet::counted;

/// The counters of a notifier and its clones since it was built. `accepted` is the sum of `sent`, `dropped`, `failed`,
/// `abandoned`, `queued` and `in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifierStats {
    /// Notifications that were accepted into the queue.
    pub accepted: u64,
    /// Notifications that every driver has delivered.
    pub sent: u64,
    /// Repeated attempts.
    pub retried: u64,
    /// Notifications that a full queue dropped for later ones.
    pub dropped: u64,
    /// Notifications on which at least one driver gave up.
    pub failed: u64,
    /// Notifications that were not confirmed when the grace period ended.
    pub abandoned: u64,
    /// Notifications that a full queue refused; they were never accepted.
    pub refused: u64,
    /// Notifications that wait in the queue.
    pub queued: usize,
    /// Notifications that are being sent.
    pub in_flight: usize,
}

/// The counters behind [`NotifierStats`] and the metrics.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    sent: AtomicU64,
    pub(crate) retried: Arc<AtomicU64>,
    dropped: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        counted(|| metrics::counter!("oxlo_notifier_accepted_total").increment(1));
    }

    pub(crate) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        counted(|| metrics::counter!("oxlo_notifier_sent_total").increment(1));
    }

    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        counted(|| metrics::counter!("oxlo_notifier_dropped_total").increment(1));
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        counted(|| metrics::counter!("oxlo_notifier_failed_total").increment(1));
    }

    pub(crate) fn abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
        counted(|| metrics::counter!("oxlo_notifier_abandoned_total").increment(1));
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        counted(|| metrics::counter!("oxlo_notifier_refused_total").increment(1));
    }

    pub(crate) fn read(&self, queued: usize, in_flight: usize) -> NotifierStats {
        NotifierStats {
            accepted: self.accepted.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            retried: self.retried.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            queued,
            in_flight,
        }
    }
}
