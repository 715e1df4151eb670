//! The dispatcher of events, and its builder.

use std::sync::Arc;

use async_trait::async_trait;
use oxlo_transport::{Context, Notification, Priority, SendOptions, Transport, TransportError};
use serde::Serialize;

use super::names;
use crate::notifier::{
    BuildNotifierError, DriverError, NotificationDriver, Notifier, NotifierBuilder, NotifierStats, NotifyError,
    Receipt, Tries, Unsent, send,
};

/// Sends the events of one source to the services that listen for them with an [`EventListener`](crate::EventListener).
///
/// An event goes to the pools that exist when it is sent, and creates no queue. It is queued, sent and reported like the
/// notifications of a [`Notifier`]. Cloning is cheap.
///
/// ```
/// use oxlo_notify::EventDispatcher;
/// use oxlo_transport::Context;
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
    /// A dispatcher of the events of this source, with the builder's defaults.
    ///
    /// # Errors
    ///
    /// As [`EventDispatcherBuilder::build`].
    pub fn new(transport: Arc<dyn Transport>, source: impl Into<Arc<str>>) -> Result<Self, BuildNotifierError> {
        Self::builder(transport, source).build()
    }

    /// Starts to build a dispatcher of the events of this source, by custom the name of the service.
    pub fn builder(transport: Arc<dyn Transport>, source: impl Into<Arc<str>>) -> EventDispatcherBuilder {
        let source = source.into();
        let notifier = Notifier::builder(source.clone());
        EventDispatcherBuilder { transport, source, mandatory: false, notifier }
    }

    /// Dispatches an event. Returns when the event is accepted; the receipt resolves when the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// As [`Notifier::notify`], and [`NotifyError::InvalidEvent`] for a type that brokers do not accept as a name.
    ///
    /// # Cancel safety
    ///
    /// An event whose future is dropped while the queue is full is not accepted.
    pub async fn dispatch(
        &self,
        ctxt: &Context,
        event_type: impl Into<Arc<str>>,
        payload: impl Serialize,
    ) -> Result<Receipt, NotifyError> {
        let event_type = event_type.into();
        if let Err(error) = names::target(&self.source, &event_type) {
            return Err(NotifyError::InvalidEvent { event_type, error });
        }
        self.notifier.notify(Priority::Info, ctxt, event_type, payload).await
    }

    /// The counters of this dispatcher and its clones.
    #[must_use]
    pub fn stats(&self) -> NotifierStats {
        self.notifier.stats()
    }

    /// Accepts no more events, and waits until the accepted ones are sent or lost: see [`Notifier::close`].
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

/// Builds an [`EventDispatcher`].
#[must_use = "a builder does nothing until it builds"]
#[derive(Debug)]
pub struct EventDispatcherBuilder {
    transport: Arc<dyn Transport>,
    source: Arc<str>,
    mandatory: bool,
    notifier: NotifierBuilder,
}

impl EventDispatcherBuilder {
    /// Sets whether an event without a subscriber is an error: [`NotifyError::Failed`] from the receipt. Default `false`.
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }

    /// Sets the queue, its overflow policy, retries, redaction and grace period, by the builder of the underlying
    /// notifier.
    pub fn notifier(mut self, configure: impl FnOnce(NotifierBuilder) -> NotifierBuilder) -> Self {
        self.notifier = configure(self.notifier);
        self
    }

    /// Builds the dispatcher, whose worker runs on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BuildNotifierError`]: an option out of range, a source that brokers do not accept as a name, or no runtime.
    pub fn build(self) -> Result<EventDispatcher, BuildNotifierError> {
        let Self { transport, source, mandatory, notifier } = self;
        if let Err(TransportError::InvalidTarget { reason }) = names::target(&source, "any") {
            return Err(BuildNotifierError::Option { option: "source", reason });
        }
        let driver = EventDriver { transport, source: source.clone(), mandatory };
        Ok(EventDispatcher { source, notifier: notifier.driver(driver).build()? })
    }
}

/// Sends each event to the topic of its type.
#[derive(Debug)]
struct EventDriver {
    transport: Arc<dyn Transport>,
    source: Arc<str>,
    mandatory: bool,
}

#[async_trait]
impl NotificationDriver for EventDriver {
    fn name(&self) -> &str {
        "events"
    }

    async fn notify(&self, notification: &Notification, tries: &Tries) -> Result<(), Vec<DriverError>> {
        let event_type = &notification.event_type;
        let failed =
            |error: TransportError| vec![DriverError::new("events", Arc::new(error)).on_topic(event_type.clone())];
        let target = names::target(&self.source, event_type).map_err(failed)?;
        // The default queue would keep events that no service consumes.
        let options = SendOptions::new().with_default_queue(false).with_mandatory(self.mandatory);
        send(&*self.transport, &target, notification.clone(), options, tries).await.map_err(failed)
    }
}
