//! The errors of listening.

use std::{error::Error, fmt, io, sync::Arc};

use oxlo_transport::TransportError;

use super::report::ListenReport;

/// Why listening could not start, or ended by itself. `Display` prints what failed and why, `source()` is the cause behind
/// that, and `Debug` prints the whole chain on one line.
#[derive(Clone)]
#[non_exhaustive]
pub enum ListenError {
    /// The listener has no handler.
    NoHandler,
    /// An option has an invalid value.
    Option {
        /// Name of the option.
        option: &'static str,
        /// Why the value is invalid, and what to do.
        reason: String,
    },
    /// The subscription failed.
    Listen {
        /// The topics.
        on: String,
        /// Why.
        source: TransportError,
    },
    /// The listener failed permanently. Running handlers were drained as at a graceful stop.
    Receive {
        /// The topics.
        on: String,
        /// Why.
        source: TransportError,
        /// What was done before.
        report: Box<ListenReport>,
    },
    /// The signal handlers cannot be installed.
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
            Self::Signals { error } => write!(f, "cannot install the handlers of SIGINT and SIGTERM: {error}"),
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

    pub(crate) fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::Option { option, reason: reason.into() }
    }
}

oxlo_transport::debug_as_chain!(ListenError);
