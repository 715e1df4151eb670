//! Taking messages: the listener, and the one-shot handles that settle and answer one message.

use std::{fmt, future::Future, time::Duration};

use async_trait::async_trait;
use tokio::{sync::watch, time::Instant};

use crate::{budget::Permit, error::TransportError, message::Reply};

/// A subscription that yields messages until it is closed. Lost connections and cancelled consumers are subscribed
/// again behind it.
///
/// Dropping it ends the subscription and gives back what was not handed out; [`close`](Self::close) also waits for
/// what is on its way to the broker.
#[async_trait]
pub trait Listener<M: Send + 'static>: fmt::Debug + Send {
    /// The next message.
    ///
    /// # Errors
    ///
    /// [`TransportError::Closed`] after [`stop`](Self::stop) or the transport's close, when nothing is left.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no message is lost when the future is dropped.
    async fn recv(&mut self) -> Result<Delivery<M>, TransportError>;

    /// Takes no further messages; those that wait here go back to the broker. Messages handed out before can still be
    /// settled and answered.
    async fn stop(&mut self);

    /// Stops, and waits until every settlement made so far is at the broker.
    async fn close(self: Box<Self>);

    /// Whether the subscription stands at the broker at this moment.
    fn is_subscribed(&self) -> bool;

    /// [`is_subscribed`](Self::is_subscribed), and every change of it. A driver that cannot tell of changes gives what
    /// is true now.
    fn subscribed(&self) -> watch::Receiver<bool> {
        watch::channel(self.is_subscribed()).1
    }

    /// How many messages of each queue it hands out before the first of them is settled: what was asked for, or less
    /// where the transport's URL says so. `None` if the driver does not tell.
    fn prefetch(&self) -> Option<u16> {
        None
    }
}

/// One message that was taken and must be settled.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery<M> {
    /// The message.
    pub message: M,
    /// Says what becomes of it.
    pub settle: Settle,
    /// Answers it; `None` if nobody waits.
    pub replier: Option<Replier>,
    /// When its caller stops waiting, as far as that can be known.
    pub deadline: Option<Instant>,
    /// Whether the broker delivered it before, to somebody who did not settle it.
    pub redelivered: bool,
    /// How often it came back before, for whatever reason, as far as that is counted: by the broker (quorum queues,
    /// `memory://`), or with [`count_redeliveries`](crate::ListenOptions::count_redeliveries). Else 1 for any number.
    pub redeliveries: u32,
    /// When it is to be handled, if it was [deferred](Settle::defer) and came before its time. Whoever takes it then holds
    /// it back, or defers it again.
    pub not_before: Option<Instant>,
    /// Its share of what the listener may [hold in memory](crate::Settings::max_in_flight_bytes), where the driver counts
    /// that: to be kept as long as the message is worked on.
    pub permit: Option<Permit>,
}

impl<M> Delivery<M> {
    /// A message that nobody waits for.
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

/// How a message goes behind the others of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferral {
    /// How long until it is due, at most an hour; zero: it is due at once.
    pub delay: Duration,
    /// Whether this counts as a redelivery.
    pub counts: bool,
}

impl Deferral {
    /// The longest delay.
    pub const LONGEST: Duration = Duration::from_secs(3600);
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is done; the broker forgets it.
    Ack,
    /// It goes back to the broker, for anyone.
    Requeue,
    /// It is of no use to anyone; the broker drops it, or dead-letters it where that is configured.
    Reject,
    /// It goes to the end of its queue; see [`Settle::defer`].
    Defer(Deferral),
}

/// Settles one message, once. Dropping it unsettled puts the message back, so that a panic loses nothing.
pub struct Settle(Option<Box<dyn FnOnce(Settlement) + Send>>);

impl Settle {
    /// For drivers: `settle` must not block; it hands the decision on.
    pub fn new(settle: impl FnOnce(Settlement) + Send + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// Says what becomes of the message. The broker learns of it soon, and in order.
    pub fn settle(mut self, settlement: Settlement) {
        if let Some(settle) = self.0.take() {
            settle(settlement);
        }
    }

    /// It is done.
    pub fn ack(self) {
        self.settle(Settlement::Ack);
    }

    /// It goes back, for anyone.
    pub fn requeue(self) {
        self.settle(Settlement::Requeue);
    }

    /// It is of no use to anyone.
    pub fn reject(self) {
        self.settle(Settlement::Reject);
    }

    /// It goes to the end of the queue that it came from, for anyone who takes from that queue, is counted as one more
    /// redelivery, and says that it is due after `delay`. Unlike one that is [requeued](Self::requeue) it does not come
    /// again before those that wait behind it.
    ///
    /// Nothing is lost on the way: where it has to be sent again, the broker has confirmed the copy before it forgets the
    /// original. If the process dies in between there are two, which a listener that sees both can tell. A queue that
    /// cannot be sent to by itself (a stream, a topic of ActiveMQ), and a listener without
    /// [`deferrable`](crate::ListenOptions::deferrable), gives the message back instead, where it can after the delay.
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

/// What a driver does to answer one request.
#[async_trait]
pub trait ReplySink: Send + Sync {
    /// Tells the caller that the method still runs.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if it cannot be told; heartbeats then end, the method goes on.
    async fn heartbeat(&self) -> Result<(), TransportError>;

    /// Who waits for the reply, for logs. Called only when there is something to log.
    fn caller(&self) -> Option<Caller> {
        None
    }

    /// Sends the reply and returns when the broker has it. One that its reply queue alone does not take may be held aside and
    /// tried again while the caller can still be waiting; this returns at once then, because its server has others to answer.
    ///
    /// # Errors
    ///
    /// [`TransportError`] if it could not be delivered, and is not held.
    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError>;
}

/// Who waits for a reply, for logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// Where the reply goes: on most brokers the name of the caller's reply queue.
    pub reply_to: String,
    /// The call's id, which a Python caller's timeout names too.
    pub message_id: String,
}

impl Caller {
    /// Whoever waits there for the reply to this call.
    #[must_use]
    pub fn new(reply_to: impl Into<String>, message_id: impl Into<String>) -> Self {
        Self { reply_to: reply_to.into(), message_id: message_id.into() }
    }
}

/// Answers one request, once. Dropping it unanswered leaves the caller to its timeout.
pub struct Replier {
    sink: Box<dyn ReplySink>,
    heartbeat_interval: Option<Duration>,
}

impl Replier {
    /// For drivers. `heartbeat_interval` is set if the caller asked for heartbeats.
    #[must_use]
    pub fn new(sink: Box<dyn ReplySink>, heartbeat_interval: Option<Duration>) -> Self {
        Self { sink, heartbeat_interval }
    }

    /// How often the caller wants to hear that the method still runs.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Option<Duration> {
        self.heartbeat_interval
    }

    /// Who waits for the reply, for logs; `None` if the driver cannot tell.
    #[must_use]
    pub fn caller(&self) -> Option<Caller> {
        self.sink.caller()
    }

    /// Tells the caller that the method still runs.
    ///
    /// # Errors
    ///
    /// As [`ReplySink::heartbeat`].
    pub async fn heartbeat(&self) -> Result<(), TransportError> {
        self.sink.heartbeat().await
    }

    /// Sends the reply and returns when the broker has it.
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
