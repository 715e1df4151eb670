//! The errors of notifying.

use std::{fmt, sync::Arc, time::Duration};

use oxlo_transport::{TransportError, error::Cause};

/// Why a notification was not accepted, or was lost. `Display` is one line that names the event, `Debug` adds the causes.
/// No message contains a payload.
///
/// | when | variants |
/// |---|---|
/// | not accepted: the method returns the error | `Encode`, `Context`, `InvalidEvent`, `QueueFull`, `Closed`, `RuntimeEnded` |
/// | accepted, then lost: reported by the [`Receipt`](crate::Receipt) and the callback | `Dropped`, `Failed`, `Abandoned` |
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// The payload has no JSON form. Nothing was sent.
    #[error("notification `{event_type}`: its payload has no JSON form: {reason}")]
    Encode {
        /// The event's type.
        event_type: Arc<str>,
        /// Why not, and where, for example `loads[2]` for a float that is not finite.
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
    /// Brokers do not accept the event's source or type as a name. Nothing was sent.
    #[error("event `{event_type}` cannot be dispatched: {error}")]
    InvalidEvent {
        /// The event's type.
        event_type: Arc<str>,
        /// Why not, and what to do.
        error: TransportError,
    },
    /// The queue stayed full while the notification waited. Nothing was sent.
    #[error(
        "notification `{event_type}`: the queue was full with {limit} notifications for {waited:?}; is the broker reachable?"
    )]
    QueueFull {
        /// The event's type.
        event_type: Arc<str>,
        /// The capacity of the queue.
        limit: usize,
        /// The time waited.
        waited: Duration,
    },
    /// The notifier was closed before. Nothing was sent.
    #[error("notification `{event_type}`: the notifier is closed")]
    Closed {
        /// The event's type.
        event_type: Arc<str>,
    },
    /// The runtime on which the notifier was built has shut down, and the notifier's worker with it. Nothing was sent;
    /// build another notifier on a running runtime.
    #[error("notification `{event_type}`: the notifier's runtime has shut down; build a notifier on a running one")]
    RuntimeEnded {
        /// The event's type.
        event_type: Arc<str>,
    },
    /// The full queue dropped it for a later one. It was not sent.
    #[error("notification `{event_type}` was dropped: the queue was full, and it was the oldest")]
    Dropped {
        /// The event's type.
        event_type: Arc<str>,
    },
    /// At least one driver gave up. The other drivers and topics received it.
    #[error("notification `{event_type}` was not delivered by {}", listed(.failures))]
    Failed {
        /// The event's type.
        event_type: Arc<str>,
        /// The drivers that gave up, and why.
        failures: Arc<[DriverError]>,
    },
    /// The grace period of the closed notifier ended before the notification was confirmed. It may have been sent.
    #[error("notification `{event_type}` was not confirmed before the notifier closed")]
    Abandoned {
        /// The event's type.
        event_type: Arc<str>,
    },
}

oxlo_transport::debug_as_chain!(NotifyError, DriverError, Unsent);

impl NotifyError {
    /// The type of the event.
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
    /// The name of the driver.
    pub driver: Arc<str>,
    /// The topic, for drivers that send to topics.
    pub topic: Option<Arc<str>>,
    /// The last failure.
    pub source: Cause,
}

impl DriverError {
    /// The failure of a driver without topics.
    pub fn new(driver: impl Into<Arc<str>>, source: Cause) -> Self {
        Self { driver: driver.into(), topic: None, source }
    }

    /// Adds the topic.
    #[must_use]
    pub fn on_topic(mut self, topic: impl Into<Arc<str>>) -> Self {
        self.topic = Some(topic.into());
        self
    }
}

/// Notifications that were accepted and not confirmed in time.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} notifications were not confirmed within {waited:?}")]
#[non_exhaustive]
pub struct Unsent {
    /// Their number.
    pub count: usize,
    /// The time waited.
    pub waited: Duration,
}

fn place(topic: Option<&str>) -> String {
    topic.map_or_else(String::new, |topic| format!(" on topic `{topic}`"))
}

fn listed(failures: &[DriverError]) -> impl fmt::Display {
    failures.iter().map(|failure| format!("{failure} ({})", failure.source)).collect::<Vec<_>>().join(", ")
}
