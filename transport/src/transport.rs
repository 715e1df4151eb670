//! The trait that every driver implements.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    error::TransportError,
    listener::Listener,
    message::{Notification, Priority, Reply, Request},
    options::{CallOptions, ListenOptions, SendOptions},
    pending_reply::PendingReply,
    request_queue::{Removal, RequestQueue},
    settings::Settings,
    target::Target,
};

/// The capabilities of a driver and its broker. The conformance suite checks both those that are set and those that are
/// not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// A call that no queue takes fails at once.
    pub detects_undeliverable: bool,
    /// A request that no server took is dropped when its caller times out.
    pub expires_requests: bool,
    /// An unsettled message is delivered to another listener when its receiver dies.
    pub redelivers: bool,
    /// Targets with the same topic in different exchanges are separate. On RabbitMQ they are not, because queues are named
    /// by topic alone.
    pub isolates_exchanges: bool,
    /// Additional request queues can be declared, listened on and removed, and publishing can be paused.
    pub request_queues: bool,
    /// A requeued message can be delivered to any listener. Otherwise it is redelivered to the same one while that exists.
    pub requeues_to_anyone: bool,
    /// Redeliveries can be counted, if [`count_redeliveries`](crate::ListenOptions::count_redeliveries) requests it.
    pub counts_redeliveries: bool,
    /// Notification listeners can form pools. Otherwise requesting a pool is an error.
    pub notification_pools: bool,
    /// The number of [listeners](Transport::listeners) of a target can be queried.
    pub counts_listeners: bool,
}

impl Capabilities {
    /// All capabilities except `isolates_exchanges`, `request_queues` and `counts_listeners`: a base for drivers.
    pub const FULL: Self = Self {
        detects_undeliverable: true,
        expires_requests: true,
        redelivers: true,
        isolates_exchanges: false,
        request_queues: false,
        requeues_to_anyone: true,
        counts_redeliveries: true,
        notification_pools: true,
        counts_listeners: false,
    };
}

/// Whether a transport can currently send and receive.
///
/// A driver may use several connections: `rabbit://` and `amqp://` have one for publishing, and open one for consuming when
/// it is first needed. The state is that of the worst connection in use, in the order `Disconnected`, `Blocked`,
/// `Connected`. A transport may therefore be `Disconnected` while casts still succeed, because only its consuming connection
/// is down; the text names the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Every connection in use is up, and the broker accepts messages.
    Connected,
    /// Connected, but the broker accepts no messages, or publishing is paused; the text is the reason.
    Blocked(Arc<str>),
    /// At least one connection is down and reconnecting; the text names it and the last error.
    Disconnected(Arc<str>),
    /// Closed with [`Transport::close`]; final.
    Closed,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Blocked(reason) => write!(f, "blocked by the broker: {reason}"),
            Self::Disconnected(reason) => write!(f, "disconnected: {reason}"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

/// Carries requests, replies and notifications over one kind of broker. Held as `Arc<dyn Transport>`.
///
/// The trait deals with RPC, not bytes, because the brokers' wire formats differ. Lost connections are reconnected
/// indefinitely, until [`close`](Self::close); every method ends within the timeout in its options.
///
/// # Cancel safety
///
/// Dropping the future of a method abandons the operation at once and leaks nothing. A message that was already sent to the
/// broker stays there: a call or a cast whose future was dropped may still run.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// The capabilities of the driver and its broker.
    fn capabilities(&self) -> Capabilities;

    /// The settings this transport was created with.
    fn settings(&self) -> &Settings;

    /// Watches whether the transport can currently send and receive.
    fn state(&self) -> watch::Receiver<ConnectionState>;

    /// Sends a request without a reply. Returns when the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// Any of [`TransportError`] up to and including `ConnectionLost`.
    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError>;

    /// Sends a request and returns when the broker has confirmed it, with a future of the reply.
    ///
    /// # Errors
    ///
    /// Any of [`TransportError`]; `TimedOut`, `ServerSilent`, `ReplyLost` and `MalformedReply` come from the returned
    /// future only.
    async fn start(&self, to: &Target, request: Request, options: &CallOptions)
    -> Result<PendingReply, TransportError>;

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    ///
    /// Any of [`TransportError`].
    async fn call(&self, to: &Target, request: Request, options: &CallOptions) -> Result<Reply, TransportError> {
        self.start(to, request, options).await?.await
    }

    /// Sends a notification to the target's topic and the notification's priority. Returns when the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// Any of [`TransportError`] up to and including `ConnectionLost`.
    async fn notify(
        &self,
        to: &Target,
        notification: Notification,
        options: &SendOptions,
    ) -> Result<(), TransportError>;

    /// Subscribes to the requests for a topic, for one server by name, and for all servers, as `options.scope` selects.
    /// Returns when subscribed.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic and server, `Topology` if the broker refuses a declaration,
    /// `Unreachable` if the broker does not answer.
    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError>;

    /// Subscribes to the notifications of topics and priorities; with a `pool`, as a member of the pool, which shares its
    /// queue. Returns when subscribed.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    async fn listen_for_notifications(
        &self,
        on: &[(Target, Priority)],
        pool: Option<&str>,
        options: &ListenOptions,
    ) -> Result<Box<dyn Listener<Notification>>, TransportError>;

    /// Declares an additional request queue. After it returns, requests sent to its routing key reach the queue. Declaring an
    /// existing queue does nothing. Declarations and removals of one transport take effect in the order in which they were
    /// started.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] for a queue without topic, name or key, `Topology` if the broker refuses, for
    /// example because the queue exists with another expiry, `Unsupported` if the driver has no such queues, `Unreachable`
    /// if the broker does not answer.
    async fn declare_queue(&self, queue: &RequestQueue) -> Result<(), TransportError> {
        Err(TransportError::Unsupported { what: format!("{queue}") })
    }

    /// Removes an additional request queue. After it returns, requests sent to its routing key are undeliverable, unless
    /// another queue has the same key. Removing a queue that does not exist does nothing.
    ///
    /// # Errors
    ///
    /// [`TransportError::Topology`] while a listener uses the queue, and with [`Removal::IfEmpty`] while it has requests;
    /// otherwise as [`declare_queue`](Self::declare_queue).
    async fn remove_queue(&self, queue: &RequestQueue, removal: Removal) -> Result<(), TransportError> {
        let _ = removal;
        Err(TransportError::Unsupported { what: format!("{queue}") })
    }

    /// Returns how many servers currently listen on the queue of a request to `on`: that of the topic, or of the server that
    /// `on` names. It is 0 if the queue does not exist. The number distinguishes a stopped service, whose queue still exists,
    /// from a slow one. It may change at any time.
    ///
    /// # Errors
    ///
    /// [`TransportError::Unsupported`] if the driver or its broker cannot count listeners
    /// ([`counts_listeners`](Capabilities::counts_listeners)), `InvalidTarget` without a topic or with fanout,
    /// `Unreachable` if the broker did not answer `within` that time.
    async fn listeners(&self, on: &Target, within: Duration) -> Result<u32, TransportError> {
        let _ = within;
        Err(TransportError::Unsupported { what: format!("counting the listeners of {on}") })
    }

    /// Pauses or resumes publishing. While paused, the state is `Blocked`, and messages to be sent, including replies, wait
    /// within their timeouts, as they do while a broker blocks publishers. Messages already in flight are delivered, and
    /// receiving continues.
    ///
    /// # Errors
    ///
    /// [`TransportError::Unsupported`] if the driver cannot pause publishing.
    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        let _ = pause;
        Err(TransportError::Unsupported { what: "pausing publishing".to_owned() })
    }

    /// Closes the transport in order: pending calls fail as `Closed`, settlements and confirms are flushed, and objects that
    /// belong to this transport alone are deleted from the broker. Returns when that is done; a second call returns at once.
    async fn close(&self);
}
