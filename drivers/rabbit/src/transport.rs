//! The driver: what its [`Broker`] and its connections are.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use oxlo_driver_kit::{
    broker::{Broker, Call, SubscriptionSpec, encoded},
    intake::{Intake, Reader},
    options::load,
    pending::{PendingCall, PendingCalls},
    send_budget::SendBudget,
    state::{Side, joined},
    telemetry::publishing,
    transport::{BrokerTransport, Links},
};
use oxlo_transport::{
    Capabilities, Driver, ListenOptions, Notification, Priority, Removal, Reply, Request, RequestQueue, SendOptions,
    Settings, Target, Transport, TransportError, TransportUrl,
};
use oxlo_wire::{
    notification,
    request::{self, CallLabels, Labels},
};
use uuid::Uuid;

use crate::{
    config::Config,
    connection::{Link, Session, link},
    consume::Queues,
    listeners,
    oslo_codec::OsloCodec,
    publish::{Completion, Outgoing, PublishState, Publisher},
    queue_name::QueueName,
    replies::QueueReplies,
    reply_queue::ReplyQueue,
    settling::Settler,
    stream::received::Received,
    topology::{Route, Subscription},
};

/// The driver for `rabbit://`, `rabbits://` (TLS) and `kombu://` (an alias, as in oslo).
#[derive(Clone, Copy, Debug, Default)]
pub struct RabbitDriver;

#[async_trait]
impl Driver for RabbitDriver {
    fn schemes(&self) -> &'static [&'static str] {
        &["rabbit", "rabbits", "kombu"]
    }

    fn option_group(&self) -> Option<&'static str> {
        Some("oslo_messaging_rabbit")
    }

    async fn connect(&self, url: &TransportUrl, settings: Settings) -> Result<Arc<dyn Transport>, TransportError> {
        let config = Config::from_url(url)?;
        Ok(Arc::new(connect(config, settings).await?))
    }
}

async fn connect(config: Config, settings: Settings) -> Result<BrokerTransport<Rabbit>, TransportError> {
    let tls = load(config.tls.clone()).await?;
    let config = Arc::new(config);
    let connecting = Links::connect(|role, news| link(config.clone(), tls.clone(), role, news), settings.connect_retry);
    let (links, _) = connecting.await?;
    let publisher = Arc::new(Publisher::spawn(config.clone(), links.publishing.clone()));
    publisher.opened().await?;
    let state = joined(publisher.state(), links.consuming.state());
    let missing_queue_retry = config.missing_queue_retry;
    let replies =
        QueueReplies { publisher: publisher.clone(), missing_queue_retry, mandatory: config.mandatory_replies };
    let rabbit = Rabbit { config, settings: settings.clone(), publisher };
    Ok(BrokerTransport::new(rabbit, settings, links, state, replies, missing_queue_retry))
}

/// RabbitMQ.
struct Rabbit {
    config: Arc<Config>,
    settings: Settings,
    publisher: Arc<Publisher>,
}

/// A message and where it goes.
struct Message {
    route: Arc<Route>,
    body: Vec<u8>,
    /// Whether the broker drops it when its deadline is over.
    expires: bool,
}

impl Message {
    fn outgoing(&mut self, mandatory: bool) -> Outgoing<'_> {
        let body = std::mem::take(&mut self.body);
        Outgoing { route: &self.route, body, mandatory, expires: self.expires, again: None }
    }
}

/// What a listener declares and consumes, and the name of its fanout queue.
struct Subscribed {
    subscription: Subscription,
    name: Option<QueueName>,
}

impl Rabbit {
    fn request(&self, request: &Request, call: Option<CallLabels<'_>>) -> Result<Vec<u8>, TransportError> {
        let unique_id = Uuid::now_v7().simple().to_string();
        let labels = Labels { unique_id: &unique_id, call };
        encoded(request::encode(request, &labels), self.settings.max_message_size)
    }

    fn prefetch(&self, options: &ListenOptions) -> u16 {
        self.config.prefetch.map_or(options.prefetch, |most| most.min(options.prefetch)).max(1)
    }
}

impl Broker for Rabbit {
    type Session = Session;
    type Codec = OsloCodec;
    type Replies = QueueReplies;
    type ReplySource = ReplyQueue;
    type Route = Arc<Route>;
    type Outgoing = Message;
    type Subscription = Subscribed;
    type Source<R: Reader<(Received, Bytes)>> = Queues<R>;
    type Settler = Settler;

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::FULL;
        capabilities.request_queues = true;
        capabilities.counts_listeners = true;
        capabilities
    }

    fn codec(&self) -> OsloCodec {
        OsloCodec
    }

    fn route(&self, to: &Target) -> Result<Arc<Route>, TransportError> {
        self.config.topology.request_route(to, &self.settings.control_exchange).map(Arc::new)
    }

    fn cast(&self, route: Arc<Route>, request: &Request) -> Result<Message, TransportError> {
        Ok(Message { route, body: self.request(request, None)?, expires: false })
    }

    async fn call(
        &self,
        route: Arc<Route>,
        request: &Request,
        call: &Call<'_, Session>,
    ) -> Result<Message, TransportError> {
        if crate::sabotage::breaks("pending") {
            std::mem::forget(call.calls.register(call.pending.deadline().duration_since(call.budget.begun), None));
        }
        let reply_queue = call.reply_to().await?;
        let labels = CallLabels {
            message_id: &call.pending.message_id(),
            reply_queue: &reply_queue,
            monitor_timeout: call.monitor_timeout,
        };
        Ok(Message { route, body: self.request(request, Some(labels))?, expires: true })
    }

    fn notification(
        &self,
        to: &Target,
        notification: &Notification,
        options: &SendOptions,
    ) -> Result<Message, TransportError> {
        let (exchange, priority) = (&self.settings.control_exchange, notification.priority);
        let route = self.config.topology.notification_route(to, priority, exchange, options.default_queue)?;
        let unique_id = options.unique_id.clone().unwrap_or_else(|| Uuid::now_v7().simple().to_string().into());
        let body = encoded(notification::encode(notification, &unique_id), self.settings.max_message_size)?;
        Ok(Message { route: Arc::new(route), body, expires: false })
    }

    async fn send(&self, mut message: Message, mandatory: bool, budget: &SendBudget) -> Result<(), TransportError> {
        let outgoing = message.outgoing(mandatory);
        publishing(outgoing.destination(), self.publisher.publish_confirmed(outgoing, budget)).await
    }

    /// Does not wait for the confirm: the reply says more, and a failure to publish ends the call.
    async fn exchange(
        &self,
        mut message: Message,
        mandatory: bool,
        calls: &PendingCalls,
        pending: PendingCall,
        budget: &SendBudget,
    ) -> Result<Reply, TransportError> {
        let outgoing = message.outgoing(mandatory);
        let completion = Completion::Call { pending: calls.clone(), message_id: pending.message_id() };
        publishing(outgoing.destination(), self.publisher.publish(outgoing, budget, completion)).await?;
        pending.sent();
        let ended = pending.await;
        if matches!(ended, Err(TransportError::Rejected { .. })) {
            self.publisher.refused();
        }
        ended
    }

    fn requests(&self, on: &Target, options: &ListenOptions) -> Result<SubscriptionSpec<Subscribed>, TransportError> {
        let name = QueueName::draw(&self.config)?;
        let exchange = &self.settings.control_exchange;
        let subscription = self.config.topology.rpc_server(on, &options.scope, exchange, &name)?;
        let to = Subscribed { subscription, name: Some(name) };
        Ok(SubscriptionSpec { to, prefetch: self.prefetch(options) })
    }

    fn notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<SubscriptionSpec<Subscribed>, TransportError> {
        let exchange = &self.settings.control_exchange;
        let subscription = self.config.topology.notification_listener(on, pool, options.transient, exchange)?;
        let to = Subscribed { subscription, name: None };
        Ok(SubscriptionSpec { to, prefetch: self.prefetch(options) })
    }

    fn source<R: Reader<(Received, Bytes)>>(
        &self,
        spec: SubscriptionSpec<Subscribed>,
        options: &ListenOptions,
        reader: R,
        intake: Intake<R::Message, Settler>,
    ) -> Queues<R> {
        let SubscriptionSpec { to: Subscribed { subscription, name }, prefetch } = spec;
        Queues {
            subscription,
            _name: name,
            prefetch,
            reader,
            intake,
            config: self.config.clone(),
            max_size: self.settings.max_message_size,
            recount: options.count_redeliveries,
            deferrable: options.deferrable,
            publisher: self.publisher.clone(),
            was_subscribed: false,
            offset: None,
            label: Uuid::new_v4(),
        }
    }

    fn reply_source(&self) -> Result<ReplyQueue, TransportError> {
        Ok(ReplyQueue::new(self.config.clone(), QueueName::draw(&self.config)?))
    }

    async fn declare_queue(&self, queue: &RequestQueue, budget: &SendBudget) -> Result<(), TransportError> {
        let (_, declares) = self.config.topology.request_queue(queue, &self.settings.control_exchange)?;
        self.publisher.declare(&declares, budget).await
    }

    async fn remove_queue(
        &self,
        queue: &RequestQueue,
        removal: Removal,
        budget: &SendBudget,
    ) -> Result<(), TransportError> {
        let (name, _) = self.config.topology.request_queue(queue, &self.settings.control_exchange)?;
        self.publisher.delete(&name, removal, budget).await
    }

    async fn listeners(&self, on: &Target, consuming: &Link, budget: &SendBudget) -> Result<u32, TransportError> {
        // Queues are named by the key that leads to them.
        listeners::of_queue(consuming, &self.route(on)?.routing_key, budget).await
    }

    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        self.publisher.pause(pause);
        Ok(())
    }

    async fn flush(&self) {
        self.publisher.flush().await;
    }
}

impl fmt::Debug for Rabbit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rabbit")
            .field("hosts", &self.config.places())
            .field("virtual_host", &self.config.virtual_host)
            .finish_non_exhaustive()
    }
}

impl From<&PublishState> for Side {
    fn from(state: &PublishState) -> Self {
        match state {
            PublishState::Open(_) => Self::Up,
            PublishState::Blocked(reason) => Self::Blocked(reason.clone()),
            PublishState::Down(down) => Self::Down(down.cause.clone()),
            PublishState::Closed => Self::Closed,
        }
    }
}
