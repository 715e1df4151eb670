//! The driver's [`Transport`]: it composes what the other files do.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use oxlo_driver_kit::{
    held::HeldReplies,
    link::close,
    options::load,
    patience::Patience,
    pending::{PendingCall, PendingCalls},
    state::{Side, joined},
    telemetry::publishing,
};
use oxlo_transport::{
    CallOptions, Capabilities, ConnectionState, Driver, ListenOptions, Listener, Notification, PendingReply, Priority,
    Removal, Reply, Request, RequestQueue, Retry, SendOptions, Settings, Target, Transport, TransportError,
    TransportUrl, budget::Budget, json::Limits,
};
use oxlo_wire::{
    notification,
    request::{self, CallLabels, Labels},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    config::Config,
    connection::{Link, Role, link},
    consume::{Order, Reader, Subscriber},
    lateness::Lateness,
    listeners,
    notification::NotificationReader,
    publish::{Completion, Outgoing, PublishState, Publisher},
    queue_name::QueueName,
    reply_queue::ReplyQueue,
    request::{ReplyRules, RequestReader, Unsent},
    settling::Duplicates,
    topology::{Route, RouteCache, Subscription},
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
        Ok(Arc::new(RabbitTransport::connect(config, settings).await?))
    }
}

/// A transport on RabbitMQ: one connection that publishes, and one that consumes once something is to be consumed.
struct RabbitTransport {
    config: Arc<Config>,
    settings: Settings,
    publishing: Arc<Link>,
    consuming: Arc<Link>,
    publisher: Arc<Publisher>,
    pending: PendingCalls,
    reply_queue: OnceLock<ReplyQueue>,
    duplicates: Arc<Duplicates>,
    routes: RouteCache,
    held: Arc<HeldReplies<Unsent>>,
    lateness: Arc<Lateness>,
    state: watch::Receiver<ConnectionState>,
}

impl RabbitTransport {
    async fn connect(config: Config, settings: Settings) -> Result<Self, TransportError> {
        let tls = load(config.tls.clone()).await?;
        let config = Arc::new(config);
        let news = watch::Sender::new(());
        let publishing = Arc::new(link(config.clone(), tls.clone(), Role::Publish, &news));
        let consuming = Arc::new(link(config.clone(), tls, Role::Consume, &news));
        publishing.begin();
        publishing.first_connection(settings.connect_retry).await?;
        let publisher = Arc::new(Publisher::spawn(config.clone(), publishing.clone()));
        publisher.opened().await?;
        let state = joined(publisher.state(), consuming.state());
        let held = Arc::new(HeldReplies::new(config.missing_queue_retry));
        Ok(Self {
            config,
            settings,
            publishing,
            consuming,
            publisher,
            pending: PendingCalls::new(),
            reply_queue: OnceLock::new(),
            duplicates: Arc::default(),
            routes: RouteCache::default(),
            held,
            lateness: Arc::default(),
            state,
        })
    }

    fn limits(&self) -> Limits {
        Limits::default().with_max_bytes(self.settings.max_message_size).with_max_depth(self.settings.max_depth)
    }

    fn reply_queue(&self) -> Result<&ReplyQueue, TransportError> {
        if let Some(there) = self.reply_queue.get() {
            return Ok(there);
        }
        // Of two tasks that come here at once one gives its name back.
        let name = QueueName::draw(&self.config)?;
        Ok(self.reply_queue.get_or_init(|| {
            self.consuming.begin();
            let state = self.consuming.state();
            ReplyQueue::spawn(self.config.clone(), state, self.pending.clone(), self.limits(), name)
        }))
    }

    fn route(&self, to: &Target) -> Result<Arc<Route>, TransportError> {
        self.routes.get_or_try_insert(to, || self.config.topology.request_route(to, &self.settings.control_exchange))
    }

    fn fits(&self, body: Vec<u8>) -> Result<Vec<u8>, TransportError> {
        let limit = self.settings.max_message_size;
        if body.len() > limit {
            return Err(TransportError::TooLarge { size: body.len(), limit });
        }
        Ok(body)
    }

    /// Registers a call and hands its request over.
    async fn send_call(
        &self,
        to: &Target,
        request: &Request,
        options: &CallOptions,
        confirmed: bool,
    ) -> Result<PendingCall, TransportError> {
        if to.fanout {
            return Err(TransportError::InvalidTarget {
                reason: "a call goes to one server; use cast for fanout".into(),
            });
        }
        let route = self.route(to)?;
        let patience = Patience::new(options.timeout, options.retry);
        let pending = self.pending.register(options.timeout, options.monitor_timeout)?;
        if crate::sabotage::breaks("pending") {
            std::mem::forget(self.pending.register(options.timeout, None));
        }
        let reply_queue = self.reply_queue()?.ready(&self.config, &patience).await?;
        let id = Uuid::now_v7();
        let message_id = pending.message_id();
        let labels = Labels {
            unique_id: &id.simple().to_string(),
            call: Some(CallLabels {
                message_id: &message_id,
                reply_queue,
                monitor_timeout: options.monitor_timeout.map(|silence| silence.as_secs()),
            }),
        };
        let body = self.fits(request::encode(request, &labels).map_err(|error| unwritable(&error))?)?;
        let outgoing = Outgoing { route: &route, body, mandatory: options.mandatory, expires: true, again: None };
        publishing(outgoing.destination(), async {
            if confirmed {
                return self.publisher.publish_confirmed(outgoing, &patience).await;
            }
            let completion = Completion::Call { pending: self.pending.clone(), message_id };
            self.publisher.publish(outgoing, &patience, completion).await
        })
        .await?;
        pending.sent();
        Ok(pending)
    }

    async fn subscribe<R: Reader>(
        &self,
        subscription: Subscription,
        options: &ListenOptions,
        reader: R,
        name: Option<QueueName>,
    ) -> Result<Box<dyn Listener<R::Message>>, TransportError> {
        self.consuming.begin();
        let order = Order {
            link: self.consuming.clone(),
            subscription,
            prefetch: self.config.prefetch.map_or(options.prefetch, |most| most.min(options.prefetch)).max(1),
            budget: Budget::new(self.settings.max_in_flight_bytes),
            max_size: self.settings.max_message_size,
            cancel_on_failover: self.config.cancel_on_failover,
            reader,
            duplicates: self.duplicates.clone(),
            recount: options.count_redeliveries,
            deferrable: options.deferrable,
            publisher: self.publisher.clone(),
            self_check: self.config.self_check.map(|every| (every, self.publisher.clone())),
            _name: name,
        };
        Ok(Box::new(Subscriber::subscribe(order, &self.config, self.settings.response_timeout).await?))
    }
}

#[async_trait]
impl Transport for RabbitTransport {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::FULL;
        capabilities.request_queues = true;
        capabilities.counts_listeners = true;
        capabilities
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        let route = self.route(to)?;
        let id = Uuid::now_v7();
        let labels = Labels { unique_id: &id.simple().to_string(), call: None };
        let body = self.fits(request::encode(&request, &labels).map_err(|error| unwritable(&error))?)?;
        let mandatory = options.mandatory && !to.fanout;
        let outgoing = Outgoing { route: &route, body, mandatory, expires: false, again: None };
        let patience = Patience::new(options.timeout, options.retry);
        publishing(outgoing.destination(), self.publisher.publish_confirmed(outgoing, &patience)).await
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        self.send_call(to, &request, options, true).await.map(PendingReply::from)
    }

    /// Does not wait for the confirm: the reply says more, and a failure to publish ends the call.
    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        let ended = self.send_call(to, &request, options, false).await?.await;
        if matches!(ended, Err(TransportError::Rejected { .. })) {
            self.publisher.refused();
        }
        ended
    }

    async fn notify(
        &self,
        to: &Target,
        notification: Notification,
        options: &SendOptions,
    ) -> Result<(), TransportError> {
        let control_exchange = &self.settings.control_exchange;
        let topology = &self.config.topology;
        let route = Arc::new(topology.notification_route(
            to,
            notification.priority,
            control_exchange,
            options.default_queue,
        )?);
        let id = Uuid::now_v7();
        let unique_id = options.unique_id.clone().unwrap_or_else(|| id.simple().to_string().into());
        let body = notification::encode(&notification, &unique_id).map_err(|error| unwritable(&error))?;
        let body = self.fits(body)?;
        let outgoing = Outgoing { route: &route, body, mandatory: options.mandatory, expires: false, again: None };
        let patience = Patience::new(options.timeout, options.retry);
        publishing(outgoing.destination(), self.publisher.publish_confirmed(outgoing, &patience)).await
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        let name = QueueName::draw(&self.config)?;
        let subscription =
            self.config.topology.rpc_server(on, &options.scope, &self.settings.control_exchange, &name)?;
        let reader = RequestReader {
            publisher: self.publisher.clone(),
            held: self.held.clone(),
            lateness: self.lateness.clone(),
            limits: self.limits(),
            replies: ReplyRules {
                missing_queue_retry: self.config.missing_queue_retry,
                mandatory: self.config.mandatory_replies,
                max_size: self.settings.max_message_size,
            },
        };
        self.subscribe(subscription, options, reader, Some(name)).await
    }

    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        let exchange = &self.settings.control_exchange;
        let subscription = self.config.topology.notification_listener(on, pool, options.transient, exchange)?;
        self.subscribe(subscription, options, NotificationReader { limits: self.limits() }, None).await
    }

    async fn declare_queue(&self, queue: &RequestQueue) -> Result<(), TransportError> {
        let (_, declares) = self.config.topology.request_queue(queue, &self.settings.control_exchange)?;
        self.publisher.declare(&declares, &Patience::new(self.settings.response_timeout, Retry::Forever)).await
    }

    async fn remove_queue(&self, queue: &RequestQueue, removal: Removal) -> Result<(), TransportError> {
        let (name, _) = self.config.topology.request_queue(queue, &self.settings.control_exchange)?;
        let patience = Patience::new(self.settings.response_timeout, Retry::Forever);
        self.publisher.delete(&name, removal, &patience).await
    }

    async fn listeners(&self, on: &Target, within: Duration) -> Result<u32, TransportError> {
        on.refuse_fanout()?;
        let route = self.route(on)?;
        // Queues are named by the key that leads to them.
        let patience = Patience::new(within, Retry::Forever);
        listeners::of_queue(&self.config, &self.consuming, &route.routing_key, &patience).await
    }

    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        self.publisher.pause(pause);
        Ok(())
    }

    async fn close(&self) {
        self.pending.close();
        self.held.close().await;
        self.publisher.flush().await;
        if let Some(reply_queue) = self.reply_queue.get() {
            reply_queue.close().await;
        }
        close(&self.publishing, &self.consuming, self.state.clone()).await;
    }
}

impl fmt::Debug for RabbitTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitTransport")
            .field("hosts", &self.config.places())
            .field("virtual_host", &self.config.virtual_host)
            .field("state", &*self.state.borrow())
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

fn unwritable(error: &serde_json::Error) -> TransportError {
    TransportError::InvalidTarget { reason: format!("the message cannot be written: {error}") }
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
