//! Events: publish-subscribe between services, from the receiver's side.

use std::{collections::HashSet, fmt, future::Future, sync::Arc, time::Duration};

use futures_util::future::join_all;
use oxlo_transport::{
    Delivery, Notification, Priority, Settle, Target, Transport,
    backoff::Backoff,
    events::{self, Reach},
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    dispatch::{caught, reject, say_failed, say_misfit},
    extract::Incoming,
    handler::{Ended, ErasedHandler, NotificationHandler, erase},
    handling::Handling,
    report::{ListenError, ListenReport, Outcome},
    run::{Plan, Process, Work},
    running::RunningListener,
};
use crate::{requeue::Requeue, signals};

const DEFAULT_CONCURRENCY: usize = 64;
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// What becomes of an event whose handler fails or asks for it again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// It is done. The failure is logged and counted. The default, as in nameko.
    Drop,
    /// It goes to the end of its queue and comes again, at most `times` more, to any instance that takes from there: at once
    /// for the first time, then after pauses of up to `first` that double up to `most`. After that it is rejected: the
    /// broker drops it, or dead-letters it where that is configured. The broker keeps it, and the count with it.
    Retry {
        /// How often after the first time.
        times: u32,
        /// What the pause before the second time is at most. More than zero.
        first: Duration,
        /// What any pause is at most; up to an hour.
        most: Duration,
    },
}

impl OnError {
    /// Again, this often, after pauses of up to 100 ms that double to 5 s.
    #[must_use]
    pub fn retry(times: u32) -> Self {
        Self::Retry { times, first: Backoff::BASE, most: Backoff::CAP }
    }
}

/// Which events a handler wants, and who shares them.
#[derive(Clone, Debug)]
#[must_use = "a subscription does nothing until a listener has it"]
pub struct Subscription {
    source: Arc<str>,
    event_type: Arc<str>,
    reach: Reach,
    reliable: Option<bool>,
    name: Option<Arc<str>>,
    identifier: Option<Arc<str>>,
    on_error: OnError,
}

impl Subscription {
    fn new(source: impl Into<Arc<str>>, event_type: impl Into<Arc<str>>, reach: Reach) -> Self {
        Self {
            source: source.into(),
            event_type: event_type.into(),
            reach,
            reliable: None,
            name: None,
            identifier: None,
            on_error: OnError::Drop,
        }
    }

    /// The events of this source and type, each to one instance of this service: nameko's `SERVICE_POOL`.
    pub fn service_pool(source: impl Into<Arc<str>>, event_type: impl Into<Arc<str>>) -> Self {
        Self::new(source, event_type, Reach::ServicePool)
    }

    /// The events of this source and type, each to every instance: nameko's `BROADCAST`.
    pub fn broadcast(source: impl Into<Arc<str>>, event_type: impl Into<Arc<str>>) -> Self {
        Self::new(source, event_type, Reach::Broadcast)
    }

    /// The events of this source and type, each to exactly one of all who listen, whatever their service: nameko's
    /// `SINGLETON`.
    pub fn singleton(source: impl Into<Arc<str>>, event_type: impl Into<Arc<str>>) -> Self {
        Self::new(source, event_type, Reach::Singleton)
    }

    /// Sets whether events are kept while no instance listens. Default `true`; for a broadcast `false`, because an
    /// instance that does not come back would leave its queue behind. A reliable broadcast needs an
    /// [`identifier`](Self::identifier). To be kept through a restart of the broker as well, queues must be durable
    /// (option `amqp_durable_queues`).
    ///
    /// Those who share a queue must agree on this.
    pub fn reliable(mut self, reliable: bool) -> Self {
        self.reliable = Some(reliable);
        self
    }

    /// Names the handler, where a service has several for one event: each named one gets every event. The name must
    /// stay the same from one start to the next.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Names the instance of a broadcast; it must stay the same from one start to the next. Default: a new one each
    /// time.
    pub fn identifier(mut self, identifier: impl Into<Arc<str>>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    /// Sets what becomes of an event whose handler fails or asks for it again.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    fn is_reliable(&self) -> bool {
        self.reliable.unwrap_or(self.reach != Reach::Broadcast)
    }

    /// What it listens on, and the pool by which it shares.
    fn resolve(&self, service: &str) -> Result<(Target, String), ListenError> {
        let option = |option: &'static str, reason: String| ListenError::Option { option, reason };
        let invalid = |error: oxlo_transport::TransportError| option("subscription", error.to_string());
        if self.reach == Reach::Broadcast && self.is_reliable() && self.identifier.is_none() {
            let reason = format!(
                "a reliable broadcast of `{}` of `{}` needs an `.identifier(..)` that stays the same from one start \
                 to the next, or each start leaves a queue behind",
                self.event_type, self.source
            );
            return Err(option("reliable", reason));
        }
        if self.reach != Reach::Broadcast && self.identifier.is_some() {
            let reason = "only a broadcast tells instances apart; leave it out, or use Subscription::broadcast";
            return Err(option("identifier", reason.into()));
        }
        let target = events::target(&self.source, &self.event_type).map_err(invalid)?;
        let instance = self.identifier.clone().unwrap_or_else(|| Uuid::new_v4().simple().to_string().into());
        let mut members: Vec<&str> = match self.reach {
            Reach::Singleton => Vec::new(),
            Reach::Broadcast => vec![service, &instance],
            _ => vec![service],
        };
        members.extend(self.name.as_deref());
        let pool = events::pool(&self.source, &self.event_type, self.reach, &members).map_err(invalid)?;
        Ok((target, pool))
    }
}

/// Listens for events of other services (see `EventDispatcher` of the client), with the three deliveries that users of
/// microservice frameworks know.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use oxlo_server::notifications::{Body, EventListener, OnError, Subscription};
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
#[derive(Debug)]
pub struct EventListener;

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
}

/// Sets what an event listener is made of.
#[must_use = "a builder does nothing until it starts"]
pub struct EventListenerBuilder {
    transport: Arc<dyn Transport>,
    service: Arc<str>,
    handlers: Vec<(Subscription, ErasedHandler)>,
    concurrency: usize,
    grace: Duration,
}

impl EventListenerBuilder {
    /// Handles the events of a subscription, by a function as notification endpoints have them.
    pub fn on<A: 'static>(mut self, subscription: Subscription, handler: impl NotificationHandler<A>) -> Self {
        self.handlers.push((subscription, erase(handler)));
        self
    }

    /// Sets how many events of each subscription are handled at the same time. Default 64; at least 1.
    pub fn concurrency(mut self, events: usize) -> Self {
        self.concurrency = events;
        self
    }

    /// Sets how long handlers may go on when the listener stops. Default 30 s. After it they are dropped where they
    /// wait, and their events go back.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Subscribes to everything. When this returns, events are being taken.
    ///
    /// # Errors
    ///
    /// [`ListenError`] names what is wrong: no handler, two subscriptions that would share one queue, a reliable
    /// broadcast without an identifier, a name that brokers take as a pattern, or why the broker could not be listened
    /// on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the subscriptions.
    pub async fn start(self) -> Result<RunningEvents, ListenError> {
        if self.handlers.is_empty() {
            return Err(ListenError::NoHandler);
        }
        let most = usize::from(u16::MAX / 2);
        if self.concurrency == 0 || self.concurrency > most {
            let reason = format!("{} is out of range; at least 1, at most {most}", self.concurrency);
            return Err(ListenError::Option { option: "concurrency", reason });
        }
        let mut pools = HashSet::new();
        let mut plans = Vec::new();
        for (subscription, handler) in self.handlers {
            let (target, pool) = subscription.resolve(&self.service)?;
            if !pools.insert(pool.clone()) {
                let reason = format!(
                    "two subscriptions to `{}` of `{}` would share their events; give them a `.name(..)` each",
                    subscription.event_type, subscription.source
                );
                return Err(ListenError::Option { option: "name", reason });
            }
            let transient = !subscription.is_reliable();
            plans.push(Plan {
                transport: self.transport.clone(),
                on: vec![(target, Priority::Info)],
                pool: Some(pool.into()),
                transient,
                requeues: subscription.on_error != OnError::Drop,
                prefetch: u16::try_from(self.concurrency * 2).unwrap_or(u16::MAX),
                concurrency: self.concurrency,
                batch_size: 1,
                batch_timeout: Duration::ZERO,
                grace: self.grace,
                process: Arc::new(Arc::new(Events { handler, on_error: subscription.on_error })),
            });
        }
        let mut running = RunningEvents { listeners: Vec::new() };
        for plan in plans {
            let started = plan.start().await;
            if started.is_err() {
                running.stop();
            }
            running.listeners.push(started?);
        }
        Ok(running)
    }

    /// Subscribes to everything, and listens until `shutdown` resolves, whatever it resolves to, or the transport is
    /// closed.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and as [`RunningEvents::wait`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the listener as [`RunningEvents::stop`] does; nobody then learns how it ended.
    pub async fn serve_until(self, shutdown: impl Future) -> Result<ListenReport, ListenError> {
        let running = Stopping(self.start().await?);
        running.0.until(shutdown, std::future::pending::<()>()).await
    }

    /// Subscribes to everything, and listens until the process is asked to end, as
    /// [`shutdown_signal`](crate::shutdown_signal) says: the first time in order, the second time at once.
    ///
    /// # Errors
    ///
    /// As [`serve_until`](Self::serve_until), and [`ListenError::Signals`] if signals cannot be listened to.
    ///
    /// # Cancel safety
    ///
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve_until_signalled(self) -> Result<ListenReport, ListenError> {
        let signal = signals::shutdown_signal().map_err(ListenError::signals)?;
        let again = signal.again();
        let running = Stopping(self.start().await?);
        running.0.until(signal, again).await
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

/// Stops the listeners when its owner's future is dropped, which is no oversight.
struct Stopping(RunningEvents);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// An event listener that runs in the background. Dropping it stops it; if nobody stopped it before, a warning says so.
#[derive(Debug)]
#[must_use = "dropping it stops the listener"]
pub struct RunningEvents {
    listeners: Vec<RunningListener>,
}

impl RunningEvents {
    /// Begins to stop: nothing more is taken, what runs may finish within the grace. Returns at once.
    pub fn stop(&self) {
        self.listeners.iter().for_each(RunningListener::stop);
    }

    /// Ends at once, without grace; see [`RunningListener::stop_now`].
    pub fn stop_now(&self) {
        self.listeners.iter().for_each(RunningListener::stop_now);
    }

    async fn until(&self, shutdown: impl Future, force: impl Future) -> Result<ListenReport, ListenError> {
        let told = async {
            shutdown.await;
            self.stop();
        };
        let told_again = async {
            force.await;
            self.stop_now();
        };
        // Each subscription may end by itself, which ends the others too: half of a listener is none.
        let ended = self.listeners.iter().map(|listener| async {
            let ended = listener.ended().await;
            self.stop();
            ended
        });
        let serving = async {
            let mut report = ListenReport::default();
            for ended in join_all(ended).await {
                report.add(&ended?);
            }
            Ok(report)
        };
        tokio::select! {
            biased;
            ended = serving => ended,
            _ = async { tokio::join!(told, told_again, std::future::pending::<()>()) } => Err(ListenError::Cancelled),
        }
    }

    /// Waits until every subscription has ended, and says what was done for all of them together.
    ///
    /// # Errors
    ///
    /// The first failure of a subscription, as [`RunningListener::wait`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the listener is not touched by it.
    pub async fn wait(&self) -> Result<ListenReport, ListenError> {
        let mut report = ListenReport::default();
        for listener in &self.listeners {
            report.add(&listener.wait().await?);
        }
        Ok(report)
    }

    /// Whether every subscription stands at the broker; see [`RunningListener::is_ready`].
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.listeners.iter().all(RunningListener::is_ready)
    }
}

/// Gives each event to its handler, again where that is wanted.
struct Events {
    handler: ErasedHandler,
    on_error: OnError,
}

impl Events {
    /// What became of an event after one run, and whether another may help.
    async fn once(&self, incoming: &Incoming) -> (Outcome, bool) {
        let running = async { (self.handler)(incoming).await };
        match caught(&incoming.notification, running).await {
            None => (Outcome::Failed, true),
            Some(Ended::With(Handling::Handled)) => (Outcome::Handled, false),
            Some(Ended::With(Handling::Requeue)) => (Outcome::Requeued, true),
            Some(Ended::Failed(failure)) => {
                say_failed(&incoming.notification, &*failure);
                (Outcome::Failed, true)
            }
            Some(Ended::Misfit(misfit)) => {
                say_misfit(&incoming.notification, &misfit);
                (Outcome::Malformed, false)
            }
        }
    }

    async fn handle(
        &self,
        incoming: Incoming,
        redeliveries: u32,
        settle: Settle,
        stopping: &CancellationToken,
    ) -> Outcome {
        let (outcome, again) = self.once(&incoming).await;
        match self.on_error {
            OnError::Drop => {
                settle.ack();
                return if outcome == Outcome::Requeued { Outcome::Handled } else { outcome };
            }
            OnError::Retry { .. } if !again => settle.ack(),
            // Another instance can have it rather than wait here.
            OnError::Retry { .. } if stopping.is_cancelled() => settle.requeue(),
            OnError::Retry { times: limit, first, most } => {
                let requeue = Requeue { first, most, limit };
                if !requeue.allows(redeliveries) {
                    reject(&incoming.notification, redeliveries, settle);
                    return Outcome::Rejected;
                }
                metrics::counter!("oxlo_events_retried_total").increment(1);
                requeue.defer(settle, redeliveries);
            }
        }
        outcome
    }
}

impl Process for Arc<Events> {
    fn process(
        &self,
        unit: Vec<Delivery<Notification>>,
        slot: OwnedSemaphorePermit,
        stopping: CancellationToken,
    ) -> Work {
        let this = self.clone();
        Box::pin(async move {
            let mut report = ListenReport::default();
            for Delivery { message: notification, settle, redelivered, redeliveries, .. } in unit {
                let incoming = Incoming { notification, redelivered };
                let outcome = this.handle(incoming, redeliveries, settle, &stopping).await;
                report.count(outcome);
            }
            drop(slot);
            report
        })
    }
}
