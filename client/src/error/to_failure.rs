//! The failure that a server sends to its own caller when a handler lets the error of a call through.

use oxlo_transport::{Failure, TransportError};
use serde_json::Value;

use super::CallError;
use crate::remote_failure::RemoteFailure;

pub(super) const EXCEPTIONS: &str = "oslo_messaging.exceptions";
pub(super) const CLIENT: &str = "oslo_messaging.rpc.client";

impl CallError {
    /// The failure that a server sends to its own caller when a handler lets this error through.
    ///
    /// A [`Remote`](Self::Remote) failure of an allowed module is passed on as it was received, so that the next caller
    /// gets the original class. One of any other module, and a server's refusal that would look like one of this server,
    /// becomes oslo's `RemoteError`. Every other error becomes its [`oslo_exception`](Self::oslo_exception).
    ///
    /// The message is this error's `Display`. The arguments are those of the Python class, so that a caller that allows
    /// its module can re-create it.
    #[must_use]
    pub fn to_failure(&self) -> Failure {
        if let Self::Remote { failure, .. } = self {
            return if is_passed_on(failure) {
                without_refusal(failure.failure().clone()).without_remote_suffix()
            } else {
                let traceback = failure.traceback();
                let args = [
                    Value::from(failure.class()),
                    Value::from(failure.message()),
                    traceback.iter().map(String::as_str).collect(),
                ];
                Failure::new(CLIENT, "RemoteError", self.to_string())
                    .with_args(args)
                    .with_traceback(traceback.iter().cloned())
            };
        }
        let (module, class) = self.oslo_exception();
        let failure = Failure::new(module, class, self.to_string());
        match self {
            Self::VersionCap { version, cap, .. } => {
                failure.with_args([version.as_deref().map_or(Value::Null, Value::from), Value::from(&**cap)])
            }
            Self::Transport { request, error } => match error {
                TransportError::InvalidTarget { reason } => {
                    failure.with_args([Value::from(&**reason), Value::from(request.target().to_string())])
                }
                TransportError::Undeliverable { exchange, routing_key } => {
                    failure.with_args([Value::Null, Value::from(&**exchange), Value::from(&**routing_key), Value::Null])
                }
                TransportError::InvalidUrl(_) | TransportError::UnknownScheme { .. } => {
                    failure.with_args([Value::Null, Value::from(error.to_string())])
                }
                _ => failure,
            },
            _ => failure,
        }
    }
}

impl From<CallError> for Failure {
    /// Converts as [`CallError::to_failure`].
    fn from(error: CallError) -> Self {
        match error {
            CallError::Remote { failure, .. } if is_passed_on(&failure) => {
                without_refusal(failure.into_failure()).without_remote_suffix()
            }
            other => other.to_failure(),
        }
    }
}

/// Whether the failure keeps its class. What the called server says in place of its method would be read as said by this
/// server in place of its own.
fn is_passed_on(remote: &RemoteFailure) -> bool {
    let failure = remote.failure();
    let of_server = failure.is_overloaded()
        || failure.is_timed_out()
        || failure.is_no_such_method()
        || failure.is_unsupported_version();
    remote.is_allowed() && !of_server
}

/// The method of this server ran, even if the called server refused to run its own.
fn without_refusal(failure: Failure) -> Failure {
    let failure = failure.with_refused(false);
    // The traceback says that Python could not call its method.
    if failure.is_refusal() { failure.with_traceback([]) } else { failure }
}
