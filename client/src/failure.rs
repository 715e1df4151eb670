//! What a server tells its own caller when one of its calls failed and it lets that through.

use oxlo_transport::{Failure, failure};
use serde_json::Value;

use crate::{error::CallError, remote::Remote};

const EXCEPTIONS: &str = "oslo_messaging.exceptions";
const CLIENT: &str = "oslo_messaging.rpc.client";

impl CallError {
    /// This error as the failure that a server sends to its own caller when it lets the error through.
    ///
    /// A [`Remote`](Self::Remote) failure goes on as it came, without the suffix `_Remote`, so that the next caller
    /// gets the original class. A [refusal](Self::is_refused) of the server that was called is not one of this server,
    /// whose method ran: of a class of oslo's dispatcher it becomes a `RemoteError`. Everything else becomes what a Python
    /// service would send:
    ///
    /// | error | class |
    /// |---|---|
    /// | `RemoteError` | `oslo_messaging.rpc.client.RemoteError`: it must not look like this server's own `NoSuchMethod` |
    /// | `TimedOut`, `ServerSilent`, `ReplyLost`, `DeadlinePassed` | `oslo_messaging.exceptions.MessagingTimeout` |
    /// | `Undeliverable` | `oslo_messaging.exceptions.MessageUndeliverable` |
    /// | `InvalidTarget` | `oslo_messaging.exceptions.InvalidTarget` |
    /// | `VersionCap` | `oslo_messaging.rpc.client.RPCVersionCapError` |
    /// | `Config` | `oslo_messaging.exceptions.ConfigurationError` |
    /// | `Encode`, `Decode`, `MalformedReply` | `builtins.ValueError` |
    /// | all others | `oslo_messaging.exceptions.MessageDeliveryFailure` |
    ///
    /// The text is this error's `Display`; the arguments are those that the Python class takes, so that a caller who
    /// allows its module can re-create it.
    #[must_use]
    pub fn to_failure(&self) -> Failure {
        let text = self.to_string();
        match self {
            Self::Remote(remote) if of_server(remote) || self.is_no_such_method() || self.is_unsupported_version() => {
                passed_on(text, remote.original_class(), remote.message(), remote.traceback())
            }
            Self::Remote(remote) => no_refusal(remote.failure().clone()).without_remote_suffix(),
            Self::RemoteError { exc_type, value, traceback, .. } => passed_on(text, exc_type, value, traceback),
            Self::TimedOut { .. }
            | Self::ServerSilent { .. }
            | Self::ReplyLost { .. }
            | Self::DeadlinePassed { .. } => Failure::new(EXCEPTIONS, "MessagingTimeout", text),
            Self::Undeliverable { exchange, routing_key, .. } => Failure::new(EXCEPTIONS, "MessageUndeliverable", text)
                .with_args([Value::Null, Value::from(&**exchange), Value::from(&**routing_key), Value::Null]),
            Self::InvalidTarget { site, reason } => Failure::new(EXCEPTIONS, "InvalidTarget", text)
                .with_args([Value::from(&**reason), Value::from(site.target().to_string())]),
            Self::VersionCap { version, cap, .. } => Failure::new(CLIENT, "RPCVersionCapError", text)
                .with_args([version.as_deref().map_or(Value::Null, Value::from), Value::from(&**cap)]),
            Self::Config { .. } => Failure::new(EXCEPTIONS, "ConfigurationError", text),
            Self::Encode { .. } | Self::Decode { .. } | Self::MalformedReply { .. } => {
                Failure::builtin("ValueError", text)
            }
            _ => Failure::new(EXCEPTIONS, "MessageDeliveryFailure", text),
        }
    }
}

/// The called server gave it in place of its method. Passed on as it is, it would say that of this server's own.
fn of_server(remote: &Remote) -> bool {
    let (module, class) = (remote.original_module(), remote.original_class());
    failure::is_overloaded(module, class) || failure::is_timed_out(module, class)
}

impl From<CallError> for Failure {
    /// As [`CallError::to_failure`].
    fn from(error: CallError) -> Self {
        match error {
            CallError::Remote(remote) if !of_server(&remote) && !remote.failure().is_refusal() => {
                remote.into_failure().without_remote_suffix()
            }
            other => other.to_failure(),
        }
    }
}

/// The method of this server ran, whatever the one that it called did.
fn no_refusal(failure: Failure) -> Failure {
    let failure = failure.with_refused(false);
    // The traceback says that Python could not call its method.
    if failure.is_refusal() { failure.with_traceback([]) } else { failure }
}

/// As Python passes on an error of a module that it does not know.
fn passed_on(text: String, class: &str, message: &str, traceback: &[String]) -> Failure {
    Failure::new(CLIENT, "RemoteError", text)
        .with_args([Value::from(class), Value::from(message), traceback.iter().map(String::as_str).collect()])
        .with_traceback(traceback.iter().cloned())
}
