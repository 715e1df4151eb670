//! How listening is refused, and how it ended.

use std::{error::Error, fmt, io, sync::Arc};

use oxlo_transport::TransportError;

/// What a listener did until it ended. Each notification counts once for each time that it was handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenReport {
    /// Notifications that handlers took.
    pub handled: u64,
    /// Those that were put back, because a handler asked for it.
    pub requeued: u64,
    /// Those that a handler failed on; they were put back where that is allowed, and are done otherwise.
    pub failed: u64,
    /// Those that a handler did not take although they had come again as often as they may; they were rejected.
    pub rejected: u64,
    /// Those that fitted no handler that wanted them; they are done.
    pub malformed: u64,
    /// Those that no endpoint wanted, by priority or filter; they are done, as in oslo.
    pub unwanted: u64,
    /// Those whose handlers did not finish within the grace; they went back.
    pub abandoned: u64,
}

/// What became of one notification.
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
    fn as_str(self) -> &'static str {
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
        metrics::counter!("oxlo_notifications_total", "outcome" => outcome.as_str()).increment(1);
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

impl fmt::Display for ListenReport {
    /// What is not zero: `12 handled, 1 failed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} handled", self.handled)?;
        let others = [
            (self.requeued, "requeued"),
            (self.failed, "failed"),
            (self.malformed, "malformed"),
            (self.unwanted, "unwanted"),
            (self.abandoned, "abandoned"),
        ];
        others.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

/// Listening that could not begin, or ended by itself. `Display` says what failed and why; what lies behind is in
/// `source()`, and `Debug` prints all of it on one line.
#[derive(Clone)]
#[non_exhaustive]
pub enum ListenError {
    /// There is nothing that could handle a notification.
    NoHandler,
    /// An option has a value that cannot be used.
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with its value, and what to do.
        reason: String,
    },
    /// The broker could not be listened on.
    Listen {
        /// The topics.
        on: String,
        /// Why.
        source: TransportError,
    },
    /// The listener failed for good. What ran was finished as at a graceful stop.
    Receive {
        /// The topics.
        on: String,
        /// Why.
        source: TransportError,
        /// What was done until then.
        report: Box<ListenReport>,
    },
    /// The signals that end the process cannot be listened to.
    Signals {
        /// Why.
        error: Arc<io::Error>,
    },
    /// The runtime shut down before the listener ended.
    Cancelled,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHandler => {
                f.write_str("the listener has no handler; add an endpoint with at least one, such as `.info(..)`")
            }
            Self::Option { option, reason } => write!(f, "option `{option}`: {reason}"),
            Self::Listen { on, source } => write!(f, "listening for notifications on {on} failed: {source}"),
            Self::Receive { on, source, .. } => write!(f, "receiving notifications on {on} failed: {source}"),
            Self::Signals { error } => write!(f, "cannot listen to the signals that end the process: {error}"),
            Self::Cancelled => f.write_str("the listener's task was cancelled: its runtime shut down"),
        }
    }
}

impl Error for ListenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen { source, .. } | Self::Receive { source, .. } => source.source(),
            Self::NoHandler | Self::Option { .. } | Self::Signals { .. } | Self::Cancelled => None,
        }
    }
}

impl ListenError {
    pub(crate) fn signals(error: io::Error) -> Self {
        Self::Signals { error: Arc::new(error) }
    }
}

oxlo_transport::debug_as_chain!(ListenError);
