//! The notifier, and the receipts of its notifications.

use std::{fmt, sync::Arc, time::Duration};

use oxlo_transport::{
    Context, Notification, Payload, Priority, Retry, Transport, message::NotificationFormat, settings::NonFinite,
    text::one_line,
};
use serde::Serialize;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};
use uuid::Uuid;

use super::{
    build::{BuildNotifierError, NotifierBuilder},
    error::{NotifyError, Unsent},
    queue::{Overflow, Pushed, Refused},
    quiet,
    redaction::Redaction,
    stats::NotifierStats,
    timestamp,
    worker::Core,
};

/// How long the worker may take to abandon what is left when the grace period ends.
const OVERDUE: Duration = Duration::from_millis(500);

/// Sends notifications: oslo's `Notifier`.
///
/// Notifying puts the notification into a bounded queue and returns; a task of the notifier sends it to each driver. An
/// accepted notification is confirmed by the broker, or its loss is reported: by the [`Receipt`], by the counters and the
/// log, and by [`on_lost`](NotifierBuilder::on_lost). An unavailable broker does not block the service indefinitely: see
/// [`Overflow`].
///
/// Cloning is cheap; clones share queue, drivers and counters. When the last clone is dropped, accepted notifications may
/// still be sent within the [grace period](NotifierBuilder::grace); [`close`](Self::close) waits for that.
///
/// ```
/// use oxlo_notify::Notifier;
/// use oxlo_transport::Context;
/// use serde_json::json;
/// # use oxlo_driver_memory::MemoryDriver;
/// # use oxlo_transport::Registry;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = Registry::new().with(MemoryDriver).transport("memory://notifier").connect().await?;
///
/// let notifier = Notifier::new(transport, "compute.host-1")?;
/// let ctxt = Context::new();
///
/// // Returns when the notification is accepted.
/// notifier.info(&ctxt, "compute.instance.create.end", json!({"instance": 7})).await?;
/// // Returns when the broker has confirmed it.
/// notifier.error(&ctxt, "compute.instance.create.error", json!({"instance": 8})).await?.confirmed().await?;
///
/// notifier.close().await?;
/// assert_eq!(notifier.stats().sent, 2);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Notifier {
    /// Dropping the last of these closes the queue.
    handle: Arc<Handle>,
    publisher_id: Arc<str>,
    retry: Retry,
}

pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
    pub(crate) limit: usize,
    pub(crate) overflow: Overflow,
    pub(crate) redaction: Redaction,
    pub(crate) grace: Duration,
    pub(crate) non_finite: NonFinite,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.queue.close(later(self.grace));
    }
}

/// The receipt of an accepted notification. Dropping it has no effect.
#[derive(Debug)]
pub struct Receipt {
    event_type: Arc<str>,
    outcome: oneshot::Receiver<Result<(), NotifyError>>,
}

impl Receipt {
    /// Waits until every driver has delivered the notification; for a broker, until it is confirmed.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Dropped`], `Failed` or `Abandoned` if it is lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect; the notification stays accepted.
    pub async fn confirmed(self) -> Result<(), NotifyError> {
        self.outcome.await.unwrap_or(Err(NotifyError::Abandoned { event_type: self.event_type }))
    }
}

impl Notifier {
    /// A notifier that sends to the topic `notifications` over this transport, in oslo's second format, with the
    /// builder's defaults.
    ///
    /// # Errors
    ///
    /// [`BuildNotifierError::NoRuntime`] outside of a tokio runtime.
    pub fn new(transport: Arc<dyn Transport>, publisher_id: impl Into<Arc<str>>) -> Result<Self, BuildNotifierError> {
        Self::builder(publisher_id).transport(transport).build()
    }

    /// Starts to build a notifier. The publisher id names the sender, by convention `service.host`.
    pub fn builder(publisher_id: impl Into<Arc<str>>) -> NotifierBuilder {
        NotifierBuilder::new(publisher_id.into())
    }

    pub(crate) fn from_handle(handle: Handle, publisher_id: Arc<str>, retry: Retry) -> Self {
        Self { handle: Arc::new(handle), publisher_id, retry }
    }

    /// Derives a notifier with other settings, which shares queue, drivers and counters with this one.
    #[must_use]
    pub fn prepare(&self) -> Self {
        self.clone()
    }

    /// Sets the publisher id.
    #[must_use]
    pub fn publisher_id(mut self, publisher_id: impl Into<Arc<str>>) -> Self {
        self.publisher_id = publisher_id.into();
        self
    }

    /// Sets how often a notification is sent again after a retryable failure.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Notifies under this priority. Returns when the notification is accepted.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Encode`] if the payload has no JSON form, `Context` if the context has none, `QueueFull` as the
    /// [`Overflow`] policy says, `Closed`, `RuntimeEnded`. Nothing was accepted or sent then.
    ///
    /// # Cancel safety
    ///
    /// A notification whose future is dropped while the queue is full is not accepted.
    pub async fn notify(
        &self,
        priority: Priority,
        ctxt: &Context,
        event_type: impl Into<Arc<str>>,
        payload: impl Serialize,
    ) -> Result<Receipt, NotifyError> {
        let notification = self.notification(priority, ctxt, event_type.into(), &payload)?;
        // Keeps the payload out of the future, which may wait for a long time.
        drop(payload);
        let event_type = notification.event_type.clone();
        let pushed = self.handle.core.queue.push(notification, self.retry, self.handle.overflow).await;
        self.accepted(event_type, pushed)
    }

    /// Notifies under this priority without waiting, for callers that are not async: a full queue is an error, unless the
    /// policy drops the oldest notification.
    ///
    /// # Errors
    ///
    /// As [`notify`](Self::notify).
    pub fn try_notify(
        &self,
        priority: Priority,
        ctxt: &Context,
        event_type: impl Into<Arc<str>>,
        payload: impl Serialize,
    ) -> Result<Receipt, NotifyError> {
        let notification = self.notification(priority, ctxt, event_type.into(), &payload)?;
        let event_type = notification.event_type.clone();
        let pushed = self.handle.core.queue.try_push(notification, self.retry, self.handle.overflow);
        self.accepted(event_type, pushed.map_err(|(_, refused)| refused))
    }

    fn notification(
        &self,
        priority: Priority,
        ctxt: &Context,
        event_type: Arc<str>,
        payload: &impl Serialize,
    ) -> Result<Notification, NotifyError> {
        // Payloads and redactions may log, and a log layer may send records by this notifier.
        let _inside = quiet::enter();
        if let Some(fault) = ctxt.fault() {
            return Err(NotifyError::Context { event_type, reason: fault.into() });
        }
        let payload = Payload::encode_with(payload, self.handle.non_finite).map_err(|error| NotifyError::Encode {
            event_type: event_type.clone(),
            reason: one_line(&error.to_string()).into(),
        })?;
        Ok(Notification {
            context: self.handle.redaction.apply(ctxt),
            message_id: Uuid::new_v4().to_string().into(),
            publisher_id: self.publisher_id.clone(),
            event_type,
            priority,
            payload,
            timestamp: timestamp::now(),
            format: NotificationFormat::default(),
        })
    }

    fn accepted(&self, event_type: Arc<str>, pushed: Result<Pushed, Refused>) -> Result<Receipt, NotifyError> {
        let core = &self.handle.core;
        match pushed {
            Ok(Pushed { receiver, dropped }) => {
                core.counts.accepted();
                if let Some(oldest) = dropped {
                    core.drop_oldest(oldest);
                }
                Ok(Receipt { event_type, outcome: receiver })
            }
            Err(Refused::Closed) => Err(NotifyError::Closed { event_type }),
            Err(Refused::Orphaned) => Err(NotifyError::RuntimeEnded { event_type }),
            Err(Refused::Full { waited }) => {
                core.counts.refused();
                Err(NotifyError::QueueFull { event_type, limit: self.handle.limit, waited })
            }
        }
    }

    /// The counters of this notifier and its clones.
    #[must_use]
    pub fn stats(&self) -> NotifierStats {
        let (queued, in_flight) = self.handle.core.queue.load();
        self.handle.core.counts.read(queued, in_flight)
    }

    /// Whether notifying has any effect: `false` if all drivers are [`Noop`](crate::Noop), so that callers can skip building
    /// notifications.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.handle.core.drivers.iter().any(|driver| driver.is_enabled())
    }

    /// Waits until all notifications that were accepted before are sent or lost, for at most `within`. Notifying goes on
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`Unsent`] has the number of notifications that are still pending; they stay accepted.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn flush(&self, within: Duration) -> Result<(), Unsent> {
        if timeout(within, self.handle.core.queue.flushed()).await.is_ok() {
            return Ok(());
        }
        let (queued, in_flight) = self.handle.core.queue.load();
        Err(Unsent { count: queued + in_flight, waited: within })
    }

    /// Accepts no more notifications, here and in every clone, and waits until the accepted ones are sent or lost, for at
    /// most the [grace period](NotifierBuilder::grace). What is left then is reported as [`NotifyError::Abandoned`].
    ///
    /// # Errors
    ///
    /// [`Unsent`] has the number of abandoned notifications, over the notifier's life.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the notifier closing.
    pub async fn close(&self) -> Result<(), Unsent> {
        let (core, grace) = (&self.handle.core, self.handle.grace);
        core.queue.close(later(grace));
        // The worker ends by itself, unless its runtime does not run it.
        if timeout_at(later(grace.saturating_add(OVERDUE)), core.queue.flushed()).await.is_err() {
            core.abandon();
        }
        let NotifierStats { abandoned, in_flight, .. } = self.stats();
        match usize::try_from(abandoned).unwrap_or(usize::MAX).saturating_add(in_flight) {
            0 => Ok(()),
            count => Err(Unsent { count, waited: grace }),
        }
    }
}

macro_rules! priorities {
    ($($name:ident $priority:ident $text:literal)*) => {
        /// # Priorities
        ///
        /// Each method is [`notify`](Self::notify) with one priority.
        #[allow(clippy::missing_errors_doc)]
        impl Notifier {
            $(
                #[doc = $text]
                pub async fn $name(
                    &self,
                    ctxt: &Context,
                    event_type: impl Into<Arc<str>>,
                    payload: impl Serialize,
                ) -> Result<Receipt, NotifyError> {
                    self.notify(Priority::$priority, ctxt, event_type, payload).await
                }
            )*
        }
    };
}

priorities! {
    audit Audit "For the audit trail."
    debug Debug "For developers."
    info Info "Normal operation."
    warn Warn "Something unexpected that needs no action yet."
    error Error "An operation failed."
    critical Critical "The service is in danger."
    sample Sample "A measurement."
}

/// The instant after `duration`, or in a year if the clock cannot represent it.
fn later(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now + Duration::from_secs(365 * 24 * 3600))
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("publisher_id", &self.publisher_id)
            .field("retry", &self.retry)
            .field("drivers", &self.handle.core.drivers)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
