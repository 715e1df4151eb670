//! The [`Transport`] of a driver on a broker: what is the same whatever the protocol is.

use std::{
    fmt,
    future::Future,
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
use uuid::Uuid;

use crate::{
    duplicates::{Duplicates, Settler},
    inbound::{Codec, NotificationReader, RequestReader},
    intake::{Intake, Reader},
    lateness::Lateness,
    link::{Link, close},
    pending::{PendingCall, PendingCalls},
    replies::{Replies, ReplySender},
    reply_queue::{ReplyQueue, ReplySource},
    send_budget::SendBudget,
    session::Session,
    subscription::{Source, Subscriber},
};

/// What a driver does in its broker's protocol.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// One incarnation of a connection.
    type Session: Session;
    /// Reads what comes in.
    type Codec: Codec;
    /// Sends replies.
    type Replies: ReplySender<Caller = <Self::Codec as Codec>::Caller>;
    /// Takes the replies to our own calls.
    type ReplySource: ReplySource<Session = Self::Session>;
    /// Where requests for a target go.
    type Route: Send + Sync;
    /// A message that can be sent any number of times.
    type Outgoing: Send;
    /// What a listener subscribes to.
    type Subscription: Send;
    /// Keeps one subscription.
    type Source<R: Reader<<Self::Codec as Codec>::Raw>>: Source<Session = Self::Session>;
    /// Settles one delivery.
    type Settler: Settler + Send + 'static;

    /// What the broker can do.
    fn capabilities(&self) -> Capabilities;

    /// Reads what comes in.
    fn codec(&self) -> Self::Codec;

    /// Where requests for a target go.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`].
    fn route(&self, to: &Target) -> Result<Self::Route, TransportError>;

    /// A request that nobody answers.
    ///
    /// # Errors
    ///
    /// `TooLarge`, or `InvalidTarget` if it cannot be encoded.
    fn cast(&self, route: Self::Route, request: &Request) -> Result<Self::Outgoing, TransportError>;

    /// The id of a new call, which must be a fresh one.
    fn call_id(&self) -> Uuid {
        Uuid::new_v4()
    }

    /// A request that is to be answered.
    ///
    /// # Errors
    ///
    /// As [`cast`](Self::cast), and those of [`Call::reply_to`].
    fn call(
        &self,
        route: Self::Route,
        request: &Request,
        call: &Call<'_, Self::Session>,
    ) -> impl Future<Output = Result<Self::Outgoing, TransportError>> + Send;

    /// A notification.
    ///
    /// # Errors
    ///
    /// `InvalidTarget`, `TooLarge`.
    fn notification(
        &self,
        to: &Target,
        notification: &Notification,
        options: &SendOptions,
    ) -> Result<Self::Outgoing, TransportError>;

    /// Sends a message, and waits until the broker has it. With `mandatory`, an error if nobody is there to take it.
    ///
    /// # Errors
    ///
    /// As [`Transport::cast`].
    fn send(
        &self,
        message: Self::Outgoing,
        mandatory: bool,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Sends the request of a pending call, and waits for the reply: for the broker's confirm no longer than it takes to
    /// learn that the request was not sent.
    ///
    /// # Errors
    ///
    /// As [`Transport::call`].
    fn exchange(
        &self,
        message: Self::Outgoing,
        mandatory: bool,
        calls: &PendingCalls,
        pending: PendingCall,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<Reply, TransportError>> + Send;

    /// What a server subscribes to.
    ///
    /// # Errors
    ///
    /// As [`Transport::listen`].
    fn requests(
        &self,
        on: &Target,
        options: &ListenOptions,
    ) -> Result<SubscriptionSpec<Self::Subscription>, TransportError>;

    /// What a notification listener subscribes to.
    ///
    /// # Errors
    ///
    /// As [`Transport::listen_for_notifications`].
    fn notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<SubscriptionSpec<Self::Subscription>, TransportError>;

    /// A subscription that hands out what `reader` reads by way of `intake`.
    fn source<R: Reader<<Self::Codec as Codec>::Raw>>(
        &self,
        spec: SubscriptionSpec<Self::Subscription>,
        options: &ListenOptions,
        reader: R,
        intake: Intake<R::Message, Self::Settler>,
    ) -> Self::Source<R>;

    /// Where the replies to our own calls arrive.
    ///
    /// # Errors
    ///
    /// `Config` if its name cannot be held.
    fn reply_source(&self) -> Result<Self::ReplySource, TransportError>;

    /// As [`Transport::declare_queue`].
    ///
    /// # Errors
    ///
    /// As there.
    fn declare_queue(
        &self,
        queue: &RequestQueue,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<(), TransportError>> + Send {
        let _ = budget;
        std::future::ready(Err(TransportError::Unsupported { what: format!("{queue}") }))
    }

    /// As [`Transport::remove_queue`].
    ///
    /// # Errors
    ///
    /// As there.
    fn remove_queue(
        &self,
        queue: &RequestQueue,
        removal: Removal,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<(), TransportError>> + Send {
        let _ = (removal, budget);
        std::future::ready(Err(TransportError::Unsupported { what: format!("{queue}") }))
    }

    /// As [`Transport::listeners`], for a target that is not fanout.
    ///
    /// # Errors
    ///
    /// As there.
    fn listeners(
        &self,
        on: &Target,
        consuming: &Link<Self::Session>,
        budget: &SendBudget,
    ) -> impl Future<Output = Result<u32, TransportError>> + Send;

    /// As [`Transport::pause_publishing`].
    ///
    /// # Errors
    ///
    /// As there.
    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        let _ = pause;
        Err(TransportError::Unsupported { what: "pausing to publish".to_owned() })
    }

    /// Waits until nothing is in flight to the broker, or a few seconds.
    fn flush(&self) -> impl Future<Output = ()> + Send;
}

/// What a listener subscribes to, and how many messages of each queue may be unsettled.
#[derive(Clone, Debug)]
pub struct SubscriptionSpec<T> {
    /// The queues or addresses.
    pub to: T,
    /// Messages of each of them that may be unsettled, at least 1.
    pub prefetch: u16,
}

/// A call whose request is being made.
#[derive(Debug)]
pub struct Call<'a, S> {
    /// The id, which names the call in its reply.
    pub pending: &'a PendingCall,
    /// The calls of the transport.
    pub calls: &'a PendingCalls,
    /// How long the server may be silent, in whole seconds.
    pub monitor_timeout: Option<u64>,
    /// What sending the request may take.
    pub budget: SendBudget,
    reply_queue: &'a ReplyQueue<S>,
}

impl<S: Session> Call<'_, S> {
    /// Where the reply goes, once replies can arrive.
    ///
    /// # Errors
    ///
    /// `Topology` or `Refused` if the broker refuses it, `Unreachable` with the last failure if it takes too long, `Closed`.
    pub async fn reply_to(&self) -> Result<Arc<str>, TransportError> {
        self.reply_queue.ready(&self.budget).await
    }
}

/// The two connections of a transport. What stops a broker from taking messages stops everything else that is written on
/// the same connection, so what is consumed and settled has one of its own.
#[derive(Debug)]
pub struct Links<S> {
    /// Sends messages.
    pub publishing: Arc<Link<S>>,
    /// Takes and settles messages; connects with the first subscription.
    pub consuming: Arc<Link<S>>,
}

/// A transport on a broker.
pub struct BrokerTransport<B: Broker> {
    broker: B,
    settings: Settings,
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
        let route = self.broker.route(to)?;
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
        let message = self.broker.cast(self.broker.route(to)?, &request)?;
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

/// The text of a message to send, unless it is larger than `limit` bytes.
///
/// # Errors
///
/// `TooLarge`; `InvalidTarget` if it could not be encoded.
pub fn encoded<T: AsRef<[u8]>>(text: Result<T, serde_json::Error>, limit: usize) -> Result<T, TransportError> {
    match text {
        Ok(text) if text.as_ref().len() > limit => Err(TransportError::TooLarge { size: text.as_ref().len(), limit }),
        Ok(text) => Ok(text),
        Err(error) => Err(TransportError::InvalidTarget { reason: format!("cannot encode the message: {error}") }),
    }
}
