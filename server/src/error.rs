//! How building and serving fail.

use std::sync::Arc;

use oxlo_transport::{TransportError, version::VersionError};

use crate::report::ServeReport;

/// A server that cannot be built. Nothing was subscribed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is nothing to serve.
    #[error("the server has no endpoint; add one with `.endpoint(Endpoint::new(\"1.0\").method(..))`")]
    NoEndpoint,
    /// The target names no topic or no server.
    #[error("the server cannot listen")]
    Target(#[source] TransportError),
    /// An endpoint's version does not parse.
    #[error("{endpoint}: its version cannot be used")]
    Version {
        /// Namespace and version of the endpoint.
        endpoint: String,
        /// What is wrong with it.
        source: VersionError,
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

/// Serving that could not begin, or ended by itself.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The server cannot be built.
    #[error("the server cannot be built")]
    Build(#[from] BuildError),
    /// The broker could not be listened on.
    #[error("listening on {target} failed")]
    Listen {
        /// Topic and server.
        target: String,
        /// Why.
        source: TransportError,
    },
    /// The listener failed for good. What ran was finished as at a graceful stop.
    #[error("receiving on {target} failed")]
    Receive {
        /// Topic and server.
        target: String,
        /// Why.
        source: TransportError,
        /// What was done until then.
        report: Box<ServeReport>,
    },
    /// The signals that end the process cannot be listened to.
    #[error("the signals that end the process cannot be listened to")]
    Signals {
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The runtime shut down before the server ended.
    #[error("the server's task was cancelled: its runtime shut down")]
    Cancelled,
}
