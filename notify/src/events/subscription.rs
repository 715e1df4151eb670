//! Subscriptions to events.

use std::{sync::Arc, time::Duration};

use oxlo_serving::Requeue;
use oxlo_transport::{Target, TransportError, backoff::Backoff};
use uuid::Uuid;

use super::names::{self, Reach};
use crate::listener::ListenError;

/// What happens to an event whose handler fails or requeues it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// The event is done. The failure is logged and counted. The default, as in nameko.
    Drop,
    /// The event goes to the end of its queue and is redelivered to any instance of the queue, at most `times`: at once the
    /// first time, then after pauses of up to `first` that double up to `most`. Then it is rejected: the broker drops it,
    /// or dead-letters it if that is configured. The broker keeps the event and its count.
    Retry {
        /// The most redeliveries.
        times: u32,
        /// The longest pause before the second redelivery. More than zero.
        first: Duration,
        /// The longest pause; at most an hour.
        most: Duration,
    },
}

impl OnError {
    /// Redelivers this often, after pauses of up to 100 ms that double up to 5 s.
    #[must_use]
    pub fn retry(times: u32) -> Self {
        Self::Retry { times, first: Backoff::BASE, most: Backoff::CAP }
    }

    /// How events are requeued, if they are.
    pub(super) fn requeue(&self) -> Option<Requeue> {
        match *self {
            Self::Drop => None,
            Self::Retry { times: limit, first, most } => Some(Requeue { first, most, limit }),
        }
    }
}

/// Which events a handler receives, and with which other listeners it shares them.
#[derive(Clone, Debug)]
#[must_use = "a subscription does nothing until it is given to a listener"]
pub struct Subscription {
    pub(super) source: Arc<str>,
    pub(super) event_type: Arc<str>,
    reach: Reach,
    reliable: Option<bool>,
    name: Option<Arc<str>>,
    identifier: Option<Arc<str>>,
    pub(super) on_error: OnError,
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

    /// Each event of this source and type goes to one instance of this service: nameko's `SERVICE_POOL`.
    pub fn service_pool(source: impl Into<Arc<str>>, event_type: impl Into<Arc<str>>) -> Self {
        Self::new(source, event_type, Reach::ServicePool)
    }

    /// Each event of this source and type goes to every instance: nameko's `BROADCAST`.
    pub fn broadcast(source: impl Into<Arc<str>>, event_type: impl Into<Arc<str>>) -> Self {
        Self::new(source, event_type, Reach::Broadcast)
    }

    /// Each event of this source and type goes to exactly one of all listeners, of whatever service: nameko's `SINGLETON`.
    pub fn singleton(source: impl Into<Arc<str>>, event_type: impl Into<Arc<str>>) -> Self {
        Self::new(source, event_type, Reach::Singleton)
    }

    /// Sets whether events are kept while no instance listens. Default `true`; for a broadcast `false`, because an
    /// instance that does not come back would leave its queue behind. A reliable broadcast needs an
    /// [`identifier`](Self::identifier). To survive a restart of the broker, queues must also be durable (option
    /// `amqp_durable_queues`).
    ///
    /// All listeners of a queue must agree on this.
    pub fn reliable(mut self, reliable: bool) -> Self {
        self.reliable = Some(reliable);
        self
    }

    /// Names the handler, for services with several handlers of one event: each of them receives every event. The name must
    /// be the same at every start.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Names the instance of a broadcast. It must be the same at every start. Default: a new one each time.
    pub fn identifier(mut self, identifier: impl Into<Arc<str>>) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    /// Sets what happens to an event whose handler fails or requeues it. Default [`OnError::Drop`].
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    pub(super) fn is_reliable(&self) -> bool {
        self.reliable.unwrap_or(self.reach != Reach::Broadcast)
    }

    /// The target to listen on, and the pool.
    pub(super) fn resolve(&self, service: &str) -> Result<(Target, String), ListenError> {
        let invalid = |error: TransportError| ListenError::option("subscription", error.to_string());
        if self.reach == Reach::Broadcast && self.is_reliable() && self.identifier.is_none() {
            let reason = format!(
                "a reliable broadcast of `{}` of `{}` needs an `.identifier(..)` that is the same at every start, or each \
                 start leaves a queue behind",
                self.event_type, self.source
            );
            return Err(ListenError::option("reliable", reason));
        }
        if self.reach != Reach::Broadcast && self.identifier.is_some() {
            let reason = "only a broadcast distinguishes instances; leave it out, or use Subscription::broadcast";
            return Err(ListenError::option("identifier", reason));
        }
        let target = names::target(&self.source, &self.event_type).map_err(invalid)?;
        let instance = self.identifier.clone().unwrap_or_else(|| Uuid::new_v4().simple().to_string().into());
        let mut members: Vec<&str> = match self.reach {
            Reach::Singleton => Vec::new(),
            Reach::Broadcast => vec![service, &instance],
            _ => vec![service],
        };
        members.extend(self.name.as_deref());
        let pool = names::pool(&self.source, &self.event_type, self.reach, &members).map_err(invalid)?;
        Ok((target, pool))
    }
}
