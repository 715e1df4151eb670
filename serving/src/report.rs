//! The facts of a finished run.

use std::{fmt, sync::Arc, time::Duration};

use oxlo_transport::{TransportError, text};

/// Why a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// It was stopped: by its handle, its shutdown future, or a signal.
    #[default]
    Stopped,
    /// It has taken as many requests as `max_requests` allows.
    MaxRequests,
    /// Its deadline has passed.
    Deadline,
    /// Its transport was closed, or its listener failed.
    Closed,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::MaxRequests => "max_requests reached",
            Self::Deadline => "deadline reached",
            Self::Closed => "transport closed or failed",
        })
    }
}

/// What the loop itself knows of a finished run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Summary {
    /// Why the run ended.
    pub reason: StopReason,
    /// Jobs that were taken from the listener.
    pub taken: u64,
    /// What did not finish within the grace period.
    pub abandoned: Vec<AbandonedMessages>,
}

/// A job that did not finish within the grace period.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AbandonedMessages {
    /// The job's name.
    pub name: Arc<str>,
    /// How many of its messages were abandoned.
    pub count: usize,
    /// Time since the job was taken.
    pub ran_for: Duration,
}

impl fmt::Display for AbandonedMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` for {:?}", text::name(&self.name), self.ran_for)
    }
}

/// A run whose listener failed permanently. Running messages were drained as at a graceful stop.
#[derive(Debug)]
pub struct Failed<R> {
    /// Why it failed.
    pub error: TransportError,
    /// What was done before.
    pub report: Box<R>,
}
