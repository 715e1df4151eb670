//! Answers to a caller's questions: did the method run, is a retry sensible, which error is it.

use std::borrow::Cow;

use oxlo_transport::{REMOTE_SUFFIX, RemoteError, Target, TransportError, is_caused_by};
use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};

use super::{
    CallError,
    to_failure::{CLIENT, EXCEPTIONS},
};
use crate::{middleware::Held, remote_failure::RemoteFailure, request_info::RequestInfo};

impl CallError {
    /// The method and its target.
    #[must_use]
    pub fn request(&self) -> &RequestInfo {
        match self {
            Self::VersionCap { request, .. }
            | Self::Encode { request, .. }
            | Self::DeadlinePassed { request }
            | Self::Transport { request, .. }
            | Self::Middleware { request, .. }
            | Self::Remote { request, .. }
            | Self::Decode { request, .. } => request,
        }
    }

    /// Name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.request().method()
    }

    /// The target, with the overrides of a prepared client.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.request().target()
    }

    /// Returns `true` if the method may have run, or may still run. `false` is certain.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::VersionCap { .. } | Self::Encode { .. } | Self::DeadlinePassed { .. } => false,
            Self::Transport { error, .. } => error.may_have_run(),
            Self::Middleware { sent, .. } => *sent,
            Self::Remote { failure, .. } => !failure.failure().is_refusal(),
            Self::Decode { .. } => true,
        }
    }

    /// Returns `true` if the same call may succeed later with nothing changed.
    ///
    /// If the method [may have run](Self::may_have_run) too, a retry may run it twice. A method that ran and failed is not
    /// retryable, unless its server was overloaded or gave up on it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::VersionCap { .. } | Self::Encode { .. } | Self::DeadlinePassed { .. } | Self::Decode { .. } => false,
            Self::Transport { error, .. } => error.is_retryable(),
            Self::Middleware { source, .. } => self.is_overloaded() || is_caused_by::<Elapsed>(&**source),
            Self::Remote { failure, .. } => failure.failure().is_overloaded() || failure.failure().is_timed_out(),
        }
    }

    /// Returns `true` if the other side has no capacity at the moment, so that waiting before a retry helps: the server
    /// sheds load, a layer of this client does or held the request for too long, or the broker blocks publishers.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        match self {
            Self::VersionCap { .. } | Self::Encode { .. } | Self::DeadlinePassed { .. } | Self::Decode { .. } => false,
            Self::Transport { error, .. } => error.is_overloaded(),
            Self::Middleware { source, .. } => is_caused_by::<Overloaded>(&**source) || is_caused_by::<Held>(&**source),
            Self::Remote { failure, .. } => failure.failure().is_overloaded(),
        }
    }

    /// Returns `true` if a server received the request and refused to run the method: the method, its namespace or its
    /// version is unknown, the arguments do not fit, or the server is overloaded. The method did not run.
    ///
    /// See [`Failure::is_refusal`](oxlo_transport::Failure::is_refusal) for what can be told of Python's servers.
    #[must_use]
    pub fn is_refused_by_server(&self) -> bool {
        self.remote_failure().is_some_and(|remote| remote.failure().is_refusal())
    }

    /// Returns `true` if a server received the request and has no such method.
    #[must_use]
    pub fn is_no_such_method(&self) -> bool {
        self.remote_failure().is_some_and(|remote| remote.failure().is_no_such_method())
    }

    /// Returns `true` if a server received the request and has no endpoint of this namespace and version.
    #[must_use]
    pub fn is_unsupported_version(&self) -> bool {
        self.remote_failure().is_some_and(|remote| remote.failure().is_unsupported_version())
    }

    /// The transport's error, if this is one.
    #[must_use]
    pub fn transport_error(&self) -> Option<&TransportError> {
        match self {
            Self::Transport { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The failure that the server answered with, if this is one.
    #[must_use]
    pub fn remote_failure(&self) -> Option<&RemoteFailure> {
        match self {
            Self::Remote { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// The server's failure as the type that is registered for its class. `None` for any other error.
    #[must_use]
    pub fn downcast_ref<E: RemoteError>(&self) -> Option<&E> {
        self.remote_failure()?.downcast_ref()
    }

    /// The server's failure as the type that is registered for its class, by value.
    ///
    /// # Errors
    ///
    /// Returns the error unchanged if it is not an `E`.
    pub fn downcast<E: RemoteError>(self) -> Result<E, Self> {
        match self {
            Self::Remote { request, failure } => {
                failure.downcast().map_err(|failure| Self::Remote { request, failure })
            }
            other => Err(other),
        }
    }

    /// The error as a label of metrics and an attribute of spans, such as `version_cap` or `timed_out`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::VersionCap { .. } => "version_cap",
            Self::Encode { .. } => "encode",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::Transport { error, .. } => error.label(),
            Self::Middleware { .. } => "middleware",
            Self::Remote { failure, .. } if failure.is_allowed() => "remote",
            Self::Remote { .. } => "remote_error",
            Self::Decode { .. } => "decode",
        }
    }

    /// Module and class of the exception that oslo.messaging raises in this case.
    ///
    /// A failure of an allowed module is `nova.exception_Remote` and `NotFound_Remote`; of `builtins` it is the class
    /// itself, which Python cannot rename.
    #[must_use]
    pub fn oslo_exception(&self) -> (Cow<'_, str>, Cow<'_, str>) {
        let (module, class) = match self {
            Self::Remote { failure, .. } if failure.is_allowed() => {
                let (module, class) = (failure.module(), failure.class());
                if module == "builtins" {
                    (module, class)
                } else {
                    return (format!("{module}{REMOTE_SUFFIX}").into(), format!("{class}{REMOTE_SUFFIX}").into());
                }
            }
            Self::Remote { .. } => (CLIENT, "RemoteError"),
            Self::VersionCap { .. } => (CLIENT, "RPCVersionCapError"),
            Self::Encode { .. } | Self::Decode { .. } => ("builtins", "ValueError"),
            Self::DeadlinePassed { .. } => (EXCEPTIONS, "MessagingTimeout"),
            Self::Middleware { .. } => (EXCEPTIONS, "MessageDeliveryFailure"),
            Self::Transport { error, .. } => error.oslo_exception(),
        };
        (module.into(), class.into())
    }
}
