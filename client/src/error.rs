//! Errors of calls and casts.

use std::{any::type_name, error::Error, fmt, sync::Arc};

use oxlo_transport::{Cause, TransportError, json::JsonError, text::line};

use crate::{remote_failure::RemoteFailure, request_info::RequestInfo};

mod answers;
mod to_failure;

/// Error of a call or a cast: the method and its target, and what went wrong.
///
/// Each variant holds the [method and target](Self::request). Errors of the transport are carried in
/// [`Transport`](Self::Transport) as they are. The methods answer what a caller asks next, also for variants that are
/// added later:
///
/// | question | method |
/// |---|---|
/// | may the method have run? | [`may_have_run`](Self::may_have_run) |
/// | may the same call succeed later? | [`is_retryable`](Self::is_retryable) |
/// | is the other side out of capacity? | [`is_overloaded`](Self::is_overloaded) |
/// | did a server refuse to run the method? | [`is_refused_by_server`](Self::is_refused_by_server) |
/// | is the method unknown to the server? | [`is_no_such_method`](Self::is_no_such_method), [`is_unsupported_version`](Self::is_unsupported_version) |
/// | is it an error of a type that I registered? | [`downcast_ref`](Self::downcast_ref) |
///
/// `Display` is one line: the method and target, what is wrong, and what to do. The cause is in `source()`, and `Debug`
/// prints the error with its causes on one line, so that a `main` that returns it prints everything. Neither contains
/// arguments, results or passwords.
///
/// In a server's handler `?` passes the error on: it [becomes](Self::to_failure) the failure that a Python service would
/// send.
///
/// # All errors
///
/// Where a retry is sensible but the method may have run, a retry may run it twice. The last column is the exception of
/// oslo.messaging for the same case, or Python's built-in one; see [`oslo_exception`](Self::oslo_exception).
///
#[doc = include_str!("error/table.md")]
///
/// # Examples
///
/// ```
/// use oxlo_client::{CallError, RPCClient};
/// use oxlo_transport::{Context, Target, TransportError};
/// # use oxlo_driver_memory::MemoryDriver;
/// # use oxlo_transport::Registry;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = Registry::new().with(MemoryDriver).transport("memory://errors").connect().await?;
///
/// let client = RPCClient::new(transport, Target::topic("nobody"));
/// let error = client.call::<i64>(&Context::new(), "add", ()).await.unwrap_err();
/// assert_eq!(error.to_string(), "call `add` on nobody: nobody listens on nobody (exchange `openstack`)");
/// assert!(!error.may_have_run());
/// match error {
///     CallError::Remote { failure, .. } => eprintln!("{} {:?}", failure.class(), failure.traceback()),
///     CallError::Transport { error: TransportError::Undeliverable { .. }, .. } => { /* call another service */ }
///     other if other.is_retryable() && !other.may_have_run() => { /* try again */ }
///     other => return Err(other.into()),
/// }
/// # Ok(()) }
/// ```
#[non_exhaustive]
pub enum CallError {
    // Nothing was sent.
    /// The version is missing, above the version cap, or of another major number.
    VersionCap {
        /// The method and its target.
        request: RequestInfo,
        /// The version of the target.
        version: Option<Arc<str>>,
        /// The version cap.
        cap: Arc<str>,
    },
    /// The arguments cannot be encoded: they are not a JSON object, or contain a float that is not finite.
    Encode {
        /// The method and its target.
        request: RequestInfo,
        /// What is wrong with them, and where.
        reason: Box<str>,
    },
    /// The deadline that bounds the call has passed, see [`within`](crate::RPCClient::within).
    DeadlinePassed {
        /// The method and its target.
        request: RequestInfo,
    },

    // Any phase.
    /// The transport failed; its error tells the phase.
    Transport {
        /// The method and its target.
        request: RequestInfo,
        /// The transport's error.
        error: TransportError,
    },
    /// A layer of this client failed: it refused the request, or gave up on it.
    Middleware {
        /// The method and its target.
        request: RequestInfo,
        /// Whether the request was handed to the transport, so that the method may have run.
        sent: bool,
        /// The layer's error.
        source: Cause,
    },

    // The server answered.
    /// The server answered with a failure: the method ran and failed, or the server
    /// [refused](CallError::is_refused_by_server) to run it.
    Remote {
        /// The method and its target.
        request: RequestInfo,
        /// The failure.
        failure: RemoteFailure,
    },
    /// The result cannot be decoded as the type that was asked for.
    Decode {
        /// The method and its target.
        request: RequestInfo,
        /// Name of the Rust type.
        expected: &'static str,
        /// Where in the result, for example `disks[3].size`; empty for the result as a whole.
        path: Box<str>,
        /// What was expected there and what was found, such as `expected an integer from 0 to 255, got a string`.
        reason: Box<str>,
    },
}

oxlo_transport::debug_as_chain!(CallError);

impl CallError {
    pub(crate) fn transport(request: RequestInfo, error: TransportError) -> Self {
        Self::Transport { request, error }
    }

    /// The result cannot be decoded as an `R`.
    pub(crate) fn decode<R>(request: RequestInfo, error: &JsonError) -> Self {
        let reason = if error.is_data() { error.kind().to_string() } else { error.to_string() };
        Self::Decode { request, expected: type_name::<R>(), path: error.path().into(), reason: reason.into() }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VersionCap { request, .. }
            | Self::Transport { request, error: TransportError::InvalidTarget { .. } } => {
                // The rest of the text names the version.
                request.without_version().fmt(f)?;
            }
            other => other.request().fmt(f)?,
        }
        f.write_str(": ")?;
        match self {
            Self::VersionCap { version: Some(version), cap, .. } => {
                write!(f, "version {version} does not fit the version cap {cap} (same major number, and not above it)")
            }
            Self::VersionCap { version: None, cap, .. } => {
                write!(f, "the version cap {cap} needs a version; set one on the target or with prepare().version(..)")
            }
            Self::Encode { reason, .. } => write!(f, "the arguments {}", line(reason)),
            Self::DeadlinePassed { .. } => {
                f.write_str("the deadline of the caller that it is made for has passed; nothing was sent")
            }
            Self::Transport { error, .. } => error.fmt(f),
            Self::Middleware { sent: true, .. } => f.write_str("a layer gave up on it"),
            Self::Middleware { sent: false, .. } => f.write_str("a layer refused it; nothing was sent"),
            Self::Remote { failure, .. } => f.write_str(&failure.summary()),
            Self::Decode { expected, path, reason, .. } => {
                write!(f, "cannot decode the result as `{expected}`")?;
                if !path.is_empty() {
                    write!(f, " at `{}`", line(path))?;
                }
                write!(f, ": {}", line(reason))
            }
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its own text is in this error's.
            Self::Transport { error, .. } => error.source(),
            Self::Middleware { source, .. } => Some(&**source),
            _ => None,
        }
    }
}
