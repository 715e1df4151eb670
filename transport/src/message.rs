//! Requests, replies and notifications, independent of any wire format.

use std::{fmt, str::FromStr, sync::Arc};

use crate::{context::Context, failure::Failure, payload::Payload};

/// A request: a method, its named arguments, and the endpoint it requires.
#[derive(Clone, Debug)]
pub struct Request {
    /// The request context.
    pub context: Context,
    /// Name of the method.
    pub method: Arc<str>,
    /// Named arguments, a JSON object.
    pub args: Payload,
    /// Namespace of the endpoint; `None` is the null namespace.
    pub namespace: Option<Arc<str>>,
    /// Version that the endpoint must implement; `None` counts as `1.0`.
    pub version: Option<Arc<str>>,
}

impl Request {
    /// Creates a request without namespace, version and context.
    #[must_use]
    pub fn new(method: impl Into<Arc<str>>, args: Payload) -> Self {
        Self { context: Context::new(), method: method.into(), args, namespace: None, version: None }
    }
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The method's result.
    Result(Payload),
    /// The method's failure, or the server's refusal to run it.
    Failure(Box<Failure>),
}

/// The priority of a notification. The queue's name contains it in lower case, the message body in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// For the audit trail.
    Audit,
    /// For developers.
    Debug,
    /// Normal operation.
    Info,
    /// An unexpected condition that needs no action yet.
    Warn,
    /// An operation failed.
    Error,
    /// The service is at risk.
    Critical,
    /// A measurement.
    Sample,
}

impl Priority {
    /// All priorities, in oslo's order.
    pub const ALL: [Self; 7] =
        [Self::Audit, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical, Self::Sample];

    /// The name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Sample => "sample",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of parsing an unknown priority.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown priority `{0}`; known are audit, debug, info, warn, error, critical and sample")]
pub struct UnknownPriority(String);

crate::debug_as_chain!(UnknownPriority);

impl FromStr for Priority {
    type Err = UnknownPriority;

    /// Parses a name in any case; `warning` is `warn`, as in oslo.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        let name = if lower == "warning" { "warn" } else { lower.as_str() };
        Self::ALL.into_iter().find(|p| p.as_str() == name).ok_or_else(|| UnknownPriority(text.to_owned()))
    }
}

/// The message body of a notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotificationFormat {
    /// oslo's driver `messaging`: the bare object.
    V1,
    /// oslo's driver `messagingv2`: the object in the `oslo.message` envelope.
    #[default]
    V2,
}

/// A notification.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The notification's context.
    pub context: Context,
    /// A dashed UUID.
    pub message_id: Arc<str>,
    /// The publisher, by convention `service.host`.
    pub publisher_id: Arc<str>,
    /// The type of the event, by convention dotted: `compute.instance.create.end`.
    pub event_type: Arc<str>,
    /// The priority.
    pub priority: Priority,
    /// The payload: any JSON value.
    pub payload: Payload,
    /// Time of the event in UTC, in the format of Python's `str(datetime)`.
    pub timestamp: Arc<str>,
    /// The format it is sent in.
    pub format: NotificationFormat,
}
