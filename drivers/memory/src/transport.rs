//! The transport, and the bus as a program sees it.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use oxlo_driver_kit::{
    pending::{PendingCall, PendingCalls},
    send_budget::SendBudget,
    telemetry::{Destination, publish_span, published, publishing},
};
use oxlo_transport::{
    CallOptions, Capabilities, ConnectionState, ListenOptions, ListenScope, Listener, Notification, PendingReply,
    Priority, Removal, Reply, Request, RequestQueue, SendOptions, Settings, Target, Transport, TransportError,
};
use tokio::{
    sync::{Notify, watch},
    task::coop::consume_budget,
    time::{Instant, timeout},
};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    broker::{ConsumerId, Message},
    bus::{Answer, Bus, Incoming, State},
    faults::{Faults, Traffic},
    link::{Attempt, Link, Publish},
    listener::{Delivered, MemoryListener},
    names::{Key, QueueName, Route},
    size,
};

/// A handle on the bus that every `memory://name` of this process leads to. Cloning it is cheap.
///
/// The bus exists as long as a transport or a handle of it does; the next of that name is a new one.
#[derive(Clone)]
pub struct MemoryBus(Arc<Bus>);

/// What there is on a bus at one moment. All but `transports` is zero when everything is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Load {
    /// Transports that were not closed.
    pub transports: usize,
    /// Calls that wait for their reply.
    pub calls: usize,
    /// Messages in queues. An expired one counts until the queue is looked at for the next time.
    pub waiting: usize,
    /// Messages that listeners hold and nobody settled.
    pub unsettled: usize,
}

impl MemoryBus {
    /// The bus of this name; `""` is the one of the bare `memory://`.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(Bus::named(name))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// What can be made to go wrong on it.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::new(self.0.clone())
    }

    /// What there is on it now.
    #[must_use]
    pub fn load(&self) -> Load {
        let state = self.0.lock();
        Load {
            transports: state.connections(),
            calls: state.pending_calls(),
            waiting: state.requests.waiting() + state.notifications.waiting(),
            unsettled: state.requests.unsettled() + state.notifications.unsettled(),
        }
    }

    /// Connects a transport to it, under a name for [`Faults::disconnect`] if one is given.
    #[must_use]
    pub fn connect(&self, name: Option<&str>, settings: Settings) -> MemoryTransport {
        let pending = PendingCalls::new();
        let (id, state) = self.0.lock().join(name.map(str::to_owned), pending.clone());
        MemoryTransport { link: Arc::new(Link { bus: self.0.clone(), id, settings, state }), pending, shared: false }
    }
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBus").field("name", &self.name()).field("load", &self.load()).finish()
    }
}

/// What is left of a send that could not be done at once.
type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), TransportError>> + Send + 'a>>;

/// One program's connection to a [`MemoryBus`].
///
/// Dropping it closes it, unless a listener, a delivery or a replier of it is still there; those keep it open.
pub struct MemoryTransport {
    link: Arc<Link>,
    pending: PendingCalls,
    /// Whether queues are named without their exchange.
    shared: bool,
}

impl MemoryTransport {
    /// Names queues by topic, server and pool alone, as RabbitMQ has them: listeners on one topic in two exchanges share
    /// its queue, and a fanout reaches both. `exchanges=shared` in the URL does the same. All transports that use a bus
    /// should agree on it.
    #[must_use]
    pub fn sharing_exchanges(mut self) -> Self {
        self.shared = true;
        self
    }

    /// What keeps the names of queues apart: the exchange, or nothing.
    fn namespace(&self, exchange: &Arc<str>) -> Arc<str> {
        if self.shared { "".into() } else { exchange.clone() }
    }

    /// The queue of everyone who takes what is sent to a route.
    fn queue(&self, route: &Route) -> QueueName {
        QueueName::Shared(Route { exchange: self.namespace(&route.exchange), key: route.key.clone() })
    }

    fn exchange(&self, target: &Target) -> Arc<str> {
        target.exchange.clone().unwrap_or_else(|| self.link.settings.control_exchange.clone())
    }

    /// Where a request goes: fanout wins over server, as in oslo.
    fn route(&self, to: &Target) -> Result<Route, TransportError> {
        let topic = to.require_topic()?.clone();
        let key = match &to.server {
            _ if to.fanout => Key::Fanout(topic),
            Some(server) => Key::Server(topic, server.clone()),
            None => Key::Topic(topic),
        };
        let exchange = self.exchange(to);
        let exchange = if to.fanout { self.namespace(&exchange) } else { exchange };
        Ok(Route { exchange, key })
    }

    /// Name and route of an extra queue.
    fn extra(&self, queue: &RequestQueue) -> Result<(QueueName, Route), TransportError> {
        let RequestQueue { topic, name, routing_key, .. } = queue.check()?;
        let exchange = self.exchange(&queue.target());
        let route = Route { exchange: exchange.clone(), key: Key::Server(topic.clone(), routing_key.clone()) };
        let exchange = self.namespace(&exchange);
        Ok((QueueName::Extra { exchange, topic: topic.clone(), name: name.clone() }, route))
    }

    /// Sends a request, at once if nothing has to be waited for; else that is what is left to do.
    fn send(
        &self,
        to: Route,
        message: Message<Incoming>,
        mandatory: bool,
        budget: impl FnOnce() -> SendBudget,
    ) -> Result<Option<Waiting<'_>>, TransportError> {
        let mandatory = mandatory && !matches!(to.key, Key::Fanout(_));
        let span = publish_span(destination(&to, message.content.request.args.len()));
        let hand_over = move |state: &mut State, route: &Route, message| {
            let now = Instant::now();
            state.requests.sweep(now);
            let routed = state.requests.publish(route, message, now);
            if mandatory && !routed { Err(undeliverable(route)) } else { Ok(()) }
        };
        let publish = Publish { traffic: Traffic::Requests, to, hand_over };
        match span.in_scope(|| self.link.attempt(&publish, message)) {
            Attempt::Done(result) => {
                published(&span, &result);
                result.map(|()| None)
            }
            attempt => {
                let budget = budget();
                Ok(Some(Box::pin(async move {
                    let result = self.link.go_on(publish, attempt, budget).instrument(span.clone()).await;
                    published(&span, &result);
                    result
                })))
            }
        }
    }

    /// Begins a call: it is registered, and its request sent.
    async fn begin(&self, to: &Target, request: Request, options: &CallOptions) -> Result<PendingCall, TransportError> {
        consume_budget().await;
        let route = self.route(to)?;
        if to.fanout {
            return Err(TransportError::InvalidTarget {
                reason: format!("a call is answered by one server, and `{to}` means all of them; cast instead"),
            });
        }
        size::check(size::of_request(&request), &self.link.settings)?;
        let pending = self.pending.register(options.timeout, options.monitor_timeout)?;
        let deadline = pending.deadline();
        let answer =
            Answer { to: self.link.id, call: pending.id(), deadline, monitor_timeout: options.monitor_timeout };
        let message = Message {
            content: Incoming { request, answer: Some(answer) },
            unique_id: unique_id(),
            expires: Some(deadline),
        };
        if let Some(waiting) =
            self.send(route, message, options.mandatory, || SendBudget::until(deadline, options.retry))?
        {
            waiting.await?;
        }
        pending.sent();
        Ok(pending)
    }

    async fn subscribe<C: Delivered>(
        &self,
        options: &ListenOptions,
        topology: impl FnOnce(ConsumerId) -> Vec<(QueueName, Route)>,
    ) -> Result<MemoryListener<C>, TransportError> {
        self.link.connected().await?;
        let wake = Arc::new(Notify::new());
        let consumer = self.link.bus.lock().subscribe::<C>(self.link.id, options.prefetch, wake.clone(), topology);
        Ok(MemoryListener::new(self.link.clone(), consumer, wake, options.prefetch.max(1)))
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::FULL;
        capabilities.isolates_exchanges = !self.shared;
        capabilities.request_queues = true;
        capabilities.counts_listeners = true;
        capabilities
    }

    fn settings(&self) -> &Settings {
        &self.link.settings
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.link.state.clone()
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        consume_budget().await;
        let route = self.route(to)?;
        size::check(size::of_request(&request), &self.link.settings)?;
        let message = Message { content: Incoming { request, answer: None }, unique_id: unique_id(), expires: None };
        let budget = || SendBudget::new(options.timeout, options.retry);
        match self.send(route, message, options.mandatory, budget)? {
            None => Ok(()),
            Some(waiting) => waiting.await,
        }
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        self.begin(to, request, options).await.map(PendingReply::from)
    }

    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        self.begin(to, request, options).await?.await
    }

    async fn notify(
        &self,
        to: &Target,
        notification: Notification,
        options: &SendOptions,
    ) -> Result<(), TransportError> {
        consume_budget().await;
        let topic = to.require_topic()?.clone();
        let route = Route { exchange: self.exchange(to), key: Key::Notifications(topic, notification.priority) };
        size::check(size::of_notification(&notification), &self.link.settings)?;
        let id = options.unique_id.as_deref().map_or_else(unique_id, |id| self.link.bus.number(id));
        let size = notification.payload.len();
        let message = Message { content: notification, unique_id: id, expires: None };
        let budget = || SendBudget::new(options.timeout, options.retry);
        let destination = destination(&route, size);
        let hand_over = |state: &mut State, _: &_, message| {
            if options.default_queue {
                // So that nothing is lost before the first listener comes.
                state.notifications.declare(&self.queue(&route), &route);
            }
            let routed = state.notifications.publish(&route, message, Instant::now());
            if options.mandatory && !routed { Err(undeliverable(&route)) } else { Ok(()) }
        };
        let publish = Publish { traffic: Traffic::Notifications, to: &route.key, hand_over };
        publishing(destination, self.link.publish(publish, message, budget)).await
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        let exchange = self.exchange(on);
        let route = |key| Route { exchange: exchange.clone(), key };
        let shared = |route: Route| (self.queue(&route), route);
        let (topic, server) = match &options.scope {
            ListenScope::Topic => (on.require_topic()?, None),
            ListenScope::Queue(queue) => {
                self.declare_queue(queue).await?;
                let extra = self.extra(queue)?;
                return Ok(Box::new(self.subscribe::<Incoming>(options, |_| vec![extra]).await?));
            }
            _ => {
                let (topic, server) = on.require_topic_and_server()?;
                (topic, Some(server))
            }
        };
        let topology = |consumer| {
            let mut queues = Vec::new();
            if options.scope != ListenScope::Named {
                queues.push(shared(route(Key::Topic(topic.clone()))));
            }
            if let Some(server) = server {
                queues.push(shared(route(Key::Server(topic.clone(), server.clone()))));
            }
            if options.scope == ListenScope::Server {
                let to_all = Route { exchange: self.namespace(&exchange), key: Key::Fanout(topic.clone()) };
                queues.push((QueueName::Own(consumer), to_all));
            }
            queues
        };
        Ok(Box::new(self.subscribe::<Incoming>(options, topology).await?))
    }

    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        if on.is_empty() {
            return Err(TransportError::InvalidTarget {
                reason: "a notification listener needs at least one topic and priority".into(),
            });
        }
        if options.transient && pool.is_none() {
            return Err(TransportError::InvalidTarget {
                reason: "without a pool the queues are everyone's and stay; name a pool for a transient one".into(),
            });
        }
        let mut queues = Vec::new();
        for (target, priority) in on {
            let topic = target.require_topic()?.clone();
            let exchange = self.exchange(target);
            let route = Route { exchange: exchange.clone(), key: Key::Notifications(topic, *priority) };
            let queue = match pool {
                Some(pool) => QueueName::Pool { exchange: self.namespace(&exchange), pool: pool.into() },
                None => self.queue(&route),
            };
            queues.push((queue, route));
        }
        let names: Vec<QueueName> = queues.iter().map(|(name, _)| name.clone()).collect();
        let listener = self.subscribe::<Notification>(options, |_| queues).await?;
        if options.transient {
            let mut state = self.link.bus.lock();
            names.iter().for_each(|name| state.notifications.make_transient(name));
        }
        Ok(Box::new(listener))
    }

    async fn declare_queue(&self, queue: &RequestQueue) -> Result<(), TransportError> {
        let (name, route) = self.extra(queue)?;
        self.link.connected().await?;
        let declared = self.link.bus.lock().requests.declare_expiring(&name, &route, queue.expires, Instant::now());
        declared.map_err(|there| {
            let shown = |expires: Option<Duration>| expires.map_or_else(|| "never".to_owned(), |it| format!("{it:?}"));
            TransportError::Topology {
                object: queue.to_string(),
                reason: format!(
                    "it expires after {}, and {} is asked for; remove it first, or ask for the same",
                    shown(there),
                    shown(queue.expires)
                ),
            }
        })
    }

    async fn remove_queue(&self, queue: &RequestQueue, removal: Removal) -> Result<(), TransportError> {
        let (name, _) = self.extra(queue)?;
        self.link.connected().await?;
        let removed = self.link.bus.lock().requests.remove(&name, removal == Removal::Discard);
        removed.map_err(|used| {
            let reason = match used {
                (0, messages) => format!("it still holds {messages} requests; take them, or discard them"),
                (consumers, _) => format!("{consumers} listeners take from it; stop them first"),
            };
            TransportError::Topology { object: queue.to_string(), reason }
        })
    }

    async fn listeners(&self, on: &Target, within: Duration) -> Result<u32, TransportError> {
        on.refuse_fanout()?;
        let queue = self.queue(&self.route(on)?);
        let (begun, mut state) = (Instant::now(), self.state());
        let up = state.wait_for(|state| !matches!(state, ConnectionState::Disconnected(_)));
        match timeout(within, up).await {
            Ok(Ok(state)) if *state == ConnectionState::Closed => return Err(TransportError::Closed),
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(TransportError::Closed),
            Err(_) => {
                let broker = format!("memory://{}", self.link.bus.name());
                return Err(TransportError::Unreachable { broker, waited: begun.elapsed(), source: None });
            }
        }
        Ok(u32::try_from(self.link.bus.lock().requests.consumers(&queue)).unwrap_or(u32::MAX))
    }

    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        self.link.bus.lock().pause_publishing(self.link.id, pause);
        Ok(())
    }

    async fn close(&self) {
        self.link.close();
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport")
            .field("bus", &self.link.bus.name())
            .field("state", &*self.link.state.borrow())
            .field("pending", &self.pending)
            .finish()
    }
}

fn destination(route: &Route, size: usize) -> Destination<'_> {
    Destination { system: "memory", exchange: &route.exchange, key: &route.key, size }
}

fn undeliverable(route: &Route) -> TransportError {
    TransportError::Undeliverable { exchange: route.exchange.to_string(), routing_key: route.key.to_string() }
}

fn unique_id() -> u128 {
    Uuid::new_v4().as_u128()
}
