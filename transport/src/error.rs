//! Errors of sending, calling and listening.

use std::{error::Error, sync::Arc, time::Duration};

use crate::{
    text::line,
    url::{OptionError, UrlError},
};

/// The cause of an error. Shared, because one lost connection fails many calls.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Returns `true` if `error` or one of its sources is an `E`.
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

/// Why a broker refused a connection or a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The user name, the password or the login method was refused.
    Credentials,
    /// The virtual host does not exist, or the user may not access it.
    VirtualHost,
    /// TLS failed: the certificate or its host name was refused, or the peer does not speak TLS.
    Tls,
    /// The peer speaks another protocol.
    Protocol,
    /// The user lacks the permission.
    Permission,
    /// The user, the virtual host or the node has reached its limit of connections. Temporary.
    ConnectionLimit,
    /// The connection, the user or the node has reached its limit of channels. Temporary.
    ChannelLimit,
    /// The virtual host is down, or the node is starting, stopping or draining. Temporary.
    Unavailable,
}

impl Refusal {
    /// Returns `true` if the broker may accept the same attempt later.
    ///
    /// Connecting continues after such a refusal as if the broker were unreachable. After any other refusal the first
    /// connection fails at once.
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

/// Error of sending, calling or listening.
///
/// The methods answer what a caller asks next: whether the method [may have run](Self::may_have_run), whether
/// [a retry is sensible](Self::is_retryable), whether the broker [is overloaded](Self::is_overloaded). A client's error
/// carries it unchanged; the table in the documentation of `oxlo_client::CallError` lists all variants with their answers.
///
/// `Display` is one line and states one fact; the cause is in `source()`. `Debug` prints the error and its causes on one
/// line. Neither contains passwords or payloads.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    // Nothing was sent.
    /// The target cannot be used for this operation.
    #[error("the target cannot be used: {}", line(.reason))]
    InvalidTarget {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The transport URL cannot be parsed.
    #[error(transparent)]
    InvalidUrl(#[from] UrlError),
    /// No driver is registered for the scheme of the URL.
    #[error("no driver for scheme `{}`: {}", line(.scheme), line(.hint))]
    UnknownScheme {
        /// The scheme.
        scheme: String,
        /// The known schemes, the nearest one, and the cargo feature that would add this one.
        hint: String,
    },
    /// An option of the URL is unknown, or its value cannot be parsed.
    #[error(transparent)]
    InvalidOption(#[from] OptionError),
    /// The value of an option cannot be used here, or contradicts another option.
    #[error("option `{}`: {}", line(.option), line(.reason))]
    Config {
        /// Name of the option.
        option: String,
        /// What is wrong with its value, and what to do.
        reason: String,
    },
    /// The driver does not support the operation.
    #[error("this driver does not support it: {}", line(.what))]
    Unsupported {
        /// The unsupported operation.
        what: String,
    },
    /// The message is larger than the setting `max_message_size`.
    #[error("the message has {size} bytes, the limit is {limit} (setting max_message_size)")]
    TooLarge {
        /// Size of the body in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The transport or the listener was closed before anything was sent.
    #[error("the transport is closed")]
    Closed,
    /// No broker could be reached in time.
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
    /// The broker blocked publishers (memory or disk alarm) and did not recover in time.
    #[error("the broker accepted no messages for {waited:?}: {}", line(.reason))]
    Blocked {
        /// The broker's reason.
        reason: String,
        /// How long the sender waited.
        waited: Duration,
    },

    // The broker refused.
    /// The broker refused the connection or a channel. [`Refusal::may_pass`] tells whether waiting helps.
    #[error("{} refused {}: {}", line(.broker), .refusal.object(), line(.reason))]
    Refused {
        /// Why.
        refusal: Refusal,
        /// Host and port.
        broker: String,
        /// The broker's reason, and what to do.
        reason: String,
    },
    /// Nobody listens there: the broker returned the message as unroutable.
    #[error("nobody listens on {} (exchange `{}`)", line(.routing_key), line(.exchange))]
    Undeliverable {
        /// The exchange it was published to; empty for the default exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// The broker refused this message and said why: the user may not write to the exchange, the exchange does not
    /// exist, or the message exceeds the broker's own limit. No other message is affected.
    #[error("the broker refused the message for {} (exchange `{}`): {}", line(.routing_key), line(.exchange), line(.reason))]
    MessageRefused {
        /// The exchange it was published to; empty for the default exchange.
        exchange: Box<str>,
        /// The routing key, or the address on AMQP 1.0.
        routing_key: Box<str>,
        /// The broker's code: `403` on AMQP 0-9-1, a condition such as `amqp:link:message-size-exceeded` on AMQP 1.0.
        code: Box<str>,
        /// The broker's text, and what to do.
        reason: Box<str>,
        /// Whether the broker may accept the same message later.
        may_pass: bool,
    },
    /// A queue or an exchange cannot be declared or consumed.
    #[error("{}: {}", line(.object), line(.reason))]
    Topology {
        /// The queue or exchange.
        object: String,
        /// The broker's text, with both values where they differ, and what to do.
        reason: String,
    },

    // The outcome is unknown.
    /// The broker answered the publish with a negative acknowledgement, for example because the queue is full. The method
    /// may run all the same: RabbitMQ also sends one for a message that a node had stored before it died, and delivers
    /// that message when the node is back.
    #[error("the broker did not accept the message for {}: {}", line(.routing_key), line(.reason))]
    Rejected {
        /// The routing key.
        routing_key: String,
        /// The broker's reason.
        reason: String,
    },
    /// The broker did not confirm the message in time.
    #[error("the broker did not confirm the message within {waited:?}")]
    Unconfirmed {
        /// The timeout.
        waited: Duration,
    },
    /// The connection was lost before the broker confirmed the message.
    #[error("the connection was lost before the broker confirmed the message")]
    ConnectionLost {
        /// Why.
        #[source]
        source: Option<Cause>,
    },
    /// No reply came in time.
    #[error("no reply within {waited:?}")]
    TimedOut {
        /// The timeout.
        waited: Duration,
    },
    /// The call was monitored, and the server stopped sending heartbeats.
    #[error("the server sent no heartbeat for {silence:?}")]
    ServerSilent {
        /// The call monitor timeout.
        silence: Duration,
    },
    /// The reply queue was deleted, and the reply with it.
    #[error("the reply queue {} is gone, and with it the reply", line(.queue))]
    ReplyLost {
        /// Name of the queue.
        queue: String,
    },
    /// The transport was closed while the call waited for its reply.
    #[error("the transport was closed before the reply came")]
    ClosedWaiting,

    // The reply is not what was asked for.
    /// A message arrived in place of the reply that cannot be read as a reply. The method ran.
    #[error("the reply cannot be read: {}", line(.reason))]
    MalformedReply {
        /// What is wrong with it.
        reason: String,
    },
}

crate::debug_as_chain!(TransportError);

/// The answers of one variant.
struct Answers {
    label: &'static str,
    may_have_run: bool,
    is_retryable: bool,
    exception: (&'static str, &'static str),
}

const EXCEPTIONS: &str = "oslo_messaging.exceptions";
const TRANSPORT: &str = "oslo_messaging.transport";
const TIMEOUT: (&str, &str) = (EXCEPTIONS, "MessagingTimeout");
const FAILURE: (&str, &str) = (EXCEPTIONS, "MessageDeliveryFailure");
const CONFIGURATION: (&str, &str) = (EXCEPTIONS, "ConfigurationError");

impl TransportError {
    /// The one place that answers for a variant. Exhaustive, so that a new variant has to answer.
    fn answers(&self) -> Answers {
        let (label, may_have_run, is_retryable, exception) = match self {
            Self::InvalidTarget { .. } => ("invalid_target", false, false, (EXCEPTIONS, "InvalidTarget")),
            Self::InvalidUrl(_) => ("invalid_url", false, false, (TRANSPORT, "InvalidTransportURL")),
            Self::UnknownScheme { .. } => ("unknown_scheme", false, false, (TRANSPORT, "DriverLoadFailure")),
            Self::InvalidOption(_) | Self::Config { .. } => ("config", false, false, CONFIGURATION),
            Self::Unsupported { .. } => ("unsupported", false, false, ("builtins", "NotImplementedError")),
            Self::TooLarge { .. } => ("too_large", false, false, FAILURE),
            Self::Closed => ("closed", false, false, FAILURE),
            Self::Unreachable { .. } => ("unreachable", false, true, FAILURE),
            Self::Blocked { .. } => ("blocked", false, true, FAILURE),
            Self::Refused { refusal, .. } => ("refused", false, refusal.may_pass(), FAILURE),
            Self::Undeliverable { .. } => ("undeliverable", false, true, (EXCEPTIONS, "MessageUndeliverable")),
            Self::MessageRefused { may_pass, .. } => ("message_refused", false, *may_pass, FAILURE),
            Self::Topology { .. } => ("topology", false, false, FAILURE),
            Self::Rejected { .. } => ("rejected", true, true, FAILURE),
            Self::Unconfirmed { .. } => ("unconfirmed", true, true, FAILURE),
            Self::ConnectionLost { .. } => ("connection_lost", true, true, FAILURE),
            Self::TimedOut { .. } => ("timed_out", true, true, TIMEOUT),
            Self::ServerSilent { .. } => ("server_silent", true, true, TIMEOUT),
            Self::ReplyLost { .. } => ("reply_lost", true, true, TIMEOUT),
            Self::ClosedWaiting => ("closed", true, false, FAILURE),
            Self::MalformedReply { .. } => ("malformed_reply", true, false, ("builtins", "ValueError")),
        };
        Answers { label, may_have_run, is_retryable, exception }
    }

    /// Returns `true` if the method may have run, or may still run. `false` is certain.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        self.answers().may_have_run
    }

    /// Returns `true` if the same request may succeed later with nothing changed.
    ///
    /// If the method [may have run](Self::may_have_run) too, a retry may run it twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.answers().is_retryable
    }

    /// Returns `true` if the broker has no capacity at the moment, so that waiting before a retry helps.
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        matches!(self, Self::Blocked { .. })
    }

    /// The variant as a label of metrics and an attribute of spans, such as `unreachable` or `timed_out`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.answers().label
    }

    /// Module and class of the exception that oslo.messaging raises in this case.
    #[must_use]
    pub fn oslo_exception(&self) -> (&'static str, &'static str) {
        self.answers().exception
    }
}
