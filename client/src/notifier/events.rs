//! Events: publish-subscribe between services, from the sender's side.

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_transport::{Context, Notification, Priority, SendOptions, Transport, TransportError, events};
use serde::Serialize;

use super::{
    build::{BuildNotifierError, NotifierBuilder},
    driver::{NotificationDriver, Tries},
    error::{DriverError, NotifyError, Unsent},
    handle::{Notifier, Receipt},
    messaging::send,
    stats::NotifierStats,
};

/// Dispatches the events of one source to whoever listens for them (see `EventListener` of the server).
///
/// An event goes to the pools that exist at that moment; it brings no queue along. It is queued, sent and reported as the
/// notifications of a [`Notifier`] are. Cloning is cheap.
///
/// ```
/// use oxlo_client::{Context, notifier::EventDispatcher};
/// use serde_json::json;
/// # use oxlo_driver_memory::MemoryDriver;
/// # use oxlo_transport::Registry;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transport = Registry::new().with(MemoryDriver).transport("memory://events").connect().await?;
///
/// let shop = EventDispatcher::new(transport, "shop")?;
/// shop.dispatch(&Context::new(), "order_paid", json!({"order": 7})).await?;
/// shop.close().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct EventDispatcher {
    source: Arc<str>,
    notifier: Notifier,
}

impl EventDispatcher {
    /// Dispatches the events of this source, with the defaults of a [`NotifierBuilder`].
    ///
    /// # Errors
    ///
    /// As [`with`](Self::with).
    pub fn new(transport: Arc<dyn Transport>, source: impl Into<Arc<str>>) -> Result<Self, BuildNotifierError> {
        Self::with(transport, source, false, |builder| builder)
    }

    /// Dispatches the events of this source. `mandatory` makes it an error that nobody subscribes to an event:
    /// [`NotifyError::Failed`] from the receipt. `configure` sets the queue, its policy, retries, redaction, grace.
    ///
    /// # Errors
    ///
    /// [`BuildNotifierError`], for an option out of range, for a source that cannot be a name on a broker, or outside of
    /// a tokio runtime.
    pub fn with(
        transport: Arc<dyn Transport>,
        source: impl Into<Arc<str>>,
        mandatory: bool,
        configure: impl FnOnce(NotifierBuilder) -> NotifierBuilder,
    ) -> Result<Self, BuildNotifierError> {
        let source = source.into();
        if let Err(TransportError::InvalidTarget { reason }) = events::target(&source, "any") {
            return Err(BuildNotifierError::Option { option: "source", reason });
        }
        let driver = Dispatch { transport, source: source.clone(), mandatory };
        let notifier = configure(Notifier::builder(source.clone()).driver(driver)).build()?;
        Ok(Self { source, notifier })
    }

    /// Dispatches an event. Returns when it is accepted; the receipt says when the broker has it.
    ///
    /// # Errors
    ///
    /// As [`Notifier::notify`], and [`NotifyError::InvalidEvent`] for a type that cannot be a name on a broker.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, the event is not accepted.
    pub async fn dispatch(
        &self,
        ctxt: &Context,
        event_type: impl Into<Arc<str>>,
        payload: impl Serialize,
    ) -> Result<Receipt, NotifyError> {
        let event_type = event_type.into();
        if let Err(error) = events::target(&self.source, &event_type) {
            return Err(NotifyError::InvalidEvent { event_type, error });
        }
        self.notifier.notify(Priority::Info, ctxt, event_type, payload).await
    }

    /// What this dispatcher and its clones have done.
    #[must_use]
    pub fn stats(&self) -> NotifierStats {
        self.notifier.stats()
    }

    /// Accepts nothing more, and waits until what was accepted is sent or lost: see [`Notifier::close`].
    ///
    /// # Errors
    ///
    /// As [`Notifier::close`].
    ///
    /// # Cancel safety
    ///
    /// As [`Notifier::close`].
    pub async fn close(&self) -> Result<(), Unsent> {
        self.notifier.close().await
    }
}

/// Sends each event to the topic of its type.
#[derive(Debug)]
struct Dispatch {
    transport: Arc<dyn Transport>,
    source: Arc<str>,
    mandatory: bool,
}

#[async_trait]
impl NotificationDriver for Dispatch {
    fn name(&self) -> &str {
        "events"
    }

    async fn notify(&self, notification: &Notification, tries: &Tries) -> Result<(), Vec<DriverError>> {
        let event_type = &notification.event_type;
        let failed =
            |error: TransportError| vec![DriverError::new("events", Arc::new(error)).on_topic(event_type.clone())];
        let target = events::target(&self.source, event_type).map_err(failed)?;
        // The default queue would keep events that nobody ever takes.
        let options = SendOptions::new().with_default_queue(false).with_mandatory(self.mandatory);
        send(&*self.transport, &target, notification.clone(), options, tries).await.map_err(failed)
    }
}
