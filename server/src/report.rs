//! How serving ended.

use std::{fmt, sync::Arc, time::Duration};

use oxlo_transport::Context;

use crate::telemetry::{Ending, shown};

/// What a server did until it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeReport {
    /// Why it ended.
    pub ended: Ended,
    /// Requests that were taken to be run; those that came and were given back unlooked at do not count.
    pub taken: u64,
    /// Requests that ended with a result or a failure.
    pub handled: u64,
    /// Those of them that ended with a failure: refused, failed, panicked.
    pub failed: u64,
    /// Requests that a handler gave back for another server.
    pub requeued: u64,
    /// Requests that a handler ended without a reply.
    pub ignored: u64,
    /// Requests that did not run because their caller had given up before.
    pub dropped_expired: u64,
    /// Replies that could not be delivered. One whose queue is missing does not count: its driver holds it aside, and counts it
    /// if the queue does not come back.
    pub replies_lost: u64,
    /// Methods that did not finish within the grace, or whose reply did not leave in the 5 s after it. Under
    /// `BeforeDispatch` their callers were told so if the reply could be sent, under `AfterReply` their requests went
    /// back to the broker.
    pub abandoned: Vec<Abandoned>,
}

impl fmt::Display for ServeReport {
    /// Why it ended, and what is not zero: `stopped; 12 requests taken, 12 handled, 1 failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} requests taken, {} handled", self.ended, self.taken, self.handled)?;
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

/// Why a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It was told to.
    #[default]
    Stopped,
    /// It has taken as many requests as [`max_requests`](crate::RPCServerBuilder::max_requests) allows.
    MaxRequests,
    /// The moment that [`until`](crate::RPCServerBuilder::until) names has come.
    Deadline,
    /// Its transport was closed, or its listener failed.
    Closed,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::MaxRequests => "max_requests reached",
            Self::Deadline => "deadline reached",
            Self::Closed => "transport closed or failed",
        })
    }
}

/// A request that ended, as an [observer](crate::RPCServerBuilder::observe) sees it: before its reply leaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ran {
    /// The method that was asked for.
    pub method: Arc<str>,
    /// The request's context.
    pub context: Context,
    /// How it ended.
    pub ending: Ending,
    /// How often it had come back before.
    pub redeliveries: u32,
}

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` for {:?}", shown(&self.method), self.ran_for)
    }
}

/// A method that did not finish in time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abandoned {
    /// Its name.
    pub method: Arc<str>,
    /// How long ago it was taken.
    pub ran_for: Duration,
}
