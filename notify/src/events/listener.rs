//! The listener for events of other services, and its builder.

use std::{
    collections::HashSet,
    fmt,
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use oxlo_serving::shutdown_signal;
use oxlo_transport::{Priority, Transport};

use super::{
    running::RunningEventListener,
    subscription::{OnError, Subscription},
};
use crate::listener::{
    ErasedHandler, ListenError, ListenReport, ListenerSpec, NotificationHandler, NotificationListener, erase,
};

const DEFAULT_CONCURRENCY: usize = 64;
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Listens for events of other services, which an [`EventDispatcher`](crate::EventDispatcher) sends, with the three kinds
/// of delivery that nameko has.
///
/// It is built once and can run again after it ended.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use oxlo_notify::{Body, EventListener, OnError, Subscription};
/// # use oxlo_driver_memory::MemoryDriver;
/// # use oxlo_transport::Registry;
/// # let transport = Registry::new().with(MemoryDriver).transport("memory://event-listener").connect().await?;
///
/// let events = EventListener::builder(transport, "billing")
///     .on(
///         Subscription::service_pool("shop", "order_paid").on_error(OnError::retry(5)),
///         async |Body(order): Body<u64>| println!("order {order} is paid"),
///     )
///     .on(Subscription::broadcast("shop", "prices_changed"), async || println!("prices changed"))
///     .start()
///     .await?;
/// events.stop();
/// events.wait().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct EventListener {
    /// One for each subscription.
    listeners: Vec<NotificationListener>,
}

impl EventListener {
    /// Starts to build the listener of one instance of this service.
    pub fn builder(transport: Arc<dyn Transport>, service: impl Into<Arc<str>>) -> EventListenerBuilder {
        EventListenerBuilder {
            transport,
            service: service.into(),
            handlers: Vec::new(),
            concurrency: DEFAULT_CONCURRENCY,
            grace: DEFAULT_GRACE,
        }
    }

    /// Subscribes to all events, and listens in the background. The listener takes events when this returns.
    ///
    /// # Errors
    ///
    /// [`ListenError::Listen`] if a subscription fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the subscriptions.
    pub async fn start(&self) -> Result<RunningEventListener, ListenError> {
        let mut running = RunningEventListener { listeners: Vec::new() };
        for listener in &self.listeners {
            let started = listener.start().await;
            if started.is_err() {
                running.stop();
            }
            running.listeners.push(started?);
        }
        Ok(running)
    }

    /// Listens until `shutdown` resolves, with any value, or the transport is closed.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and as [`RunningEventListener::wait`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the listener as [`RunningEventListener::stop`] does, and discards the report.
    pub async fn serve_until(&self, shutdown: impl Future) -> Result<ListenReport, ListenError> {
        let running = StopOnDrop(self.start().await?);
        running.0.until(shutdown, pending::<()>()).await
    }

    /// Listens until the process is asked to end, as [`shutdown_signal`](crate::shutdown_signal) describes: the first
    /// signal stops gracefully, as [`serve_until`](Self::serve_until), the second one at once.
    ///
    /// # Errors
    ///
    /// As [`serve_until`](Self::serve_until), and [`ListenError::Signals`] if the signal handlers cannot be installed.
    ///
    /// # Cancel safety
    ///
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve_until_signalled(&self) -> Result<ListenReport, ListenError> {
        let signal = shutdown_signal().map_err(ListenError::signals)?;
        let again = signal.again();
        let running = StopOnDrop(self.start().await?);
        running.0.until(signal, again).await
    }
}

impl fmt::Debug for EventListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventListener").field("subscriptions", &self.listeners).finish()
    }
}

/// Builds an [`EventListener`].
#[must_use = "a builder does nothing until it starts"]
pub struct EventListenerBuilder {
    transport: Arc<dyn Transport>,
    service: Arc<str>,
    handlers: Vec<(Subscription, ErasedHandler)>,
    concurrency: usize,
    grace: Duration,
}

impl EventListenerBuilder {
    /// Handles the events of a subscription, by a function as for notification endpoints.
    pub fn on<A: 'static>(mut self, subscription: Subscription, handler: impl NotificationHandler<A>) -> Self {
        self.handlers.push((subscription, erase(handler)));
        self
    }

    /// Sets how many events of each subscription are handled at a time. Default 64; at least 1.
    pub fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events;
        self
    }

    /// Sets the grace period: how long handlers may go on when the listener stops. Default 30 s. Then they are dropped,
    /// and their events return to the broker.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Builds the listener, without contacting the broker.
    ///
    /// # Errors
    ///
    /// [`ListenError::NoHandler`], and [`ListenError::Option`] for an option out of range, two subscriptions that would
    /// share one queue, a reliable broadcast without an identifier, or a name that brokers take as a pattern.
    pub fn build(self) -> Result<EventListener, ListenError> {
        if self.handlers.is_empty() {
            return Err(ListenError::NoHandler);
        }
        let most = usize::from(u16::MAX / 2);
        if self.concurrency == 0 || self.concurrency > most {
            let reason = format!("{} is out of range; at least 1, at most {most}", self.concurrency);
            return Err(ListenError::Option { option: "concurrency", reason });
        }
        let mut pools = HashSet::new();
        let mut listeners = Vec::new();
        for (subscription, handler) in self.handlers {
            let (target, pool) = subscription.resolve(&self.service)?;
            if !pools.insert(pool.clone()) {
                let reason = format!(
                    "two subscriptions to `{}` of `{}` would share their events; give each a `.name(..)`",
                    subscription.event_type, subscription.source
                );
                return Err(ListenError::Option { option: "name", reason });
            }
            let spec = ListenerSpec {
                transport: self.transport.clone(),
                on: vec![(target, Priority::Info)],
                pool: Some(pool.into()),
                transient: !subscription.is_reliable(),
                requeues: subscription.on_error != OnError::Drop,
                prefetch: u16::try_from(self.concurrency * 2).unwrap_or(u16::MAX),
                concurrency: self.concurrency,
                batch_size: 1,
                grace: self.grace,
            };
            listeners.push(NotificationListener::of_events(spec, handler, subscription.on_error.requeue()));
        }
        Ok(EventListener { listeners })
    }

    /// Builds and [starts](EventListener::start).
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and as [`EventListener::start`].
    pub async fn start(self) -> Result<RunningEventListener, ListenError> {
        self.build()?.start().await
    }

    /// Builds and [listens until `shutdown` resolves](EventListener::serve_until).
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and as [`EventListener::serve_until`].
    ///
    /// # Cancel safety
    ///
    /// As [`EventListener::serve_until`].
    pub async fn serve_until(self, shutdown: impl Future) -> Result<ListenReport, ListenError> {
        self.build()?.serve_until(shutdown).await
    }

    /// Builds and [listens until the process is asked to end](EventListener::serve_until_signalled).
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and as [`EventListener::serve_until_signalled`].
    ///
    /// # Cancel safety
    ///
    /// As [`EventListener::serve_until`].
    pub async fn serve_until_signalled(self) -> Result<ListenReport, ListenError> {
        self.build()?.serve_until_signalled().await
    }
}

impl fmt::Debug for EventListenerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscriptions: Vec<_> = self.handlers.iter().map(|(subscription, _)| subscription).collect();
        f.debug_struct("EventListenerBuilder")
            .field("service", &self.service)
            .field("subscriptions", &subscriptions)
            .finish_non_exhaustive()
    }
}

/// Stops the listener when the future that owns it is dropped, which is not a misuse of its handle.
struct StopOnDrop(RunningEventListener);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
