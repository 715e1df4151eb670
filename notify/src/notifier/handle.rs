//! The notifier.

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

/// How long the worker may take to give up what is left when the grace is over.
const OVERDUE: Duration = Duration::from_millis(500);

/// Tells the world what happened: oslo's `Notifier`.
///
/// Notifying puts the notification into a bounded queue and returns; a task of the notifier's own sends it, to each of
/// its drivers. What was accepted is confirmed by the broker, or reported: by the [`Receipt`], by the counters and the
/// log, and by [`on_lost`](NotifierBuilder::on_lost). A broker that is away never holds the service up for ever: see
/// [`Overflow`].
///
/// Cloning is cheap; clones share queue, drivers and counters. When the last one is dropped, what was accepted may still
/// be sent for the [grace](NotifierBuilder::grace); [`close`](Self::close) waits for that.
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
/// // Returns when it is accepted.
/// notifier.info(&ctxt, "compute.instance.create.end", json!({"instance": 7})).await?;
/// // Returns when the broker has it.
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

/// An accepted notification. Dropping it changes nothing.
#[derive(Debug)]
pub struct Receipt {
    event_type: Arc<str>,
    outcome: oneshot::Receiver<Result<(), NotifyError>>,
}

impl Receipt {
    /// Waits until every driver has delivered the notification; for a broker that is its confirm.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Dropped`], `Failed` or `Abandoned` if it is lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing; the notification stays accepted.
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

    /// Starts to build a notifier. The publisher id says who notifies, by custom `service.host`.
    pub fn builder(publisher_id: impl Into<Arc<str>>) -> NotifierBuilder {
        NotifierBuilder::new(publisher_id.into())
    }

    pub(crate) fn from_handle(handle: Handle, publisher_id: Arc<str>, retry: Retry) -> Self {
        Self { handle: Arc::new(handle), publisher_id, retry }
    }

    /// A notifier to change, leaving this one as it is. They share queue, drivers and counters.
    #[must_use]
    pub fn prepare(&self) -> Self {
        self.clone()
    }

    /// Notifies in this one's name.
    #[must_use]
    pub fn publisher_id(mut self, publisher_id: impl Into<Arc<str>>) -> Self {
        self.publisher_id = publisher_id.into();
        self
    }

    /// Sets how often a notification that failed in a way that may pass is sent again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Notifies under this priority. Returns when the notification is accepted.
    ///
    /// # Errors
    ///
    /// [`NotifyError::Encode`] if the payload has no JSON form, `Context` if the context has none, `QueueFull` after the [`Overflow`] policy was followed,
    /// `Closed`, `RuntimeEnded`. It was not accepted then, and nothing is sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the notification is not accepted.
    pub async fn notify(
        &self,
        priority: Priority,
        ctxt: &Context,
        event_type: impl Into<Arc<str>>,
        payload: impl Serialize,
    ) -> Result<Receipt, NotifyError> {
        let notification = self.notification(priority, ctxt, event_type.into(), &payload)?;
        // So that the future does not have to hold it while it waits.
        drop(payload);
        let event_type = notification.event_type.clone();
        let pushed = self.handle.core.queue.push(notification, self.retry, self.handle.overflow).await;
        self.accepted(event_type, pushed)
    }

    /// Notifies under this priority without waiting: a full queue is an error at once, unless the policy drops the
    /// oldest. For callers that are not async.
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
        // Payloads and redactions may log; so they do for a layer that reports by this very notifier.
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

    /// What this notifier and its clones have done.
    #[must_use]
    pub fn stats(&self) -> NotifierStats {
        let (queued, in_flight) = self.handle.core.queue.load();
        self.handle.core.counts.read(queued, in_flight)
    }

    /// Whether anything comes of notifying; `false` if all drivers are [`Noop`](crate::Noop), so that callers can save
    /// themselves the work.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.handle.core.drivers.iter().any(|driver| driver.is_enabled())
    }

    /// Waits until everything that was accepted before is sent or lost, for at most `within`. Notifying goes on
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`Unsent`] says how many were still on their way when the time was over; they stay accepted.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn flush(&self, within: Duration) -> Result<(), Unsent> {
        if timeout(within, self.handle.core.queue.flushed()).await.is_ok() {
            return Ok(());
        }
        let (queued, in_flight) = self.handle.core.queue.load();
        Err(Unsent { count: queued + in_flight, waited: within })
    }

    /// Accepts nothing more, here and in every clone, and waits until what was accepted is sent or lost, for at most the
    /// [grace](NotifierBuilder::grace). What is left then is reported as [`NotifyError::Abandoned`].
    ///
    /// # Errors
    ///
    /// [`Unsent`] says how many were abandoned, over the notifier's life.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the notifier closing.
    pub async fn close(&self) -> Result<(), Unsent> {
        let (core, grace) = (&self.handle.core, self.handle.grace);
        core.queue.close(later(grace));
        // The worker gives up by itself, unless its runtime does not run it.
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
        /// Each notifies under one priority, and is otherwise [`notify`](Self::notify).
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

/// The instant after `duration`; far enough that nobody waits for it if a clock cannot hold it.
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
