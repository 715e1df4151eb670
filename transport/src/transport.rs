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

/// What a driver's broker can do. The conformance suite checks that it does, or that it says it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Nobody listening is an error at once.
    pub detects_undeliverable: bool,
    /// A request that nobody took is dropped when its caller's timeout is over.
    pub expires_requests: bool,
    /// A message that was taken and not settled goes to another listener when its taker dies.
    pub redelivers: bool,
    /// Targets of one topic in different exchanges do not reach each other. RabbitMQ's queues are named by topic
    /// alone, so there they do.
    pub isolates_exchanges: bool,
    /// Extra request queues can be declared, listened on and removed, and publishing can be paused.
    pub request_queues: bool,
    /// A message that was given back goes to any listener. If not, it comes to the same one again as long as that one is
    /// there.
    pub requeues_to_anyone: bool,
    /// It can be counted how often a message came back, if [`count_redeliveries`](crate::ListenOptions::count_redeliveries)
    /// asks for it.
    pub counts_redeliveries: bool,
    /// Notification listeners can form pools. If not, asking for one is refused.
    pub notification_pools: bool,
    /// It can be asked how many [listen](Transport::listeners) for a target.
    pub counts_listeners: bool,
}

impl Capabilities {
    /// A broker that can do everything but keep exchanges apart, have extra request queues and count listeners: the set
    /// to start from.
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

/// Whether a transport can send and receive at the moment.
///
/// A driver may use several connections: `rabbit://` and `amqp://` have one that publishes, and one that consumes once
/// there is something to consume. The state is that of the worst connection that was used so far, in the order
/// `Disconnected`, `Blocked`, `Connected`. So a transport may be `Disconnected` while casts still succeed, because only
/// its consuming connection is down; the text says which one is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Every connection that was used so far is up, and the broker takes messages.
    Connected,
    /// Connected, but the broker takes no messages, or publishing is paused; the text is the reason.
    Blocked(Arc<str>),
    /// At least one connection is down and is being opened again; the text names it, and the last failure.
    Disconnected(Arc<str>),
    /// Closed by us; it does not come back.
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
/// It speaks RPC, not bytes, because the brokers' wire formats differ. Connections that are lost come back by
/// themselves, without end, until [`close`](Self::close); every method ends within its options' timeout.
///
/// # Cancel safety
///
/// Dropping the future of a method forgets it at once and leaks nothing. What had been handed to the broker stays
/// there: a call or a cast that was dropped may still run.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// What the broker can do.
    fn capabilities(&self) -> Capabilities;

    /// What this transport was told when it was made.
    fn settings(&self) -> &Settings;

    /// Whether it can send and receive at the moment, and every change of that.
    fn state(&self) -> watch::Receiver<ConnectionState>;

    /// Sends a request that nobody answers. Returns when the broker has it.
    ///
    /// # Errors
    ///
    /// Any of [`TransportError`] up to and including `ConnectionLost`.
    async fn cast(&self, to: &Target, request: Request, options: &SendOptions) -> Result<(), TransportError>;

    /// Sends a request that is to be answered. Returns when the broker has it; the reply comes from what is returned.
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

    /// Sends a notification to the target's topic, under the notification's priority. Returns when the broker has it.
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

    /// Takes the requests for a topic, for one server of it by name, and for all of them. Returns when subscribed.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] without topic and server, `Topology` if the broker refuses, `Unreachable` if
    /// it does not answer.
    async fn listen(&self, on: &Target, options: &ListenOptions) -> Result<Box<dyn Listener<Request>>, TransportError>;

    /// Takes the notifications of topics and priorities; with a `pool`, as one of those who share its queue. Returns
    /// when subscribed.
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

    /// Declares an extra request queue. When this returns, what is sent to its key reaches it. Declaring what is there
    /// already does nothing; declarations and removals of one transport happen in the order in which they were begun.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] for a queue without topic, name or key, `Topology` if the broker refuses, for
    /// instance because it is there with another expiry, `Unsupported` if the driver has no such queues, `Unreachable`.
    async fn declare_queue(&self, queue: &RequestQueue) -> Result<(), TransportError> {
        Err(TransportError::Unsupported { what: format!("{queue}") })
    }

    /// Removes an extra request queue. When this returns, what is sent to its key is undeliverable, unless another queue
    /// has the same key. Removing what is not there does nothing.
    ///
    /// # Errors
    ///
    /// [`TransportError::Topology`] while somebody listens on it, and with [`Removal::IfEmpty`] while there are requests
    /// in it; else as [`declare_queue`](Self::declare_queue).
    async fn remove_queue(&self, queue: &RequestQueue, removal: Removal) -> Result<(), TransportError> {
        let _ = removal;
        Err(TransportError::Unsupported { what: format!("{queue}") })
    }

    /// How many servers listen at the moment where a request to `on` would wait: for the topic, or for the server that
    /// `on` names. It is 0 as well if nobody ever listened there. It tells a service that was stopped, whose queue is
    /// still there, from one that is slow; it promises nothing about the next moment.
    ///
    /// # Errors
    ///
    /// [`TransportError::Unsupported`] if the driver or its broker cannot tell
    /// ([`counts_listeners`](Capabilities::counts_listeners)), `InvalidTarget` without topic and for a fanout,
    /// `Unreachable` if the broker did not answer `within` that time.
    async fn listeners(&self, on: &Target, within: Duration) -> Result<u32, TransportError> {
        let _ = within;
        Err(TransportError::Unsupported { what: format!("to count who listens for {on}") })
    }

    /// Stops sending, or goes on. While it is paused, the state is `Blocked`, and what is to be sent, replies included,
    /// waits within its timeout as while a broker blocks; what is on its way already gets there, and taking goes on.
    ///
    /// # Errors
    ///
    /// [`TransportError::Unsupported`] if the driver cannot.
    fn pause_publishing(&self, pause: bool) -> Result<(), TransportError> {
        let _ = pause;
        Err(TransportError::Unsupported { what: "pausing to publish".to_owned() })
    }

    /// Ends everything in order: pending calls fail as `Closed`, settlements and confirms are flushed, what belongs
    /// to this transport alone is deleted from the broker. Returns when that is done; a second call returns at once.
    async fn close(&self);
}
