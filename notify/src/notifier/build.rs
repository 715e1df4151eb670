//! Builds a notifier.

use std::{sync::Arc, time::Duration};

use oxlo_config::ProcessConfigError;
use oxlo_transport::{Notification, Retry, Transport, settings::NonFinite};
use tokio::runtime;

use super::{
    driver::NotificationDriver,
    error::NotifyError,
    handle::{Handle, Notifier},
    messaging::Messaging,
    queue::{OnLost, Overflow, Queue},
    redaction::Redaction,
    stats::Counts,
    worker::{Core, Losses},
};

const DEFAULT_QUEUE: usize = 1000;
const DEFAULT_IN_FLIGHT: usize = 32;
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Why a notifier cannot be built.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildNotifierError {
    /// The notifier has no driver.
    #[error("the notifier has no driver; add one with `.driver(..)`, or `Noop` to send nothing")]
    NoDriver,
    /// An option has an invalid value.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Why the value is invalid, and what to do.
        reason: String,
    },
    /// The operator's configuration is invalid.
    #[error(transparent)]
    Config(Arc<ProcessConfigError>),
    /// It was built outside of a tokio runtime, so its worker cannot run.
    #[error("no tokio runtime: a notifier sends on a task of its own; build it within a runtime")]
    NoRuntime,
}

oxlo_transport::debug_as_chain!(BuildNotifierError);

/// Builds a [`Notifier`]; see [`Notifier::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct NotifierBuilder {
    publisher_id: Arc<str>,
    drivers: Vec<Arc<dyn NotificationDriver>>,
    queue: usize,
    overflow: Overflow,
    in_flight: usize,
    retry: Retry,
    redaction: Redaction,
    grace: Duration,
    on_lost: Option<OnLost>,
    non_finite: NonFinite,
}

impl NotifierBuilder {
    pub(crate) fn new(publisher_id: Arc<str>) -> Self {
        Self {
            publisher_id,
            drivers: Vec::new(),
            queue: DEFAULT_QUEUE,
            overflow: Overflow::default(),
            in_flight: DEFAULT_IN_FLIGHT,
            retry: Retry::Forever,
            redaction: Redaction::default(),
            grace: DEFAULT_GRACE,
            on_lost: None,
            non_finite: NonFinite::Refuse,
        }
    }

    /// Adds a driver. Every notification goes to all drivers concurrently; the failure of one does not affect the others.
    pub fn driver(self, driver: impl NotificationDriver) -> Self {
        self.shared_driver(Arc::new(driver))
    }

    pub(super) fn shared_driver(mut self, driver: Arc<dyn NotificationDriver>) -> Self {
        self.drivers.push(driver);
        self
    }

    /// Adds a [`Messaging`] driver that sends to the topic `notifications` over this transport, in oslo's second format.
    pub fn transport(self, transport: Arc<dyn Transport>) -> Self {
        self.driver(Messaging::new(transport))
    }

    /// Sets how many notifications may wait to be sent, in addition to those in flight. Default 1000; at least 1.
    pub fn queue(mut self, notifications: usize) -> Self {
        self.queue = notifications;
        self
    }

    /// Sets what happens when the queue is full. Default: the sender waits for at most 5 s.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets how many notifications are sent at a time. Default 32; at least 1.
    ///
    /// With more than 1, notifications in flight may be reordered when a queue is used for the first time or a send is
    /// repeated; 1 always keeps the order.
    pub fn in_flight(mut self, notifications: usize) -> Self {
        self.in_flight = notifications;
        self
    }

    /// Sets how often a notification is sent again after a retryable failure. Default [`Retry::Forever`], as in oslo: it
    /// waits for the broker, while the queue's limit and overflow policy apply to the notifications behind it.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets which entries of a request's context are sent. Default: none.
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// Sets the grace period: how long accepted notifications may still be sent after [`Notifier::close`], or after the last
    /// clone was dropped. Default 30 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets how floats that are not finite are encoded in payloads. Default [`NonFinite::Refuse`].
    pub fn non_finite(mut self, non_finite: NonFinite) -> Self {
        self.non_finite = non_finite;
        self
    }

    /// Calls `report` for every accepted notification that is lost, in addition to counting and logging it. It must not
    /// block.
    ///
    /// A [`LogLayer`](crate::LogLayer) does not send its log records as notifications. It may notify; if that loses another
    /// notification, `report` is not called for that one.
    pub fn on_lost(mut self, report: impl Fn(&Notification, &NotifyError) + Send + Sync + 'static) -> Self {
        self.on_lost = Some(Arc::new(report));
        self
    }

    /// Builds the notifier, whose worker runs on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BuildNotifierError`]: no driver, an option out of range, or no runtime.
    pub fn build(self) -> Result<Notifier, BuildNotifierError> {
        if self.drivers.is_empty() {
            return Err(BuildNotifierError::NoDriver);
        }
        for (option, value) in [("queue", self.queue), ("in_flight", self.in_flight)] {
            if value == 0 {
                return Err(BuildNotifierError::Option { option, reason: "0 is out of range; at least 1".into() });
            }
        }
        let runtime = runtime::Handle::try_current().map_err(|_| BuildNotifierError::NoRuntime)?;
        let core = Arc::new(Core {
            queue: Queue::new(self.queue),
            drivers: self.drivers,
            counts: Counts::default(),
            in_flight: self.in_flight,
            on_lost: self.on_lost,
            losses: Losses::default(),
        });
        runtime.spawn(core.clone().worker());
        let Self { publisher_id, retry, overflow, redaction, grace, non_finite, queue: limit, .. } = self;
        let handle = Handle { core, limit, overflow, redaction, grace, non_finite };
        Ok(Notifier::from_handle(handle, publisher_id, retry))
    }
}

impl std::fmt::Debug for NotifierBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotifierBuilder")
            .field("publisher_id", &self.publisher_id)
            .field("drivers", &self.drivers)
            .field("queue", &self.queue)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}
