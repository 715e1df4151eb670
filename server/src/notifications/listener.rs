//! The listeners: what they are built from, and the ways to run them.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use oxlo_transport::{Deferral, Priority, Target, Transport};
use tokio::sync::Semaphore;

use super::{
    dispatch::{Batches, Single},
    endpoint::{BatchEndpoint, NotificationEndpoint},
    report::{ListenError, ListenReport},
    run::{Plan, Process},
    running::RunningListener,
};
use crate::requeue::Requeue;

const DEFAULT_CONCURRENCY: usize = 64;
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
const DEFAULT_BATCH: usize = 100;
const DEFAULT_BATCH_TIMEOUT: Duration = Duration::from_secs(1);

/// The topic of those who name none: oslo's default.
const DEFAULT_TOPIC: &str = "notifications";

/// Listens for notifications, and gives each to the handlers of its priority: oslo's `get_notification_listener`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use oxlo_server::notifications::{EventType, NotificationEndpoint, NotificationListener};
/// # use oxlo_driver_memory::MemoryDriver;
/// # use oxlo_transport::Registry;
/// # let transport = Registry::new().with(MemoryDriver).transport("memory://listener").connect().await?;
///
/// let listener = NotificationListener::builder(transport)
///     .endpoint(NotificationEndpoint::new().error(async |EventType(event)| eprintln!("{event}")))
///     .start()
///     .await?;
/// listener.stop();
/// let report = listener.wait().await?;
/// assert_eq!(report.handled, 0);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct NotificationListener;

/// Listens for notifications, and gives them to handlers in batches: oslo's `get_batch_notification_listener`.
///
/// A batch is full, or what came within its timeout after its first notification. Its notifications are grouped by
/// priority, and each handler of a priority gets its group at once. One batch is handled after the other; the next one
/// gathers meanwhile at the broker.
#[derive(Debug)]
pub struct BatchListener;

impl NotificationListener {
    /// Starts to build one.
    pub fn builder(transport: Arc<dyn Transport>) -> NotificationListenerBuilder {
        NotificationListenerBuilder { common: Common::new(transport), endpoints: Vec::new() }
    }
}

impl BatchListener {
    /// Starts to build one.
    pub fn builder(transport: Arc<dyn Transport>) -> BatchListenerBuilder {
        let mut common = Common::new(transport);
        common.concurrency = 1;
        BatchListenerBuilder { common, endpoints: Vec::new(), size: DEFAULT_BATCH, timeout: DEFAULT_BATCH_TIMEOUT }
    }
}

/// What both kinds are built from.
struct Common {
    transport: Arc<dyn Transport>,
    targets: Vec<Target>,
    pool: Option<Arc<str>>,
    allow_requeue: bool,
    requeue: Requeue,
    concurrency: usize,
    prefetch: Option<u16>,
    grace: Duration,
}

impl Common {
    fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            targets: Vec::new(),
            pool: None,
            allow_requeue: false,
            requeue: Requeue::NOTIFICATIONS,
            concurrency: DEFAULT_CONCURRENCY,
            prefetch: None,
            grace: DEFAULT_GRACE,
        }
    }

    /// What comes again, if anything does.
    fn requeue(&self) -> Option<Requeue> {
        self.allow_requeue.then_some(self.requeue)
    }

    fn plan(
        self,
        priorities: &[Priority],
        process: Arc<dyn Process>,
        batch_size: usize,
        batch_timeout: Duration,
    ) -> Result<Plan, ListenError> {
        if priorities.is_empty() {
            return Err(ListenError::NoHandler);
        }
        if let Some(target) = self.targets.iter().find(|target| target.fanout) {
            let reason =
                format!("`{target}` is a fanout target; for everything in each process give each a pool of its own");
            return Err(ListenError::Option { option: "target", reason });
        }
        let targets = if self.targets.is_empty() { vec![Target::topic(DEFAULT_TOPIC)] } else { self.targets };
        let listed = Priority::ALL.into_iter().filter(|priority| priorities.contains(priority));
        let on =
            targets.iter().flat_map(|target| listed.clone().map(move |priority| (target.clone(), priority))).collect();
        for (option, value) in [("concurrency", self.concurrency), ("batch size", batch_size)] {
            if value == 0 || value > usize::from(u16::MAX).min(Semaphore::MAX_PERMITS) {
                let reason = format!("{value} is out of range; at least 1, at most {}", u16::MAX);
                return Err(ListenError::Option { option, reason });
            }
        }
        let Requeue { first, most, .. } = self.requeue;
        if first.is_zero() || first > most || most > Deferral::LONGEST {
            let reason = format!(
                "{first:?} to {most:?} is out of range; more than zero, rising, at most {:?}",
                Deferral::LONGEST
            );
            return Err(ListenError::Option { option: "requeue_backoff", reason });
        }
        let most = u16::try_from(self.concurrency.saturating_mul(batch_size).saturating_mul(2)).unwrap_or(u16::MAX);
        let prefetch = self.prefetch.unwrap_or(most);
        if usize::from(prefetch) < batch_size {
            let reason = format!("{prefetch} is less than a batch of {batch_size}, which could never become full");
            return Err(ListenError::Option { option: "prefetch", reason });
        }
        Ok(Plan {
            transport: self.transport,
            on,
            pool: self.pool,
            transient: false,
            requeues: self.allow_requeue,
            prefetch,
            concurrency: self.concurrency,
            batch_size,
            batch_timeout,
            grace: self.grace,
            process,
        })
    }
}

macro_rules! common {
    ($builder:ident, $endpoint:ident) => {
        impl $builder {
            /// Listens on this target's topic, in its exchange; may be called more than once. Default: the topic
            /// `notifications` in the transport's control exchange.
            pub fn target(mut self, target: Target) -> Self {
                self.common.targets.push(target);
                self
            }

            /// Adds an endpoint. Its handlers run after those of the endpoints before it.
            pub fn endpoint(mut self, endpoint: $endpoint) -> Self {
                self.endpoints.push(endpoint);
                self
            }

            /// Listens as one of a pool: the listeners of one pool share its queue, and each pool gets every
            /// notification. The topic's own queue fills up all the same; some listener without a pool has to empty it,
            /// or the broker needs a policy that bounds it.
            pub fn pool(mut self, pool: impl Into<Arc<str>>) -> Self {
                self.common.pool = Some(pool.into());
                self
            }

            /// Sets whether a notification comes again when a handler asks for it or fails. Default `false`, as in oslo:
            /// it is done either way.
            ///
            /// It goes to the end of its queue, counted, and anyone who listens there may get it: at once for the first
            /// time, then after [pauses that grow](Self::requeue_backoff), up to a [limit](Self::requeue_limit). Others
            /// are handled meanwhile.
            pub fn allow_requeue(mut self, allow: bool) -> Self {
                self.common.allow_requeue = allow;
                self
            }

            /// Sets how often a notification comes again. Default 20, about ten minutes with the default pauses. Then
            /// it is rejected: the broker drops it, or moves it to the dead-letter exchange that its queue has. It is
            /// counted by [`ListenReport::rejected`], and logged as an error.
            pub fn requeue_limit(mut self, times: u32) -> Self {
                self.common.requeue.limit = times;
                self
            }

            /// Sets for how long a notification is held back that comes again: from the second time on for `first`,
            /// doubling up to `most`, each shortened at random by up to a half. Default 250 ms and 60 s; at most an hour.
            ///
            /// It is held by whichever listener gets it, by the wall clock: the clocks of those who share a queue should
            /// agree. Python's listeners do not hold it, and get it as soon as it is their turn.
            pub fn requeue_backoff(mut self, first: Duration, most: Duration) -> Self {
                self.common.requeue.first = first;
                self.common.requeue.most = most;
                self
            }

            /// Sets how many notifications the broker hands out before the first of them is settled. Default twice what
            /// can be handled at the same time. A limit in the transport's URL holds as well.
            pub fn prefetch(mut self, notifications: u16) -> Self {
                self.common.prefetch = Some(notifications);
                self
            }

            /// Sets how long handlers may go on when the listener stops. Default 30 s. After it they are dropped where
            /// they wait, and their notifications go back.
            pub fn grace(mut self, grace: Duration) -> Self {
                self.common.grace = grace;
                self
            }

            /// Subscribes, and listens on a task of its own. When this returns, notifications are being taken.
            ///
            /// # Errors
            ///
            /// [`ListenError`] names what is wrong: no handler, an option out of range, or why the broker could not be
            /// listened on.
            pub async fn start(self) -> Result<RunningListener, ListenError> {
                self.build()?.start().await
            }

            /// Listens until `shutdown` resolves, whatever it resolves to, or the transport is closed.
            ///
            /// # Errors
            ///
            /// As [`start`](Self::start), and [`ListenError::Receive`] if the listener fails for good.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future drops handlers where they wait; what is not settled goes back.
            pub async fn serve_until(self, shutdown: impl Future) -> Result<ListenReport, ListenError> {
                self.build()?.serve_until(shutdown).await
            }

            /// Listens until the process is asked to end, as [`shutdown_signal`](crate::shutdown_signal) says: the
            /// first time in order, as [`serve_until`](Self::serve_until), the second time at once.
            ///
            /// # Errors
            ///
            /// As [`serve_until`](Self::serve_until), and [`ListenError::Signals`] if signals cannot be listened to.
            ///
            /// # Cancel safety
            ///
            /// As [`serve_until`](Self::serve_until).
            pub async fn serve_until_signalled(self) -> Result<ListenReport, ListenError> {
                self.build()?.serve_until_signalled().await
            }
        }

        impl fmt::Debug for $builder {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($builder))
                    .field("targets", &self.common.targets)
                    .field("pool", &self.common.pool)
                    .field("endpoints", &self.endpoints)
                    .finish_non_exhaustive()
            }
        }
    };
}

/// Sets what a notification listener is made of.
#[must_use = "a builder does nothing until it listens"]
pub struct NotificationListenerBuilder {
    common: Common,
    endpoints: Vec<NotificationEndpoint>,
}

common!(NotificationListenerBuilder, NotificationEndpoint);

impl NotificationListenerBuilder {
    /// Sets how many notifications are handled at the same time. Default 64, oslo's `executor_thread_pool_size`; 1
    /// handles them in the order in which they come.
    pub fn concurrency(mut self, notifications: usize) -> Self {
        self.common.concurrency = notifications;
        self
    }

    fn build(self) -> Result<Plan, ListenError> {
        let priorities: Vec<_> = self
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.handlers.iter().map(|(priority, _)| *priority))
            .collect();
        let single = Single { endpoints: self.endpoints, requeue: self.common.requeue() };
        self.common.plan(&priorities, Arc::new(Arc::new(single)), 1, Duration::ZERO)
    }
}

/// Sets what a batch listener is made of.
#[must_use = "a builder does nothing until it listens"]
pub struct BatchListenerBuilder {
    common: Common,
    endpoints: Vec<BatchEndpoint>,
    size: usize,
    timeout: Duration,
}

common!(BatchListenerBuilder, BatchEndpoint);

impl BatchListenerBuilder {
    /// Sets how many notifications make a batch full. Default 100; at least 1.
    pub fn size(mut self, notifications: usize) -> Self {
        self.size = notifications;
        self
    }

    /// Sets how long a batch waits to become full after its first notification. Default 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn build(self) -> Result<Plan, ListenError> {
        let priorities: Vec<_> = self
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.handlers.iter().map(|(priority, _)| *priority))
            .collect();
        let batches = Batches { endpoints: self.endpoints, requeue: self.common.requeue() };
        self.common.plan(&priorities, Arc::new(Arc::new(batches)), self.size, self.timeout)
    }
}
