//! How sending, calling and listening fail.

use std::{error::Error, sync::Arc, time::Duration};

use crate::{
    text::line,
    url::{OptionError, UrlError},
};

/// The cause of a failure, shared because one lost connection ends many calls.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Whether an error is an `E`, or has one among its causes.
#[must_use]
pub fn is_caused_by<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Why a broker refuses a connection or a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// User, password or login method.
    Credentials,
    /// The virtual host does not exist, or the user may not enter it.
    VirtualHost,
    /// The certificate, the host name in it, or the peer speaks no TLS.
    Tls,
    /// The peer speaks another protocol.
    Protocol,
    /// The user may not do this here.
    Permission,
    /// As many connections are open as the user, the virtual host or the node may have. It passes when one is closed.
    ConnectionLimit,
    /// As many channels are open as the connection, the user or the node may have. It passes when one is closed.
    ChannelLimit,
    /// The virtual host is down, or the node starts, stops or is being drained. It passes.
    Unavailable,
}

impl Refusal {
    /// Whether the broker may accept later with nothing changed here. Connecting goes on after such a refusal as if the
    /// broker had not been reached; after any other one the first connection fails at once.
    #[must_use]
    pub fn may_pass(self) -> bool {
        matches!(self, Self::ConnectionLimit | Self::ChannelLimit | Self::Unavailable)
    }

    /// What was refused, for messages: `the connection` or `a channel`.
    #[must_use]
    pub fn object(self) -> &'static str {
        if self == Self::ChannelLimit { "a channel" } else { "the connection" }
    }
}

/// How sending, calling and listening fail. The variants go by phase, because a caller's next question is whether the
/// method [may have run](Self::may_have_run).
///
/// `Display` states one fact; what caused it is in `source()`, and `Debug` prints both on one line. No message holds a
/// password or a payload.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The target cannot be used for this. Nothing was sent.
    #[error("the target cannot be used: {}", line(.reason))]
    InvalidTarget {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The URL cannot be read. Nothing was sent.
    #[error(transparent)]
    InvalidUrl(#[from] UrlError),
    /// No driver is there for the URL's scheme. Nothing was sent.
    #[error("no driver for scheme `{}`: {}", line(.scheme), line(.hint))]
    UnknownScheme {
        /// The scheme.
        scheme: String,
        /// What to use instead, the known schemes, and the cargo feature that would add this one.
        hint: String,
    },
    /// The URL has an option that is unknown, or whose value has the wrong form. Nothing was sent.
    #[error(transparent)]
    InvalidOption(#[from] OptionError),
    /// An option has a value that cannot be used here, or that contradicts another. Nothing was sent.
    #[error("option `{}`: {}", line(.option), line(.reason))]
    Config {
        /// Name of the option.
        option: String,
        /// What is wrong with its value, and what to do.
        reason: String,
    },
    /// The driver cannot do this. Nothing was sent.
    #[error("this driver does not support it: {}", line(.what))]
    Unsupported {
        /// What was asked for.
        what: String,
    },
    /// The broker is there and refuses us. Whether waiting helps is what [`Refusal::may_pass`] says. Nothing was sent.
    #[error("{} refused {}: {}", line(.broker), .refusal.object(), line(.reason))]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Host and port.
        broker: String,
        /// Its reason, and what to do.
        reason: String,
    },
    /// No broker could be reached in time. Nothing was sent.
    #[error("no connection to {} within {waited:?}", line(.broker))]
    Unreachable {
        /// The hosts that were tried.
        broker: String,
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        #[source]
        source: Option<Cause>,
    },
    /// The broker takes no messages at the moment (memory or disk alarm), and did not recover in time. Nothing was sent.
    #[error("the broker accepted no messages for {waited:?}: {}", line(.reason))]
    Blocked {
        /// The broker's reason.
        reason: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The message is larger than the limit. Nothing was sent.
    #[error("the message has {size} bytes, the limit is {limit} (setting max_message_size)")]
    TooLarge {
        /// Bytes of body.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The transport or the listener was closed. Nothing was sent.
    #[error("the transport is closed")]
    Closed,
    /// The transport was closed while the call waited for its reply. It may have run.
    #[error("the transport was closed before the reply came")]
    ClosedWaiting,
    /// Nobody listens there: the broker handed the message back. It did not run.
    #[error("nobody listens on {} (exchange `{}`)", line(.routing_key), line(.exchange))]
    Undeliverable {
        /// The exchange it was sent to; empty for the default exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// The broker refused to answer for the message, for example because the queue is full. It may have run all the same:
    /// RabbitMQ says so, too, of what a node had stored that then died, and that runs when the node is back.
    #[error("the broker did not accept the message for {}: {}", line(.routing_key), line(.reason))]
    Rejected {
        /// The routing key.
        routing_key: String,
        /// What the broker says.
        reason: String,
    },
    /// The broker refused this message itself and said why: the user may not write to the exchange, the exchange does not
    /// exist, the message is larger than the broker's own limit. It did not run, and no other message is affected.
    #[error("the broker refused the message for {} (exchange `{}`): {}", line(.routing_key), line(.exchange), line(.reason))]
    MessageRefused {
        /// The exchange it was sent to; empty for the default exchange.
        exchange: Box<str>,
        /// The routing key, or the address on AMQP 1.0.
        routing_key: Box<str>,
        /// The broker's code: `403` on AMQP 0-9-1, a condition such as `amqp:link:message-size-exceeded` on AMQP 1.0.
        code: Box<str>,
        /// What the broker says, and what to do.
        reason: Box<str>,
        /// Whether the same message may be accepted later.
        may_pass: bool,
    },
    /// A queue or an exchange cannot be declared or consumed.
    #[error("{}: {}", line(.object), line(.reason))]
    Topology {
        /// Which queue or exchange.
        object: String,
        /// What the broker says, with both values where they differ, and what to do.
        reason: String,
    },
    /// It was sent, and no reply came in time. It may have run.
    #[error("no reply within {waited:?}")]
    TimedOut {
        /// The timeout.
        waited: Duration,
    },
    /// It was sent with monitoring, and the server fell silent. It may have run.
    #[error("the server sent no heartbeat for {silence:?}")]
    ServerSilent {
        /// The monitor timeout.
        silence: Duration,
    },
    /// It was sent, and the broker did not confirm it in time. It may have run.
    #[error("the broker did not confirm the message within {waited:?}")]
    Unconfirmed {
        /// The timeout.
        waited: Duration,
    },
    /// The connection was lost before the broker confirmed. It may have run.
    #[error("the connection was lost before the broker confirmed the message")]
    ConnectionLost {
        /// Why.
        #[source]
        source: Option<Cause>,
    },
    /// The queue that the reply was to come to is gone. It may have run.
    #[error("the reply queue {} is gone, and with it the reply", line(.queue))]
    ReplyLost {
        /// Name of the queue.
        queue: String,
    },
    /// Something answered, but not with a reply. It ran.
    #[error("the reply cannot be read: {}", line(.reason))]
    MalformedReply {
        /// What is wrong with it.
        reason: String,
    },
}

crate::debug_as_chain!(TransportError);

impl TransportError {
    /// Whether the method may have run, or be about to.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. }
                | Self::ServerSilent { .. }
                | Self::Unconfirmed { .. }
                | Self::Rejected { .. }
                | Self::ConnectionLost { .. }
                | Self::ClosedWaiting
                | Self::ReplyLost { .. }
                | Self::MalformedReply { .. }
        )
    }

    /// The variant, as labels of metrics and attributes of spans say it: `unreachable`, `timed_out` and so on.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::InvalidTarget { .. } => "invalid_target",
            Self::InvalidUrl(_) => "invalid_url",
            Self::UnknownScheme { .. } => "unknown_scheme",
            Self::InvalidOption(_) | Self::Config { .. } => "config",
            Self::Unsupported { .. } => "unsupported",
            Self::Refused { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Blocked { .. } => "blocked",
            Self::TooLarge { .. } => "too_large",
            Self::Closed | Self::ClosedWaiting => "closed",
            Self::Undeliverable { .. } => "undeliverable",
            Self::Rejected { .. } => "rejected",
            Self::MessageRefused { .. } => "message_refused",
            Self::Topology { .. } => "topology",
            Self::TimedOut { .. } => "timed_out",
            Self::ServerSilent { .. } => "server_silent",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::ReplyLost { .. } => "reply_lost",
            Self::MalformedReply { .. } => "malformed_reply",
        }
    }

    /// Whether the same call may succeed later with nothing changed. With [`may_have_run`](Self::may_have_run) it is
    /// for the caller to know whether running twice does harm.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.may_pass(),
            Self::Unreachable { .. }
            | Self::Blocked { .. }
            | Self::Undeliverable { .. }
            | Self::Rejected { .. }
            | Self::TimedOut { .. }
            | Self::ServerSilent { .. }
            | Self::Unconfirmed { .. }
            | Self::ConnectionLost { .. }
            | Self::ReplyLost { .. } => true,
            Self::MessageRefused { may_pass, .. } => *may_pass,
            _ => false,
        }
    }
}
