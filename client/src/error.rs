//! How calls and casts fail.

use std::{any::type_name, borrow::Cow, sync::Arc, time::Duration};

use oxlo_transport::{
    TransportError,
    error::{Cause, Refusal},
    json::JsonError,
    text::{folded, line},
};

use crate::{remote::Remote, site::CallSite};

/// How calls and casts fail. The variants go by phase: what was never sent, what the broker handed back, what ended
/// without anyone knowing, what ran and failed, and what answered something else.
///
/// `Display` is one line that names the method and the target and states one fact; the cause, where there is one, is in
/// `source()`. `Debug` prints both on one line, so that a `main` that returns it tells all. No message holds arguments,
/// results or passwords.
///
/// | question | answer |
/// |---|---|
/// | may the method have run? | [`may_have_run`](Self::may_have_run) |
/// | may the same call succeed later? | [`is_retryable`](Self::is_retryable) |
/// | is it this error of mine? | [`downcast_ref`](Self::downcast_ref) |
/// | did a server refuse to run it? | [`is_refused`](Self::is_refused) |
/// | is the other side out of capacity? | [`is_overloaded`](Self::is_overloaded) |
/// | was the method unknown to the server? | [`is_no_such_method`](Self::is_no_such_method), [`is_unsupported_version`](Self::is_unsupported_version) |
///
/// In a server's handler, `?` passes it on: it [becomes](Self::to_failure) the failure that a Python service would send.
///
/// ```
/// use oxlo_client::{CallError, Context, RPCClient, Target};
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
///     CallError::Undeliverable { .. } | CallError::Unreachable { .. } => { /* try elsewhere */ }
///     CallError::TimedOut { .. } => { /* it may have run: look before trying again */ }
///     CallError::Remote(failure) => eprintln!("{} {:?}", failure.class(), failure.traceback()),
///     other => return Err(other.into()),
/// }
/// # Ok(()) }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    // -- nothing was sent ------------------------------------------------------------------------------------------
    /// The target cannot be used for this: it names no topic, its version is none, or a call has `fanout`. Nothing was
    /// sent.
    #[error("{}: the target cannot be used: {}", .site.without_version(), line(.reason))]
    InvalidTarget {
        /// What was asked of whom.
        site: CallSite,
        /// What is wrong, and what to do.
        reason: Box<str>,
    },
    /// The version is above the version cap, has another major number, or is missing while there is a cap. Nothing was
    /// sent.
    #[error("{}: {}", .site.without_version(), over_cap(.version.as_deref(), .cap))]
    VersionCap {
        /// What was asked of whom.
        site: CallSite,
        /// The version of the target.
        version: Option<Arc<str>>,
        /// The version cap.
        cap: Arc<str>,
    },
    /// The arguments are not a JSON object, or have no JSON form, as a float that is not finite. Nothing was sent.
    #[error("{site}: the arguments {}", line(.reason))]
    Encode {
        /// What was asked of whom.
        site: CallSite,
        /// What is wrong with them, and where.
        reason: Box<str>,
    },
    /// An option has a value that cannot be used. Nothing was sent.
    #[error("{site}: option `{}`: {}", line(.option), line(.reason))]
    Config {
        /// What was asked of whom.
        site: CallSite,
        /// Name of the option.
        option: Box<str>,
        /// What is wrong with its value, and what to do.
        reason: Box<str>,
    },
    /// The deadline that the call was to keep has passed, see [`within`](crate::RPCClient::within). Nothing was sent.
    #[error("{site}: the deadline of the caller that it is made for has passed; nothing was sent")]
    DeadlinePassed {
        /// The method and its target.
        site: CallSite,
    },
    /// The message is larger than the transport's limit. Nothing was sent.
    #[error("{site}: the message has {size} bytes, the limit is {limit} (setting max_message_size)")]
    TooLarge {
        /// What was asked of whom.
        site: CallSite,
        /// Bytes of body.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The broker is there and refuses us. Whether waiting helps is what [`Refusal::may_pass`] says. Nothing was sent.
    #[error("{site}: {} refused {}: {}", line(.broker), .refusal.object(), line(.reason))]
    Refused {
        /// What was asked of whom.
        site: CallSite,
        /// What was refused.
        refusal: Refusal,
        /// Host and port.
        broker: Box<str>,
        /// Its reason, and what to do.
        reason: Box<str>,
    },
    /// No broker could be reached in time. Nothing was sent.
    #[error("{site}: no connection to {} within {waited:?}", line(.broker))]
    Unreachable {
        /// What was asked of whom.
        site: CallSite,
        /// The hosts that were tried.
        broker: Box<str>,
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        source: Option<Cause>,
    },
    /// The broker takes no messages at the moment (memory or disk alarm), and did not recover in time. Nothing was sent.
    #[error("{site}: the broker accepted no messages for {waited:?}: {}", line(.reason))]
    Blocked {
        /// What was asked of whom.
        site: CallSite,
        /// The broker's reason.
        reason: Box<str>,
        /// How long was waited.
        waited: Duration,
    },

    // -- the broker did not take it --------------------------------------------------------------------------------
    /// Nobody listens there: the broker handed the message back. It did not run.
    #[error("{site}: nobody listens on {} (exchange `{}`)", line(.routing_key), line(.exchange))]
    Undeliverable {
        /// What was asked of whom.
        site: CallSite,
        /// The exchange it was sent to; empty for the default exchange.
        exchange: Box<str>,
        /// The routing key.
        routing_key: Box<str>,
    },
    /// The broker refused to answer for the message, for example because the queue is full. It may have run all the same:
    /// RabbitMQ says so, too, of what a node had stored that then died, and that runs when the node is back.
    #[error("{site}: the broker did not accept the message for {}: {}", line(.routing_key), line(.reason))]
    Rejected {
        /// What was asked of whom.
        site: CallSite,
        /// The routing key.
        routing_key: Box<str>,
        /// What the broker says.
        reason: Box<str>,
    },
    /// The broker refused this message itself and said why: the user may not write to the exchange, the exchange does not
    /// exist, the message is larger than the broker's own limit. It did not run.
    #[error("{site}: the broker refused the message for {} (exchange `{}`): {}", line(.routing_key), line(.exchange), line(.reason))]
    MessageRefused {
        /// What was asked of whom.
        site: CallSite,
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
    /// A queue or an exchange that the call needs cannot be declared. It did not run.
    #[error("{site}: {}: {}", line(.object), line(.reason))]
    Topology {
        /// What was asked of whom.
        site: CallSite,
        /// Which queue or exchange.
        object: Box<str>,
        /// What the broker says, and what to do.
        reason: Box<str>,
    },

    // -- nobody knows ----------------------------------------------------------------------------------------------
    /// It was sent, and no reply came in time. It may have run, or may still. A server may be slow, or there may be none:
    /// [`RPCClient::listeners`](crate::RPCClient::listeners) says how many there are, and if there is none, a warning in
    /// the log says so.
    #[error("{site}: no reply within {waited:?}")]
    TimedOut {
        /// What was asked of whom.
        site: CallSite,
        /// The timeout.
        waited: Duration,
    },
    /// It was sent, and the broker did not confirm it in time. It may have run, or may still.
    #[error("{site}: the broker did not confirm the message within {waited:?}")]
    Unconfirmed {
        /// What was asked of whom.
        site: CallSite,
        /// The timeout.
        waited: Duration,
    },
    /// It was sent with call monitoring, and the server fell silent. It may have run.
    #[error("{site}: the server sent no heartbeat for {silence:?}")]
    ServerSilent {
        /// What was asked of whom.
        site: CallSite,
        /// The call monitor timeout.
        silence: Duration,
    },
    /// The connection was lost before the broker confirmed. It may have run.
    #[error("{site}: the connection was lost before the broker confirmed the message")]
    ConnectionLost {
        /// What was asked of whom.
        site: CallSite,
        /// Why.
        source: Option<Cause>,
    },
    /// The queue that the reply was to come to is gone. It may have run.
    #[error("{site}: the reply queue {} is gone, and with it the reply", line(.queue))]
    ReplyLost {
        /// What was asked of whom.
        site: CallSite,
        /// Name of the queue.
        queue: Box<str>,
    },
    /// The transport was closed, before the request was sent or while its reply was awaited.
    #[error("{site}: {}", if *.sent { "the transport was closed before the reply came" } else { "the transport is closed" })]
    Closed {
        /// What was asked of whom.
        site: CallSite,
        /// Whether the request may have been sent, and with it the method have run.
        sent: bool,
    },

    // -- it ran and failed -----------------------------------------------------------------------------------------
    /// The method failed with an error of a module that the transport allows; `builtins` always is.
    ///
    /// After the method and the target the text is the class and the message: `NotFound_Remote: no instance 7`.
    #[error("{}: {}", .0.site(), .0.summary())]
    Remote(Remote),
    /// The method failed with an error of a module that the transport does not allow, or the server refused to run it.
    ///
    /// After the method and the target the text is oslo's, without the traceback: `Remote error: <exc_type> <value>`.
    #[error("{site}: Remote error: {}{}", line(.exc_type), prefixed(" ", &headline(.value)))]
    RemoteError {
        /// What was asked of whom.
        site: CallSite,
        /// Name of the error's class, without its module.
        exc_type: Box<str>,
        /// Module of the class, to be allowed where it is to arrive as [`Remote`](Self::Remote).
        module: Box<str>,
        /// The error's text.
        value: Box<str>,
        /// The traceback, as the server formatted it.
        traceback: Box<[String]>,
        /// Whether the server refused to run the method.
        refused: bool,
    },

    // -- it ran, and what came back is something else --------------------------------------------------------------
    /// The result is not of the type that was asked for. The method ran.
    #[error("{site}: cannot decode the result as `{expected}`{}: {}", at(.path), line(.reason))]
    Decode {
        /// What was asked of whom.
        site: CallSite,
        /// The Rust type that was asked for.
        expected: &'static str,
        /// Where in the result, for example `disks[3].size`; empty if it is the result as a whole.
        path: Box<str>,
        /// What was expected there and what was found, such as `expected an integer from 0 to 255, got a string`.
        reason: Box<str>,
    },
    /// Something answered, but not with a reply. The method ran.
    #[error("{site}: the reply cannot be read: {}", line(.reason))]
    MalformedReply {
        /// What was asked of whom.
        site: CallSite,
        /// What is wrong with it.
        reason: Box<str>,
    },

    // -- what a layer may add --------------------------------------------------------------------------------------
    /// A layer of this client failed by itself: it refused the request, or gave up on it.
    #[error("{site}: {}", if *.sent { "a layer gave up on it" } else { "a layer refused it; nothing was sent" })]
    Middleware {
        /// What was asked of whom.
        site: CallSite,
        /// Whether the request had been handed to the transport, and with it the method may have run.
        sent: bool,
        /// The layer's error.
        source: Cause,
    },

    // -- what a transport may add ----------------------------------------------------------------------------------
    /// The transport failed in a way that has no variant here.
    #[error("{site}: {error}")]
    Transport {
        /// What was asked of whom.
        site: CallSite,
        /// How.
        error: Box<TransportError>,
    },
}

oxlo_transport::debug_as_chain!(CallError);

impl CallError {
    /// A transport's error, as the error of one call.
    pub(crate) fn of(site: CallSite, error: TransportError) -> Self {
        match error {
            TransportError::InvalidTarget { reason } => Self::InvalidTarget { site, reason: reason.into() },
            TransportError::Config { option, reason } => {
                Self::Config { site, option: option.into(), reason: reason.into() }
            }
            TransportError::Refused { refusal, broker, reason } => {
                Self::Refused { site, refusal, broker: broker.into(), reason: reason.into() }
            }
            TransportError::Unreachable { broker, waited, source } => {
                Self::Unreachable { site, broker: broker.into(), waited, source }
            }
            TransportError::Blocked { reason, waited } => Self::Blocked { site, reason: reason.into(), waited },
            TransportError::TooLarge { size, limit } => Self::TooLarge { site, size, limit },
            TransportError::Closed => Self::Closed { site, sent: false },
            TransportError::ClosedWaiting => Self::Closed { site, sent: true },
            TransportError::Undeliverable { exchange, routing_key } => {
                Self::Undeliverable { site, exchange: exchange.into(), routing_key: routing_key.into() }
            }
            TransportError::Rejected { routing_key, reason } => {
                Self::Rejected { site, routing_key: routing_key.into(), reason: reason.into() }
            }
            TransportError::MessageRefused { exchange, routing_key, code, reason, may_pass } => {
                Self::MessageRefused { site, exchange, routing_key, code, reason, may_pass }
            }
            TransportError::Topology { object, reason } => {
                Self::Topology { site, object: object.into(), reason: reason.into() }
            }
            TransportError::TimedOut { waited } => Self::TimedOut { site, waited },
            TransportError::Unconfirmed { waited } => Self::Unconfirmed { site, waited },
            TransportError::ServerSilent { silence } => Self::ServerSilent { site, silence },
            TransportError::ConnectionLost { source } => Self::ConnectionLost { site, source },
            TransportError::ReplyLost { queue } => Self::ReplyLost { site, queue: queue.into() },
            TransportError::MalformedReply { reason } => Self::MalformedReply { site, reason: reason.into() },
            other => Self::Transport { site, error: Box::new(other) },
        }
    }

    /// The result cannot be decoded as an `R`.
    pub(crate) fn decode<R>(site: CallSite, error: &JsonError) -> Self {
        let reason = if error.is_data() { error.kind().to_string() } else { error.to_string() };
        Self::Decode { site, expected: type_name::<R>(), path: error.path().into(), reason: reason.into() }
    }
}

/// So many characters of a remote failure's text are shown.
const SHOWN: usize = 2000;

/// The part of an error's text before the traceback that a Python server appends when it passes an error on, on one line.
pub(crate) fn headline(message: &str) -> Cow<'_, str> {
    folded(message.split("\nTraceback (most recent call last):").next().unwrap_or(message), SHOWN)
}

fn over_cap(version: Option<&str>, cap: &str) -> String {
    match version {
        Some(version) => {
            format!("version {version} does not fit the version cap {cap} (same major number, and not above it)")
        }
        None => format!("the version cap {cap} needs a version; set one on the target or with prepare().version(..)"),
    }
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at `{}`", line(path)) }
}

/// Many exceptions have no text; a line then ends with the class.
pub(crate) fn prefixed(separator: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{separator}{text}") }
}
