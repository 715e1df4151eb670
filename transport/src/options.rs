//! What a caller may ask of one send, call or listener.

use std::{sync::Arc, time::Duration};

use crate::request_queue::RequestQueue;

/// How long a call waits for its reply, and a cast for its confirmation, unless told otherwise: oslo's
/// `rpc_response_timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// How often connecting is tried again before what waits for the connection fails. It never repeats a request that may
/// have run.
///
/// What is counted is rounds: one attempt at each host of the URL, in whatever order. The count begins when the connection
/// is lost, or with the first attempt, and starts again when there is a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Until the timeout is over. oslo's `None` and `-1`.
    #[default]
    Forever,
    /// This many rounds after the first one. `Times(0)` fails once every host was tried and none can be connected to.
    Times(u32),
}

/// How a cast or a notification is sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SendOptions {
    /// How long to try, connection included. Default 60 s.
    pub timeout: Duration,
    /// How often to try again. Default [`Retry::Forever`], within the timeout.
    pub retry: Retry,
    /// Whether nobody listening is an error. Default `false`, as in oslo; ignored for fanout, as in oslo.
    pub mandatory: bool,
    /// For notifications: what tells copies of one message from different messages. A sender that repeats one whose
    /// outcome it does not know gives the same again, and receivers drop the copy. Absent: one of its own. `amqp://` has no place for it on the wire.
    pub unique_id: Option<Arc<str>>,
    /// For notifications: whether the queue of the topic and priority is made first, so that it keeps them for a first
    /// listener. Default `true`, as in oslo. Without it a notification reaches the listeners and pools that are there.
    /// On `amqp://` the broker decides: most make a queue of every address.
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
    /// The defaults.
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

    /// Sets how often to try again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets whether nobody listening is an error.
    #[must_use]
    pub fn with_mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }

    /// Sets what tells copies of one notification from different ones.
    #[must_use]
    pub fn with_unique_id(mut self, unique_id: impl Into<Arc<str>>) -> Self {
        self.unique_id = Some(unique_id.into());
        self
    }

    /// Sets whether a notification brings the queue of its topic and priority along.
    #[must_use]
    pub fn with_default_queue(mut self, default_queue: bool) -> Self {
        self.default_queue = default_queue;
        self
    }
}

/// How a call is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long the whole call may take, from handing it over to its reply. Default 60 s.
    pub timeout: Duration,
    /// How long the server may be silent while it runs the method: it then sends heartbeats every half of it. Whole
    /// seconds, at least 2. It never extends `timeout`. Absent: no monitoring.
    pub monitor_timeout: Option<Duration>,
    /// How often to try sending again. Default [`Retry::Forever`], within the timeout.
    pub retry: Retry,
    /// Whether nobody listening is an error at once. Default `true`: a caller waits.
    pub mandatory: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { timeout: DEFAULT_TIMEOUT, monitor_timeout: None, retry: Retry::default(), mandatory: true }
    }
}

impl CallOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long the whole call may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long the server may be silent.
    #[must_use]
    pub fn with_monitor_timeout(mut self, silence: Option<Duration>) -> Self {
        self.monitor_timeout = silence;
        self
    }

    /// Sets how often to try sending again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets whether nobody listening is an error at once.
    #[must_use]
    pub fn with_mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }
}

/// How a listener takes messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// How many messages may be taken and not settled, of each queue that is listened on. Default 100; 0 counts as 1. It
    /// bounds the messages that wait; a server sets it from its concurrency.
    /// [`Settings::max_in_flight_bytes`](crate::Settings::max_in_flight_bytes) says what memory that comes to.
    pub prefetch: u16,
    /// Which of a service's requests are taken. Default [`ListenScope::Server`].
    pub scope: ListenScope,
    /// Whether [`Delivery::redeliveries`](crate::Delivery::redeliveries) is counted also where the broker does not do
    /// it, which costs a message for each redelivery. Default `false`.
    pub count_redeliveries: bool,
    /// Whether messages may be [deferred](crate::Settle::defer), for which a driver keeps each of them as it came until it is
    /// settled. Default `false`: a message that is deferred is requeued.
    pub deferrable: bool,
    /// For notification listeners with a pool: whether the pool's queue goes with its last listener, and what it holds
    /// with it. Default `false`. Without a pool the queues are everyone's, and asking for it is `InvalidTarget`. Drivers
    /// without pools (`Capabilities::notification_pools`) refuse the pool.
    pub transient: bool,
}

/// Which of a service's requests a listener takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenScope {
    /// What a server takes: requests for the topic, for it by name, and for all servers.
    #[default]
    Server,
    /// Requests for the topic only, beside its other servers. The target needs no server.
    Topic,
    /// Requests for the target's server only.
    Named,
    /// Requests in an extra queue only, which is declared if it is not there. The target's topic and server are not
    /// looked at.
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
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many messages may be taken and not settled.
    #[must_use]
    pub fn with_prefetch(mut self, prefetch: u16) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// Sets which of a service's requests are taken.
    #[must_use]
    pub fn with_scope(mut self, scope: ListenScope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets whether redeliveries are counted also where the broker does not do it.
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

    /// Sets whether a pool's queue goes with its last listener.
    #[must_use]
    pub fn with_transient(mut self, transient: bool) -> Self {
        self.transient = transient;
        self
    }
}
