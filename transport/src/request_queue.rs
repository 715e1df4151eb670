//! Additional request queues of a service, selected by a routing key.

use std::{fmt, sync::Arc, time::Duration};

use crate::{error::TransportError, target::Target};

/// A request queue in addition to those of every server. It receives requests for a topic that are sent to its routing
/// key, for consumers that [listen](crate::options::ListenScope::Queue) on it.
///
/// A routing key is addressed like a server: `Target::topic("render").server("gpu")` reaches the queue whose key is `gpu`,
/// and also a server of that name if there is one; both then receive the request. Use distinct names for keys and servers.
///
/// ```
/// use std::time::Duration;
/// use oxlo_transport::RequestQueue;
///
/// let queue = RequestQueue::new("render", "gpu").expires(Duration::from_secs(600));
/// assert_eq!(queue.target().to_string(), "render.gpu");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RequestQueue {
    /// Exchange of the service. `None`: the transport's control exchange.
    pub exchange: Option<Arc<str>>,
    /// Topic of the service.
    pub topic: Arc<str>,
    /// Name of the queue within the service.
    pub name: Arc<str>,
    /// Routing key that requests are sent to.
    pub routing_key: Arc<str>,
    /// How long the queue exists without a listener; its requests are deleted with it. `None`: forever.
    pub expires: Option<Duration>,
}

impl RequestQueue {
    /// Creates the queue `name` of the service `topic`, whose routing key is its name and which does not expire.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { exchange: None, topic: topic.into(), routing_key: name.clone(), name, expires: None }
    }

    /// Sets the exchange of the service.
    #[must_use]
    pub fn exchange(mut self, exchange: impl Into<Arc<str>>) -> Self {
        self.exchange = Some(exchange.into());
        self
    }

    /// Sets the routing key. Several queues may have the same key; each then receives every request.
    #[must_use]
    pub fn routing_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.routing_key = key.into();
        self
    }

    /// Sets how long the queue exists without a listener, at least a millisecond. RabbitMQ counts whole milliseconds.
    #[must_use]
    pub fn expires(mut self, after: Duration) -> Self {
        self.expires = Some(after);
        self
    }

    /// Checks the queue and returns it; for drivers.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if topic, name or routing key is empty, or the expiry is below a millisecond.
    pub fn check(&self) -> Result<&Self, TransportError> {
        let wrong = |reason: &str| Err(TransportError::InvalidTarget { reason: format!("{self}: {reason}") });
        match self {
            _ if self.topic.is_empty() => wrong("the topic is empty"),
            _ if self.name.is_empty() => wrong("the name is empty"),
            _ if self.routing_key.is_empty() => wrong("the routing key is empty"),
            _ if self.expires.is_some_and(|after| after.as_millis() == 0) => {
                wrong("the expiry is below one millisecond")
            }
            _ => Ok(self),
        }
    }

    /// The target of requests for this queue.
    #[must_use]
    pub fn target(&self) -> Target {
        let target = Target::topic(self.topic.clone()).server(self.routing_key.clone());
        match &self.exchange {
            Some(exchange) => target.exchange(exchange.clone()),
            None => target,
        }
    }
}

impl fmt::Display for RequestQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request queue `{}` of {}", self.name, self.topic)
    }
}

/// How the requests in a removed queue are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    /// The queue is removed only if it is empty.
    #[default]
    IfEmpty,
    /// The requests are dropped.
    Discard,
}
