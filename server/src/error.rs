//! The errors of building and serving.

use std::{error::Error, fmt, sync::Arc};

use oxlo_transport::{TransportError, version::VersionError};

use crate::report::ServeReport;

/// Why a server cannot be built.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The server has no endpoint.
    #[error("the server has no endpoint; add one with `.endpoint(Endpoint::new(\"1.0\").method(..))`")]
    NoEndpoint,
    /// The target has no topic or no server, or is a fanout target.
    #[error("cannot listen: {0}")]
    Target(TransportError),
    /// Another server of this process serves the topic under this name, on the same transport.
    #[error(
        "another server of this process serves {target}: give each its own name, or give all endpoints to one server"
    )]
    NameTaken {
        /// Topic and server.
        target: String,
    },
    /// An endpoint's version is malformed.
    #[error("{endpoint}: {error}")]
    Version {
        /// Namespace and version of the endpoint.
        endpoint: String,
        /// Why it is malformed.
        error: VersionError,
    },
    /// A method can never be reached: an earlier endpoint serves the same method in the same namespaces, for all of its
    /// versions.
    #[error("{endpoint}: method `{method}` is never reached, {by} serves it; reorder the endpoints, or remove one")]
    Hidden {
        /// Namespace and version of the endpoint.
        endpoint: String,
        /// The method.
        method: Arc<str>,
        /// Namespace and version of the endpoint that hides it.
        by: String,
    },
    /// An endpoint has two methods of one name.
    #[error("{endpoint}: method `{method}` is registered twice")]
    DuplicateMethod {
        /// Namespace and version of the endpoint.
        endpoint: String,
        /// The name.
        method: Arc<str>,
    },
    /// An endpoint has a method without a name.
    #[error("{endpoint}: a method has an empty name")]
    UnnamedMethod {
        /// Namespace and version of the endpoint.
        endpoint: String,
    },
    /// A handler takes a state that its endpoint does not have.
    #[error("{endpoint}: method `{method}` takes State<{state}>; add it to the endpoint with `.with_state(..)`")]
    MissingState {
        /// Namespace and version of the endpoint.
        endpoint: String,
        /// The method.
        method: Arc<str>,
        /// Name of the type.
        state: &'static str,
    },
    /// An option has an invalid value.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Why the value is invalid, and what to do.
        reason: String,
    },
}

/// Why serving could not start, or ended by itself. `Display` prints what failed and why, `source()` is the cause behind
/// that, and `Debug` prints the whole chain on one line.
#[derive(Clone)]
#[non_exhaustive]
pub enum ServeError {
    /// The server cannot be built.
    Build(BuildError),
    /// The subscription failed.
    Listen {
        /// Topic and server.
        target: String,
        /// Why.
        source: TransportError,
    },
    /// The listener failed permanently. Running requests were drained as at a graceful stop.
    Receive {
        /// Topic and server.
        target: String,
        /// Why.
        source: TransportError,
        /// What was done before.
        report: Box<ServeReport>,
    },
    /// The signal handlers cannot be installed.
    Signals {
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The runtime shut down before the server ended.
    Cancelled,
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Listen { target, source } => write!(f, "listening on {target} failed: {source}"),
            Self::Receive { target, source, .. } => write!(f, "receiving on {target} failed: {source}"),
            Self::Signals { source } => {
                write!(f, "cannot install the handlers of SIGINT and SIGTERM: {source}")
            }
            Self::Cancelled => f.write_str("the server's task was cancelled: its runtime shut down"),
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Build(error) => error.source(),
            Self::Listen { source, .. } | Self::Receive { source, .. } => source.source(),
            Self::Signals { .. } | Self::Cancelled => None,
        }
    }
}

impl From<BuildError> for ServeError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

oxlo_transport::debug_as_chain!(BuildError, ServeError);
