//! The summary of a stopped server.

use std::{fmt, sync::Arc, time::Duration};

use oxlo_serving::{AbandonedMessages, Report, StopReason, Summary};
use oxlo_transport::text;

/// What a server did until it stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeReport {
    /// Why it stopped.
    pub reason: StopReason,
    /// Requests that were taken to be run, without those that returned to the broker unread.
    pub taken: u64,
    /// Requests that ended with a result or a failure.
    pub handled: u64,
    /// Those of `handled` that ended with a failure: the request was refused, or the method failed or panicked.
    pub failed: u64,
    /// Requests that a handler requeued for another server.
    pub requeued: u64,
    /// Requests that a handler ended without a reply.
    pub ignored: u64,
    /// Requests that did not run because their caller had given up before.
    pub dropped_expired: u64,
    /// Replies that could not be delivered. A reply whose queue is missing is held by the driver, and counts only if the
    /// queue does not come back.
    pub replies_lost: u64,
    /// Methods that did not finish within the grace period, or whose reply did not leave in the 5 s after it. Under
    /// `BeforeDispatch` their callers received a failure if it could be sent; under `AfterReply` the requests returned
    /// to the broker.
    pub abandoned: Vec<AbandonedRequest>,
}

impl Report for ServeReport {
    fn finish(&mut self, summary: Summary) {
        self.reason = summary.reason;
        self.taken = summary.taken;
        self.abandoned = summary.abandoned.into_iter().map(AbandonedRequest::from).collect();
    }
}

impl fmt::Display for ServeReport {
    /// The reason and the counts that are not zero: `stopped; 12 requests taken, 12 handled, 1 failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} requests taken, {} handled", self.reason, self.taken, self.handled)?;
        let others = [
            (self.failed, "failed"),
            (self.requeued, "requeued"),
            (self.ignored, "ignored"),
            (self.dropped_expired, "expired"),
            (self.replies_lost, "replies lost"),
            (self.abandoned.len() as u64, "abandoned"),
        ];
        others.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

/// A method that did not finish within the grace period.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbandonedRequest {
    /// The method's name.
    pub method: Arc<str>,
    /// Time since the request was taken.
    pub ran_for: Duration,
}

impl From<AbandonedMessages> for AbandonedRequest {
    fn from(abandoned: AbandonedMessages) -> Self {
        Self { method: abandoned.name, ran_for: abandoned.ran_for }
    }
}

impl fmt::Display for AbandonedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` for {:?}", text::name(&self.method), self.ran_for)
    }
}
