//! What a notifier has done.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::quiet::counted;

/// What a notifier and its clones have done since it was built. Accepted is the sum of sent, dropped, failed, abandoned,
/// queued and in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifierStats {
    /// Notifications that were taken into the queue.
    pub accepted: u64,
    /// Those that every driver has delivered.
    pub sent: u64,
    /// Attempts that were made again.
    pub retried: u64,
    /// Those that made room for later ones in a full queue.
    pub dropped: u64,
    /// Those that at least one driver gave up on.
    pub failed: u64,
    /// Those that were not confirmed when the notifier's grace was over.
    pub abandoned: u64,
    /// Notifications that the full queue did not take; they were never accepted.
    pub refused: u64,
    /// Those that wait in the queue.
    pub queued: usize,
    /// Those that drivers are working on.
    pub in_flight: usize,
}

/// Counts for [`NotifierStats`] and for the metrics.
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
