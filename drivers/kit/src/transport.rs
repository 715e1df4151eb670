//! The [`Transport`] of a driver on a broker: what is the same whatever the protocol is.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use oxlo_transport::{
    CallOptions, Capabilities, ConnectionState, ListenOptions, Listener, Notification, PendingReply, Priority, Removal,
    Reply, Request, RequestQueue, Retry, SendOptions, Settings, Target, Transport, TransportError, budget::Budget,
    json::Limits,
};
use tokio::sync::watch;

use crate::{
    broker::{Broker, Call, SubscriptionSpec},
    duplicates::Duplicates,
    inbound::{Codec, NotificationReader, RequestReader},
    intake::{Intake, Reader},
    lateness::Lateness,
    link::{Link, Role, close},
    pending::{PendingCall, PendingCalls},
    replies::Replies,
    reply_queue::ReplyQueue,
    route_cache::RouteCache,
    send_budget::SendBudget,
    session::Session,
    subscription::Subscriber,
};

/// The two connections of a transport. What stops a broker from taking messages stops everything else that is written on
/// the same connection, so what is consumed and settled has one of its own.
#[derive(Debug)]
pub struct Links<S> {
    /// Sends messages.
    pub publishing: Arc<Link<S>>,
    /// Takes and settles messages; connects with the first subscription.
    pub consuming: Arc<Link<S>>,
}

impl<S: Session> Links<S> {
    /// Makes both links by `link`, and waits until the publishing one is connected; returns that incarnation as well.
    ///
    /// # Errors
    ///
    /// As [`Link::first_connection`].
    pub async fn connect(
        link: impl Fn(Role, &watch::Sender<()>) -> Link<S>,
        retry: Retry,
    ) -> Result<(Self, Arc<S>), TransportError> {
        let news = watch::Sender::new(());
        let publishing = Arc::new(link(Role::Publish, &news));
        let consuming = Arc::new(link(Role::Consume, &news));
        publishing.begin();
        let session = publishing.first_connection(retry).await?;
        Ok((Self { publishing, consuming }, session))
    }
}

/// A transport on a broker.
pub struct BrokerTransport<B: Broker> {
    broker: B,
    settings: Settings,
    routes: RouteCache<B::Route>,
    links: Links<B::Session>,
    calls: PendingCalls,
    reply_queue: OnceLock<ReplyQueue<B::Session>>,
    duplicates: Arc<Duplicates<B::Settler>>,
    replies: Arc<Replies<B::Replies>>,
    lateness: Arc<Lateness>,
    state: watch::Receiver<ConnectionState>,
}

impl<B: Broker> BrokerTransport<B> {
    /// A transport on links of which the publishing one is connected. `state` is the state of both; a reply that cannot be
    /// delivered is held for `hold_for` at most.
    #[must_use]
    pub fn new(
        broker: B,
        settings: Settings,
        links: Links<B::Session>,
        state: watch::Receiver<ConnectionState>,
        replies: B::Replies,
        hold_for: Duration,
    ) -> Self {
        let replies = Arc::new(Replies::new(replies, hold_for, settings.max_message_size));
        Self {
            broker,
            settings,
            routes: RouteCache::default(),
            links,
            calls: PendingCalls::new(),
            reply_queue: OnceLock::new(),
            duplicates: Arc::default(),
            replies,
            lateness: Arc::default(),
            state,
        }
    }

    fn limits(&self) -> Limits {
        Limits::default().with_max_bytes(self.settings.max_message_size).with_max_depth(self.settings.max_depth)
    }

    fn route(&self, to: &Target) -> Result<B::Route, TransportError> {
        self.routes.get_or_try_insert(to, || self.broker.route(to))
    }

    fn reply_queue(&self) -> Result<&ReplyQueue<B::Session>, TransportError> {
        if let Some(there) = self.reply_queue.get() {
            return Ok(there);
        }
        // Of two tasks that come here at once one gives its source back.
        let source = self.broker.reply_source()?;
        Ok(self.reply_queue.get_or_init(|| {
            self.links.consuming.begin();
            ReplyQueue::spawn(source, self.links.consuming.clone(), self.calls.clone(), self.limits())
        }))
    }

    /// Registers a call and encodes its request, which is not sent yet.
    async fn begin(
        &self,
        to: &Target,
        request: &Request,
        options: &CallOptions,
    ) -> Result<(PendingCall, B::Outgoing, SendBudget), TransportError> {
        if to.fanout {
            return Err(TransportError::InvalidTarget {
                reason: "a call goes to one server; use cast for fanout".into(),
            });
        }
        let route = self.route(to)?;
        let budget = SendBudget::new(options.timeout, options.retry);
        let pending = self.calls.register_as(self.broker.call_id(), options.timeout, options.monitor_timeout)?;
        let call = Call {
            pending: &pending,
            calls: &self.calls,
            monitor_timeout: options.monitor_timeout.map(|silence| silence.as_secs()),
            budget,
            reply_queue: self.reply_queue()?,
        };
        let message = self.broker.call(route, request, &call).await?;
        Ok((pending, message, budget))
    }

    async fn subscribe<R: Reader<<B::Codec as Codec>::Raw>>(
        &self,
        spec: SubscriptionSpec<B::Subscription>,
        options: &ListenOptions,
        reader: R,
    ) -> Result<Box<dyn Listener<R::Message>>, TransportError> {
        let consuming = self.links.consuming.clone();
        consuming.begin();
        let budget = Budget::new(self.settings.max_in_flight_bytes);
        let (intake, outlet) = Intake::new(budget, self.duplicates.clone());
        let prefetch = spec.prefetch;
        let source = self.broker.source(spec, options, reader, intake);
        let limit = self.settings.response_timeout;
        Ok(Box::new(Subscriber::subscribe(source, outlet, prefetch, consuming, limit).await?))
    }
}

#[async_trait]
impl<B: Broker> Transport for BrokerTransport<B> {
    fn capabilities(&self) -> Capabilities {
        self.broker.capabilities()
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError> {
        let message = self.broker.cast(self.route(to)?, &request)?;
        let budget = SendBudget::new(options.timeout, options.retry);
        self.broker.send(message, options.mandatory && !to.fanout, &budget).await
    }

    async fn start(
        &self,
        to: &Target,
        request: Request,
        options: &CallOptions,
    ) -> Result<PendingReply, TransportError> {
        let (pending, message, budget) = self.begin(to, &request, options).await?;
        self.broker.send(message, options.mandatory, &budget).await?;
        pending.sent();
        Ok(pending.into())
    }

    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        let (pending, message, budget) = self.begin(to, &request, options).await?;
        self.broker.exchange(message, options.mandatory, &self.calls, pending, &budget).await
    }

    async fn notify(
        &self,
        to: &Target,
        notification: Notification,
        options: &SendOptions,
    ) -> Result<(), TransportError> {
        let message = self.broker.notification(to, &notification, options)?;
        let budget = SendBudget::new(options.timeout, options.retry);
        self.broker.send(message, options.mandatory, &budget).await
    }

    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError> {
        let spec = self.broker.requests(on, options)?;
        let reader = RequestReader {
            codec: self.broker.codec(),
            replies: self.replies.clone(),
            lateness: self.lateness.clone(),
            limits: self.limits(),
        };
        self.subscribe(spec, options, reader).await
    }

    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError> {
        let spec = self.broker.notifications(on, pool, options)?;
        let reader = NotificationReader { codec: self.broker.codec(), limits: self.limits() };
        self.subscribe(spec, options, reader).await
    }

    async fn declare_queue(&self, queue: &RequestQueue) -> Result<(), TransportError> {
        let budget = SendBudget::new(self.settings.response_timeout, Retry::Forever);
        self.broker.declare_queue(queue, &budget).await
    }

    async fn remove_queue(&self, queue: &RequestQueue, removal: Removal) -> Result<(), TransportError> {
        let budget = SendBudget::new(self.settings.response_timeout, Retry::Forever);
        self.broker.remove_queue(queue, removal, &budget).await
    }

    async fn listeners(&self, on: &Target, within: Duration) -> Result<u32, TransportError> {
        on.refuse_fanout()?;
        self.broker.listeners(on, &self.links.consuming, &SendBudget::new(within, Retry::Forever)).await
    }

    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        self.broker.pause_publishing(pause)
    }

    async fn close(&self) {
        self.calls.close();
        self.replies.close().await;
        self.broker.flush().await;
        if let Some(reply_queue) = self.reply_queue.get() {
            reply_queue.close().await;
        }
        close(&self.links.publishing, &self.links.consuming, self.state.clone()).await;
    }
}

impl<B: Broker> fmt::Debug for BrokerTransport<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerTransport")
            .field("broker", &self.broker)
            .field("state", &*self.state.borrow())
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}
