//! How building and serving fail.

use std::{error::Error, fmt, sync::Arc};

use oxlo_transport::{TransportError, version::VersionError};

use crate::report::ServeReport;

/// A server that cannot be built. Nothing was subscribed.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is nothing to serve.
    #[error("the server has no endpoint; add one with `.endpoint(Endpoint::new(\"1.0\").method(..))`")]
    NoEndpoint,
    /// The target names no topic or no server, or is one for fanout.
    #[error("the server cannot listen: {0}")]
    Target(TransportError),
    /// Another server of this process serves the topic under this name, on the same transport.
    #[error("another server of this process serves {target}: give each a name of its own, or one server all endpoints")]
    NameTaken {
        /// Topic and server.
        target: String,
    },
    /// An endpoint's version does not parse.
    #[error("{endpoint}: {error}")]
    Version {
        /// Namespace and version of the endpoint.
        endpoint: String,
        /// What is wrong with it.
        error: VersionError,
    },
    /// A method of an endpoint can never be reached: an endpoint that is asked before serves the same method in the same
    /// namespaces, for all of its versions.
    #[error("{endpoint}: method `{method}` is never reached, {by} serves it; change their order, or leave one out")]
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
    /// A handler takes something that its endpoint was not given.
    #[error("{endpoint}: method `{method}` takes State<{state}>; give the endpoint one by `.with_state(..)`")]
    MissingState {
        /// Namespace and version of the endpoint.
        endpoint: String,
        /// The method.
        method: Arc<str>,
        /// Name of the type.
        state: &'static str,
    },
    /// An option has a value that cannot be used.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with its value, and what to do.
        reason: String,
    },
}

/// Serving that could not begin, or ended by itself. `Display` says what failed and why; what lies behind is in
/// `source()`, and `Debug` prints all of it on one line.
#[derive(Clone)]
#[non_exhaustive]
pub enum ServeError {
    /// The server cannot be built.
    Build(BuildError),
    /// The broker could not be listened on.
    Listen {
        /// Topic and server.
        target: String,
        /// Why.
        source: TransportError,
    },
    /// The listener failed for good. What ran was finished as at a graceful stop.
    Receive {
        /// Topic and server.
        target: String,
        /// Why.
        source: TransportError,
        /// What was done until then.
        report: Box<ServeReport>,
    },
    /// The signals that end the process cannot be listened to.
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
                write!(f, "the signals that end the process cannot be listened to: {source}")
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
