//! The summary of a stopped listener, and how one notification ended.

use std::fmt;

use oxlo_serving::{Report, Summary};

/// What a listener did until it stopped. A notification counts once for each time that it was handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenReport {
    /// Notifications that handlers took.
    pub handled: u64,
    /// Notifications that a handler requeued.
    pub requeued: u64,
    /// Notifications on which a handler failed; they were requeued if that is allowed, and are done otherwise.
    pub failed: u64,
    /// Notifications that were redelivered as often as allowed and still not handled; they were rejected.
    pub rejected: u64,
    /// Notifications that did not fit any handler that wanted them; they are done.
    pub malformed: u64,
    /// Notifications that no endpoint wanted, by priority or filter; they are done, as in oslo.
    pub unwanted: u64,
    /// Notifications whose handlers did not finish within the grace period; they returned to the broker.
    pub abandoned: u64,
}

/// How one notification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Handled,
    Requeued,
    Failed,
    Rejected,
    Malformed,
    Unwanted,
}

impl Outcome {
    /// The label of the metric.
    fn label(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Requeued => "requeued",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Malformed => "malformed",
            Self::Unwanted => "unwanted",
        }
    }
}

impl ListenReport {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        metrics::counter!("oxlo_notifications_total", "outcome" => outcome.label()).increment(1);
        let place = match outcome {
            Outcome::Handled => &mut self.handled,
            Outcome::Requeued => &mut self.requeued,
            Outcome::Failed => &mut self.failed,
            Outcome::Rejected => &mut self.rejected,
            Outcome::Malformed => &mut self.malformed,
            Outcome::Unwanted => &mut self.unwanted,
        };
        *place += 1;
    }

    /// The number of notifications that ended.
    pub(crate) fn ended(&self) -> u64 {
        self.handled + self.requeued + self.failed + self.rejected + self.malformed + self.unwanted
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.handled += other.handled;
        self.requeued += other.requeued;
        self.failed += other.failed;
        self.rejected += other.rejected;
        self.malformed += other.malformed;
        self.unwanted += other.unwanted;
        self.abandoned += other.abandoned;
    }
}

impl Report for ListenReport {
    fn finish(&mut self, summary: Summary) {
        self.abandoned = summary.abandoned.iter().map(|job| job.count as u64).sum();
    }
}

impl fmt::Display for ListenReport {
    /// The counts that are not zero: `12 handled, 1 failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} handled", self.handled)?;
        let others = [
            (self.requeued, "requeued"),
            (self.failed, "failed"),
            (self.rejected, "rejected"),
            (self.malformed, "malformed"),
            (self.unwanted, "unwanted"),
            (self.abandoned, "abandoned"),
        ];
        others.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}
