//! What an error answers its caller: whose call it was, whether it may have run, whether to try again, which error.

use oxlo_transport::{Target, error::is_caused_by, failure, settings::RemoteError};
use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};

use crate::{error::CallError, middleware::Held, remote::Remote, site::CallSite};

impl CallError {
    /// What was asked of whom.
    #[must_use]
    pub fn site(&self) -> &CallSite {
        match self {
            Self::InvalidTarget { site, .. }
            | Self::VersionCap { site, .. }
            | Self::Encode { site, .. }
            | Self::Config { site, .. }
            | Self::DeadlinePassed { site }
            | Self::TooLarge { site, .. }
            | Self::Refused { site, .. }
            | Self::Unreachable { site, .. }
            | Self::Blocked { site, .. }
            | Self::Undeliverable { site, .. }
            | Self::Rejected { site, .. }
            | Self::MessageRefused { site, .. }
            | Self::Topology { site, .. }
            | Self::TimedOut { site, .. }
            | Self::Unconfirmed { site, .. }
            | Self::ServerSilent { site, .. }
            | Self::ConnectionLost { site, .. }
            | Self::ReplyLost { site, .. }
            | Self::Closed { site, .. }
            | Self::RemoteError { site, .. }
            | Self::Decode { site, .. }
            | Self::MalformedReply { site, .. }
            | Self::Middleware { site, .. }
            | Self::Transport { site, .. } => site,
            Self::Remote(remote) => remote.site(),
        }
    }

    /// Name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.site().method()
    }

    /// Where the request was to go, with all that was prepared.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.site().target()
    }

    /// Whether the method may have run, or may still run. `false` is certain; `true` includes those that ran and failed.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::TimedOut { .. }
            | Self::Unconfirmed { .. }
            | Self::Rejected { .. }
            | Self::ServerSilent { .. }
            | Self::ConnectionLost { .. }
            | Self::ReplyLost { .. }
            | Self::Decode { .. }
            | Self::MalformedReply { .. } => true,
            Self::Remote(_) | Self::RemoteError { .. } => !self.is_refused(),
            Self::Closed { sent, .. } | Self::Middleware { sent, .. } => *sent,
            Self::Transport { error, .. } => error.may_have_run(),
            _ => false,
        }
    }

    /// Whether the same call may succeed later with nothing changed. Together with
    /// [`may_have_run`](Self::may_have_run) it is for the caller to know whether running twice does harm. A method that
    /// ran and failed is not retryable as far as oxlo can know; one that its server had no capacity for, or gave up on,
    /// is.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Blocked { .. }
            | Self::Undeliverable { .. }
            | Self::Rejected { .. }
            | Self::TimedOut { .. }
            | Self::Unconfirmed { .. }
            | Self::ServerSilent { .. }
            | Self::ConnectionLost { .. }
            | Self::ReplyLost { .. } => true,
            Self::Remote(_) | Self::RemoteError { .. } => {
                self.is_of_server(failure::is_overloaded) || self.is_of_server(failure::is_timed_out)
            }
            Self::Middleware { source, .. } => {
                is_caused_by::<Overloaded>(&**source)
                    || is_caused_by::<Elapsed>(&**source)
                    || is_caused_by::<Held>(&**source)
            }
            Self::MessageRefused { may_pass, .. } => *may_pass,
            Self::Refused { refusal, .. } => refusal.may_pass(),
            Self::Transport { error, .. } => error.is_retryable(),
            _ => false,
        }
    }

    /// Whether a server took the request and refused to run the method: it has no such method, not in this namespace or
    /// version, the arguments do not fit, or it is overloaded. The method did not run. See
    /// [`Failure::is_refusal`](oxlo_transport::Failure::is_refusal) for what can be told of Python's servers.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Remote(remote) => remote.failure().is_refusal(),
            Self::RemoteError { refused, .. } => *refused,
            _ => false,
        }
    }

    /// Whether the other side has no capacity at the moment, so that waiting before the next attempt helps: the
    /// server's load shedding, this client's own (a layer that sheds, or that let nothing through in time), or a broker
    /// that takes no messages ([`Blocked`](Self::Blocked)).
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        match self {
            Self::Remote(_) | Self::RemoteError { .. } => self.is_of_server(failure::is_overloaded),
            Self::Middleware { source, .. } => is_caused_by::<Overloaded>(&**source) || is_caused_by::<Held>(&**source),
            Self::Blocked { .. } => true,
            _ => false,
        }
    }

    /// Whether its failure is one that a server gives in place of the method.
    fn is_of_server(&self, is: fn(&str, &str) -> bool) -> bool {
        match self {
            Self::RemoteError { exc_type, module, .. } => is(module, exc_type),
            Self::Remote(remote) => is(remote.original_module(), remote.original_class()),
            _ => false,
        }
    }

    /// Whether a server took the request and none of its endpoints has the method.
    #[must_use]
    pub fn is_no_such_method(&self) -> bool {
        self.is_dispatch_refusal("NoSuchMethod")
    }

    /// Whether a server took the request and none of its endpoints has the namespace in this version.
    #[must_use]
    pub fn is_unsupported_version(&self) -> bool {
        self.is_dispatch_refusal("UnsupportedVersion")
    }

    fn is_dispatch_refusal(&self, class: &str) -> bool {
        const DISPATCHER: &str = "oslo_messaging.rpc.dispatcher";
        match self {
            Self::RemoteError { exc_type, module, .. } => &**exc_type == class && &**module == DISPATCHER,
            Self::Remote(remote) => remote.original_class() == class && remote.original_module() == DISPATCHER,
            _ => false,
        }
    }

    /// The method's failure, if its module is allowed.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Remote(remote) => Some(remote),
            _ => None,
        }
    }

    /// The method's failure as the Rust type that was registered for its class; `None` for every other error.
    #[must_use]
    pub fn downcast_ref<E: RemoteError>(&self) -> Option<&E> {
        self.remote()?.downcast_ref()
    }

    /// The method's failure as the Rust type that was registered for its class.
    ///
    /// # Errors
    ///
    /// The error itself, unchanged, if it is not an `E`.
    pub fn downcast<E: RemoteError>(self) -> Result<E, Self> {
        match self {
            Self::Remote(remote) => remote.downcast().map_err(Self::Remote),
            other => Err(other),
        }
    }

    /// The variant as a label for traces.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::InvalidTarget { .. } => "invalid_target",
            Self::VersionCap { .. } => "version_cap",
            Self::Encode { .. } => "encode",
            Self::Config { .. } => "config",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::TooLarge { .. } => "too_large",
            Self::Refused { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Blocked { .. } => "blocked",
            Self::Undeliverable { .. } => "undeliverable",
            Self::Rejected { .. } => "rejected",
            Self::MessageRefused { .. } => "message_refused",
            Self::Topology { .. } => "topology",
            Self::TimedOut { .. } => "timed_out",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::ServerSilent { .. } => "server_silent",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::ReplyLost { .. } => "reply_lost",
            Self::Closed { .. } => "closed",
            Self::Remote(_) => "remote",
            Self::RemoteError { .. } => "remote_error",
            Self::Decode { .. } => "decode",
            Self::MalformedReply { .. } => "malformed_reply",
            Self::Middleware { .. } => "middleware",
            Self::Transport { .. } => "transport",
        }
    }
}
