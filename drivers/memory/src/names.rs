//! What messages are sent to, and what they wait in.

use std::{fmt, sync::Arc};

use oxlo_transport::Priority;

use crate::broker::ConsumerId;

/// Where a message is sent.
///
/// An exchange is a namespace here: nothing sent in one reaches another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) exchange: Arc<str>,
    pub(crate) key: Key,
}

/// Whom a message is for, within an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Any one server of a topic.
    Topic(Arc<str>),
    /// One server of a topic.
    Server(Arc<str>, Arc<str>),
    /// Every server of a topic.
    Fanout(Arc<str>),
    /// The notifications of a topic.
    Notifications(Arc<str>, Priority),
}

/// The name of a queue. Names of different kinds never collide, whatever topics and servers are called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QueueName {
    /// The queue of everyone who takes what is sent to a route.
    Shared(Route),
    /// The queue of a pool of notification listeners.
    Pool { exchange: Arc<str>, pool: Arc<str> },
    /// An extra queue of a service.
    Extra { exchange: Arc<str>, topic: Arc<str>, name: Arc<str> },
    /// The queue of one listener, which goes with it.
    Own(ConsumerId),
}

impl fmt::Display for Route {
    /// The routing key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl fmt::Display for Key {
    /// As RabbitMQ's routing keys and exchanges read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => f.write_str(topic),
            Self::Server(topic, server) => write!(f, "{topic}.{server}"),
            Self::Fanout(topic) => write!(f, "{topic}_fanout"),
            Self::Notifications(topic, priority) => write!(f, "{topic}.{priority}"),
        }
    }
}
