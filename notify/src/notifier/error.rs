//! How notifying fails.

use std::{fmt, sync::Arc, time::Duration};

use oxlo_transport::{TransportError, error::Cause};

/// How notifying fails. `Display` is one line that names the event, `Debug` adds the causes; no message holds a payload.
///
/// | when | variants |
/// |---|---|
/// | it was not accepted: the method returns it | `Encode`, `Context`, `InvalidEvent`, `QueueFull`, `Closed`, `RuntimeEnded` |
/// | it was accepted, and is lost: the [`Receipt`](crate::Receipt) and the callback say it | `Dropped`, `Failed`, `Abandoned` |
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The payload has no JSON form. Nothing was sent.
    #[error("notification `{event_type}`: its payload has no JSON form: {reason}")]
    Encode {
        /// The event's type.
        event_type: Arc<str>,
        /// Why not, and where, such as `loads[2]` for a float that is not finite.
        reason: Arc<str>,
    },
    /// An entry of the context has no JSON form. Nothing was sent.
    #[error("notification `{event_type}`: its context cannot be sent: {reason}")]
    Context {
        /// The event's type.
        event_type: Arc<str>,
        /// Which entry, and why not.
        reason: Arc<str>,
    },
    /// The event's source or type cannot be used as a name on a broker. Nothing was sent.
    #[error("event `{event_type}` cannot be dispatched: {error}")]
    InvalidEvent {
        /// The event's type.
        event_type: Arc<str>,
        /// What is wrong, and what to do.
        error: TransportError,
    },
    /// The queue was full, for as long as was waited. Nothing was sent.
    #[error("notification `{event_type}`: the queue held {limit} notifications for {waited:?}; is the broker there?")]
    QueueFull {
        /// The event's type.
        event_type: Arc<str>,
        /// How many the queue holds.
        limit: usize,
        /// How long was waited.
        waited: Duration,
    },
    /// The notifier was closed before. Nothing was sent.
    #[error("notification `{event_type}`: the notifier is closed")]
    Closed {
        /// The event's type.
        event_type: Arc<str>,
    },
    /// The runtime that the notifier was built on has ended, and its worker with it. Nothing was sent; build another one
    /// on a runtime that lives.
    #[error("notification `{event_type}`: the notifier's runtime has ended; build a notifier on a running one")]
    RuntimeEnded {
        /// The event's type.
        event_type: Arc<str>,
    },
    /// It had to make room in the full queue for a later one. It was not sent.
    #[error("notification `{event_type}` was dropped: the queue was full, and it was the oldest")]
    Dropped {
        /// The event's type.
        event_type: Arc<str>,
    },
    /// At least one driver gave up on it. The other drivers and topics have it.
    #[error("notification `{event_type}` was not delivered by {}", listed(.failures))]
    Failed {
        /// The event's type.
        event_type: Arc<str>,
        /// Who gave up, and why.
        failures: Arc<[DriverError]>,
    },
    /// The notifier was closed, and its grace was over before this one was confirmed. It may have been sent.
    #[error("notification `{event_type}` was not confirmed before the notifier closed")]
    Abandoned {
        /// The event's type.
        event_type: Arc<str>,
    },
}

oxlo_transport::debug_as_chain!(NotifyError, DriverError, Unsent);

impl NotifyError {
    /// The type of the event that this is about.
    #[must_use]
    pub fn event_type(&self) -> &str {
        match self {
            Self::Encode { event_type, .. }
            | Self::Context { event_type, .. }
            | Self::InvalidEvent { event_type, .. }
            | Self::QueueFull { event_type, .. }
            | Self::Closed { event_type }
            | Self::RuntimeEnded { event_type }
            | Self::Dropped { event_type }
            | Self::Failed { event_type, .. }
            | Self::Abandoned { event_type } => event_type,
        }
    }
}

/// Why a driver gave up on a notification.
#[derive(Clone, thiserror::Error)]
#[error("driver `{driver}`{}", place(.topic.as_deref()))]
#[non_exhaustive]
pub struct DriverError {
    /// Name of the driver.
    pub driver: Arc<str>,
    /// The topic, for drivers that send to topics.
    pub topic: Option<Arc<str>>,
    /// The last failure.
    pub source: Cause,
}

impl DriverError {
    /// The failure of a driver that has no topics.
    pub fn new(driver: impl Into<Arc<str>>, source: Cause) -> Self {
        Self { driver: driver.into(), topic: None, source }
    }

    /// Names the topic.
    #[must_use]
    pub fn on_topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.topic = Some(topic.into());
        self
    }
}

/// The notifier was closed, and some of what it had accepted was not confirmed within its grace.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} notifications were not confirmed within {waited:?}")]
#[non_exhaustive]
pub struct Unsent {
    /// How many.
    pub count: usize,
    /// How long was waited.
    pub waited: Duration,
}

fn place(topic: Option<&str>) -> String {
    topic.map_or_else(String::new, |topic| format!(" on topic `{topic}`"))
}

fn listed(failures: &[DriverError]) -> impl fmt::Display {
    failures.iter().map(|failure| format!("{failure} ({})", failure.source)).collect::<Vec<_>>().join(", ")
}
