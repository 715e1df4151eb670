//! Extra request queues: a service's requests, told apart by a key.

use std::{fmt, sync::Arc, time::Duration};

use crate::{error::TransportError, target::Target};

/// A request queue beside those that every server has: requests of a topic that are sent to its routing key wait in it,
/// for whoever [listens](crate::options::ListenScope::Queue) there.
///
/// A routing key is addressed as a server is: `Target::topic("render").server("gpu")` leads to the queue whose key is
/// `gpu`, and to the server of that name if there is one, each of which then gets the request. So name keys and servers
/// apart.
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
    /// Exchange of the service. Absent: the transport's control exchange.
    pub exchange: Option<Arc<str>>,
    /// The service.
    pub topic: Arc<str>,
    /// Name of the queue within the service.
    pub name: Arc<str>,
    /// What leads to it.
    pub routing_key: Arc<str>,
    /// How long it stays while nobody listens on it; requests in it go with it. Absent: for ever.
    pub expires: Option<Duration>,
}

impl RequestQueue {
    /// The queue `name` of the service `topic`; its name is its routing key, and it does not expire.
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

    /// Sets what leads to it. Several queues may have one key; each then gets every request.
    #[must_use]
    pub fn routing_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.routing_key = key.into();
        self
    }

    /// Sets how long it stays while nobody listens on it; at least a millisecond. RabbitMQ counts whole milliseconds.
    #[must_use]
    pub fn expires(mut self, after: Duration) -> Self {
        self.expires = Some(after);
        self
    }

    /// The queue itself, if it can be one; for drivers.
    ///
    /// # Errors
    ///
    /// [`TransportError::InvalidTarget`] if topic, name or routing key is empty, or it would expire at once.
    pub fn check(&self) -> Result<&Self, TransportError> {
        let wrong = |reason: &str| Err(TransportError::InvalidTarget { reason: format!("{self}: {reason}") });
        match self {
            _ if self.topic.is_empty() => wrong("it has no topic"),
            _ if self.name.is_empty() => wrong("it has no name"),
            _ if self.routing_key.is_empty() => wrong("it has no routing key"),
            _ if self.expires.is_some_and(|after| after.as_millis() == 0) => {
                wrong("it would expire at once; give it a millisecond or more")
            }
            _ => Ok(self),
        }
    }

    /// Where requests for it are sent.
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

/// What becomes of the requests in a queue that is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Removal {
    /// A queue with requests in it is not removed.
    #[default]
    IfEmpty,
    /// They are dropped.
    Discard,
}
