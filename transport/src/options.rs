//! Options of a send, a call, or a listener.

use std::{sync::Arc, time::Duration};

use crate::request_queue::RequestQueue;

/// The default timeout of a call's reply and of a cast's confirm: oslo's default for `rpc_response_timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// How many times connecting is retried before an operation that waits for the connection fails. A request that may have
/// run is never repeated.
///
/// The unit is a round: one attempt at each host of the URL, in any order. Counting starts when the connection is lost, or
/// with the first attempt, and restarts after a successful connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Retries until the timeout. oslo's `None` and `-1`.
    #[default]
    Forever,
    /// Retries this many rounds after the first one. `Times(0)` fails after one failed attempt at every host.
    Times(u32),
}

/// Options of a cast or a notification.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SendOptions {
    /// How long to try, including connecting. Default 60 s.
    pub timeout: Duration,
    /// How many times to retry connecting. Default [`Retry::Forever`], within the timeout.
    pub retry: Retry,
    /// Whether it is an error if no queue takes the message. Default `false`, as in oslo; ignored for fanout, as in oslo.
    pub mandatory: bool,
    /// For notifications: identifies copies of one message. A sender that repeats a message with an unknown outcome reuses
    /// its id, and receivers drop the copy. Default: a new id. `amqp://` does not transmit it.
    pub unique_id: Option<Arc<str>>,
    /// For notifications: whether the queue of the topic and priority is declared first, so that it stores them for a later
    /// listener. Default `true`, as in oslo. With `false`, a notification reaches existing listeners and pools only.
    /// On `amqp://` the broker decides: most create a queue for every address.
    pub default_queue: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            retry: Retry::default(),
            mandatory: false,
            unique_id: None,
            default_queue: true,
        }
    }
}

impl SendOptions {
    /// Creates the default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long to try.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many times to retry connecting.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets whether it is an error if no queue takes the message.
    #[must_use]
    pub fn with_mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }

    /// Sets the id that identifies copies of one notification.
    #[must_use]
    pub fn with_unique_id(mut self, unique_id: impl Into<Arc<str>>) -> Self {
        self.unique_id = Some(unique_id.into());
        self
    }

    /// Sets whether the queue of a notification's topic and priority is declared first.
    #[must_use]
    pub fn with_default_queue(mut self, default_queue: bool) -> Self {
        self.default_queue = default_queue;
        self
    }
}

/// Options of a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallOptions {
    /// The timeout of the whole call, from sending to the reply. Default 60 s.
    pub timeout: Duration,
    /// How long the server may be silent while it runs the method; it sends heartbeats at half of this interval. Whole
    /// seconds, at least 2. It never extends `timeout`. Default `None`: no monitoring.
    pub monitor_timeout: Option<Duration>,
    /// How many times to retry connecting. Default [`Retry::Forever`], within the timeout.
    pub retry: Retry,
    /// Whether the call fails at once if no queue takes the request. Default `true`.
    pub mandatory: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { timeout: DEFAULT_TIMEOUT, monitor_timeout: None, retry: Retry::default(), mandatory: true }
    }
}

impl CallOptions {
    /// Creates the default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the timeout of the whole call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long the server may be silent; `None` disables monitoring.
    #[must_use]
    pub fn with_monitor_timeout(mut self, silence: Option<Duration>) -> Self {
        self.monitor_timeout = silence;
        self
    }

    /// Sets how many times to retry connecting.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets whether the call fails at once if no queue takes the request.
    #[must_use]
    pub fn with_mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }
}

/// Options of a listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// How many messages of each queue may be unsettled at a time. Default 100; 0 counts as 1. It bounds the messages that
    /// wait; a server derives it from its concurrency.
    /// [`Settings::max_in_flight_bytes`](crate::Settings::max_in_flight_bytes) has the resulting memory bound.
    pub prefetch: u16,
    /// Which requests of a service are taken. Default [`ListenScope::Server`].
    pub scope: ListenScope,
    /// Whether [`Delivery::redeliveries`](crate::Delivery::redeliveries) is counted even if the broker does not count, which
    /// costs one additional message per redelivery. Default `false`.
    pub count_redeliveries: bool,
    /// Whether messages may be [deferred](crate::Settle::defer), for which a driver keeps each message as received until it
    /// is settled. Default `false`: a deferred message is requeued.
    pub deferrable: bool,
    /// For notification listeners with a pool: whether the pool's queue, including its messages, is deleted with its last
    /// listener. Default `false`. Without a pool the queues are shared, and setting it is an `InvalidTarget`. Drivers
    /// without pools (`Capabilities::notification_pools`) refuse the pool.
    pub transient: bool,
}

/// Which requests of a service a listener takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenScope {
    /// All requests of a server: for the topic, for this server by name, and for all servers.
    #[default]
    Server,
    /// Requests for the topic only, shared with its other servers. The target needs no server.
    Topic,
    /// Requests for the target's server only.
    Named,
    /// Requests in an additional queue only, which is declared if it does not exist. The target's topic and server are
    /// ignored.
    Queue(RequestQueue),
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            prefetch: 100,
            scope: ListenScope::default(),
            count_redeliveries: false,
            deferrable: false,
            transient: false,
        }
    }
}

impl ListenOptions {
    /// Creates the default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many messages of each queue may be unsettled at a time.
    #[must_use]
    pub fn with_prefetch(mut self, prefetch: u16) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Sets which requests of a service are taken.
    #[must_use]
    pub fn with_scope(mut self, scope: ListenScope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets whether redeliveries are counted even if the broker does not count.
    #[must_use]
    pub fn with_count_redeliveries(mut self, count: bool) -> Self {
        self.count_redeliveries = count;
        self
    }

    /// Sets whether messages may be deferred.
    #[must_use]
    pub fn with_deferrable(mut self, deferrable: bool) -> Self {
        self.deferrable = deferrable;
        self
    }

    /// Sets whether a pool's queue is deleted with its last listener.
    #[must_use]
    pub fn with_transient(mut self, transient: bool) -> Self {
        self.transient = transient;
        self
    }
}
