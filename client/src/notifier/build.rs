//! What a notifier is built from.

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

/// A notifier that cannot be built.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BuildNotifierError {
    /// It has no driver.
    #[error("the notifier has no driver; add one with `.driver(..)`, or `Noop` to send nothing")]
    NoDriver,
    /// An option has a value that cannot be used.
    #[error("option `{option}`: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with its value, and what to do.
        reason: String,
    },
    /// The operator's configuration cannot be used.
    #[error(transparent)]
    Config(Arc<ProcessConfigError>),
    /// It was built outside of a tokio runtime, where its worker cannot run.
    #[error("a notifier sends on a task of its own; build it within a tokio runtime")]
    NoRuntime,
}

oxlo_transport::debug_as_chain!(BuildNotifierError);

/// Sets what a notifier is made of.
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

    /// Adds a driver. Every notification goes to each of them, at the same time; one that fails does not keep the
    /// others from it.
    pub fn driver(self, driver: impl NotificationDriver) -> Self {
        self.shared_driver(Arc::new(driver))
    }

    pub(super) fn shared_driver(mut self, driver: Arc<dyn NotificationDriver>) -> Self {
        self.drivers.push(driver);
        self
    }

    /// Adds a driver that sends to the topic `notifications` over this transport, in oslo's second format.
    pub fn transport(self, transport: Arc<dyn Transport>) -> Self {
        self.driver(Messaging::new(transport))
    }

    /// Sets how many notifications may wait to be sent. Default 1000; at least 1. What drivers work on comes on top.
    pub fn queue(mut self, notifications: usize) -> Self {
        self.queue = notifications;
        self
    }

    /// Sets what happens when the queue is full. Default: the sender waits for at most 5 s.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets how many notifications are sent at the same time. Default 32; at least 1.
    ///
    /// With more than one, those that are on their way together may change places when a queue is used for the first
    /// time or a send is repeated; 1 keeps their order always.
    pub fn in_flight(mut self, notifications: usize) -> Self {
        self.in_flight = notifications;
        self
    }

    /// Sets how often a notification that failed in a way that may pass is sent again. Default [`Retry::Forever`], as in
    /// oslo: it waits for its broker, and the queue's bound and policy say what becomes of those behind it.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets what of a request's context leaves. Default: nothing.
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// Sets how long what was accepted may still be sent after [`Notifier::close`], or after the last clone was dropped.
    /// Default 30 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets what becomes of floats in payloads that are not finite. Default [`NonFinite::Refuse`].
    pub fn non_finite(mut self, non_finite: NonFinite) -> Self {
        self.non_finite = non_finite;
        self
    }

    /// Calls `tell` for every accepted notification that is lost, beside counting and logging it. It must not block.
    ///
    /// What it logs is not sent as notifications by a [`LogLayer`](super::LogLayer). It may notify; if that loses another
    /// notification, it is not called for that one.
    pub fn on_lost(mut self, tell: impl Fn(&Notification, &NotifyError) + Send + Sync + 'static) -> Self {
        self.on_lost = Some(Arc::new(tell));
        self
    }

    /// Builds the notifier, whose worker runs on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BuildNotifierError`] names what is wrong: no driver, an option out of range, no runtime.
    pub fn build(self) -> Result<Notifier, BuildNotifierError> {
        if self.drivers.is_empty() {
            return Err(BuildNotifierError::NoDriver);
        }
        for (option, value) in [("queue", self.queue), ("in_flight", self.in_flight)] {
            if value == 0 {
                return Err(BuildNotifierError::Option { option, reason: "0 would never send; at least 1".into() });
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
