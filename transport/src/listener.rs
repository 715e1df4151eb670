//! Receiving messages: the listener, and the one-shot handles that settle and answer a message.

use std::{fmt, future::Future, time::Duration};

use async_trait::async_trait;
use tokio::{sync::watch, time::Instant};

use crate::{budget::Permit, error::TransportError, message::Reply};

/// A subscription that yields messages until it is closed. After a lost connection or a cancelled consumer, the driver
/// resubscribes.
///
/// Dropping a listener ends the subscription and requeues messages that were not yielded; [`close`](Self::close) also
/// waits for settlements that are on their way to the broker.
#[async_trait]
pub trait Listener<M: Send + 'static>: fmt::Debug + Send {
    /// Waits for the next message.
    ///
    /// # Errors
    ///
    /// [`TransportError::Closed`] after [`stop`](Self::stop) or the transport's close, when no message is left.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe: no message is lost when the future is dropped.
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError>;

    /// Stops taking messages and requeues those that were not yielded. Messages yielded before can still be settled and
    /// answered.
    async fn stop(&mut self);

    /// Stops, and waits until every settlement made so far has reached the broker.
    async fn close(self: Box<Self>);

    /// Whether the broker currently has this subscription.
    fn is_subscribed(&self) -> bool;

    /// Watches [`is_subscribed`](Self::is_subscribed). The receiver of a driver that cannot report changes keeps the
    /// current value.
    fn subscribed(&self) -> watch::Receiver<bool> {
        watch::channel(self.is_subscribed()).1
    }

    /// How many messages of each queue can be unsettled at a time: the requested
    /// [prefetch](crate::ListenOptions::prefetch), or less if the transport's URL limits it. `None` if the driver does not
    /// report it.
    fn prefetch(&self) -> Option<u16> {
        None
    }
}

/// A message that was taken from a queue and must be settled.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery<M> {
    /// The message.
    pub message: M,
    /// Settles the message.
    pub settle: Settle,
    /// Answers the message; `None` if no caller waits for a reply.
    pub replier: Option<Replier>,
    /// When the caller stops waiting, if known.
    pub deadline: Option<Instant>,
    /// Whether the broker delivered the message before, to a consumer that did not settle it.
    pub redelivered: bool,
    /// How many times the message was redelivered, for any reason, where that is counted: by the broker (quorum queues,
    /// `memory://`), or with [`count_redeliveries`](crate::ListenOptions::count_redeliveries). Otherwise 1 stands for any
    /// number above zero.
    pub redeliveries: u32,
    /// When the message is due, if it was [deferred](Settle::defer) and arrived early. The receiver must hold it until then,
    /// or defer it again.
    pub not_before: Option<Instant>,
    /// The message's share of the listener's [memory budget](crate::Settings::max_in_flight_bytes), if the driver has one.
    /// Keep it while the message is being processed; dropping it returns the share.
    pub permit: Option<Permit>,
}

impl<M> Delivery<M> {
    /// Creates a delivery that no caller waits for.
    pub fn new(message: M, settle: Settle) -> Self {
        Self {
            message,
            settle,
            replier: None,
            deadline: None,
            redelivered: false,
            redeliveries: 0,
            not_before: None,
            permit: None,
        }
    }
}

/// How a message is moved to the end of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// How long until the message is due, at most an hour. Zero means at once.
    pub delay: Duration,
    /// Whether the move counts as a redelivery.
    pub counts: bool,
}

impl Deferral {
    /// The longest delay.
    pub const LONGEST: Duration = Duration::from_secs(3600);
}

/// How a message is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: the broker removes the message.
    Ack,
    /// Returned to the broker, for any consumer.
    Requeue,
    /// Unprocessable: the broker drops the message, or dead-letters it where that is configured.
    Reject,
    /// Moved to the end of its queue; see [`Settle::defer`].
    Defer(Deferral),
}

/// Settles one message, once. Dropping it unsettled requeues the message, so that a panic loses nothing.
pub struct Settle(Option<Box<dyn FnOnce(Settlement) + Send>>);

impl Settle {
    /// Creates a handle; for drivers. `settle` passes the decision on and must not block.
    pub fn new(settle: impl FnOnce(Settlement) + Send + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// Settles the message. The broker is informed soon, in the order of settlement.
    pub fn settle(mut self, settlement: Settlement) {
        if let Some(settle) = self.0.take() {
            settle(settlement);
        }
    }

    /// Acknowledges the message: it is done.
    pub fn ack(self) {
        self.settle(Settlement::Ack);
    }

    /// Requeues the message, for any consumer.
    pub fn requeue(self) {
        self.settle(Settlement::Requeue);
    }

    /// Rejects the message as unprocessable.
    pub fn reject(self) {
        self.settle(Settlement::Reject);
    }

    /// Moves the message to the end of its queue, for any consumer of that queue, due after `delay` (at most an hour). The
    /// move counts as a redelivery. Unlike a [requeued](Self::requeue) message, it is delivered after those that wait
    /// behind it.
    ///
    /// No message is lost: a driver that has to publish a copy acknowledges the original after the broker has confirmed the
    /// copy. If the process dies in between, both exist, and a listener that receives both can recognize the copy. Where
    /// no message can be sent to the queue alone (a stream, a topic of ActiveMQ), or without
    /// [`deferrable`](crate::ListenOptions::deferrable), the message is requeued instead, after the delay if possible.
    pub fn defer(self, delay: Duration) {
        self.settle(Settlement::Defer(Deferral { delay, counts: true }));
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle(Settlement::Requeue);
        }
    }
}

impl fmt::Debug for Settle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Settle")
    }
}

/// The driver's side of answering a request.
#[async_trait]
pub trait ReplySink: Send + Sync {
    /// Tells the caller that the method is still running.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the heartbeat cannot be sent; heartbeats then end, and the method continues.
    async fn heartbeat(&self) -> Result<(), TransportError>;

    /// The caller that waits for the reply, for logs. Called only when a line is logged.
    fn caller(&self) -> Option<Caller> {
        None
    }

    /// Sends the reply and returns when the broker has confirmed it. A reply that only its reply queue does not take may be
    /// held and retried while the caller can still be waiting; this method then returns at once, so that the server's slot
    /// becomes free.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if the reply could not be delivered and is not held.
    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError>;
}

/// The caller that waits for a reply, for logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The reply address: on most brokers the name of the caller's reply queue.
    pub reply_to: String,
    /// The id of the call, which a Python caller's timeout also names.
    pub message_id: String,
}

impl Caller {
    /// Creates a caller from its reply address and the id of the call.
    #[must_use]
    pub fn new(reply_to: impl Into<String>, message_id: impl Into<String>) -> Self {
        Self { reply_to: reply_to.into(), message_id: message_id.into() }
    }
}

/// Answers one request, once. If it is dropped without an answer, the caller times out.
pub struct Replier {
    sink: Box<dyn ReplySink>,
    heartbeat_interval: Option<Duration>,
}

impl Replier {
    /// Creates a handle; for drivers. `heartbeat_interval` is set if the caller requested heartbeats.
    #[must_use]
    pub fn new(sink: Box<dyn ReplySink>, heartbeat_interval: Option<Duration>) -> Self {
        Self { sink, heartbeat_interval }
    }

    /// How often the caller expects a heartbeat; `None` if it does not monitor the call.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Option<Duration> {
        self.heartbeat_interval
    }

    /// The caller that waits for the reply, for logs; `None` if unknown.
    #[must_use]
    pub fn caller(&self) -> Option<Caller> {
        self.sink.caller()
    }

    /// Tells the caller that the method is still running.
    ///
    /// # Errors
    ///
    /// As [`ReplySink::heartbeat`].
    pub async fn heartbeat(&self) -> Result<(), TransportError> {
        self.sink.heartbeat().await
    }

    /// Sends the reply and returns when the broker has confirmed it.
    ///
    /// # Errors
    ///
    /// As [`ReplySink::finish`].
    pub fn reply(self, reply: Reply) -> impl Future<Output = Result<(), TransportError>> + Send {
        self.sink.finish(reply)
    }
}

impl fmt::Debug for Replier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replier").field("heartbeat_interval", &self.heartbeat_interval).finish_non_exhaustive()
    }
}
