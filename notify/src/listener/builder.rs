//! Builds listeners of notifications and of batches.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use oxlo_serving::Requeue;
use oxlo_transport::{Deferral, Priority, Target, Transport};

use super::{
    endpoint::{BatchEndpoint, NotificationEndpoint},
    error::ListenError,
    kind::ListenerSpec,
    listeners::{BatchListener, NotificationListener},
    report::ListenReport,
    running::RunningListener,
};
use crate::notifier::DEFAULT_TOPIC;

const DEFAULT_CONCURRENCY: usize = 64;
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
const DEFAULT_BATCH: usize = 100;
const DEFAULT_BATCH_TIMEOUT: Duration = Duration::from_secs(1);

/// The settings of both kinds.
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

    /// How notifications are requeued, if that is allowed.
    fn requeue(&self) -> Option<Requeue> {
        self.allow_requeue.then_some(self.requeue)
    }

    fn spec(self, priorities: &[Priority], batch_size: usize) -> Result<ListenerSpec, ListenError> {
        if priorities.is_empty() {
            return Err(ListenError::NoHandler);
        }
        if let Some(target) = self.targets.iter().find(|target| target.fanout) {
            let reason = format!(
                "`{target}` is a fanout target; to receive every notification in each process, give each a pool of its own"
            );
            return Err(ListenError::Option { option: "target", reason });
        }
        let targets = if self.targets.is_empty() { vec![Target::topic(DEFAULT_TOPIC)] } else { self.targets };
        let listed = Priority::ALL.into_iter().filter(|priority| priorities.contains(priority));
        let on =
            targets.iter().flat_map(|target| listed.clone().map(move |priority| (target.clone(), priority))).collect();
        for (option, value) in [("concurrency", self.concurrency), ("batch size", batch_size)] {
            if value == 0 || value > usize::from(u16::MAX) {
                let reason = format!("{value} is out of range; at least 1, at most {}", u16::MAX);
                return Err(ListenError::Option { option, reason });
            }
        }
        let Requeue { first, most, .. } = self.requeue;
        if first.is_zero() || first > most || most > Deferral::LONGEST {
            let reason = format!(
                "{first:?} to {most:?} is out of range; the first pause must be more than zero and at most the longest \
                 one, which is at most {:?}",
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
        Ok(ListenerSpec {
            transport: self.transport,
            on,
            pool: self.pool,
            transient: false,
            requeues: self.allow_requeue,
            prefetch,
            concurrency: self.concurrency,
            batch_size,
            grace: self.grace,
        })
    }
}

/// The setters that both builders have.
macro_rules! common {
    ($listener:ident, $builder:ident, $endpoint:ident) => {
        impl $builder {
            /// Listens on this target's topic, in its exchange. May be called several times. Default: the topic
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

            /// Listens as a member of a pool: the listeners of a pool share a queue, and each pool receives every
            /// notification. The topic's own queue receives them too; a listener without a pool must consume it, or a
            /// policy of the broker must bound it.
            pub fn pool(mut self, pool: impl Into<Arc<str>>) -> Self {
                self.common.pool = Some(pool.into());
                self
            }

            /// Sets whether a notification is redelivered when a handler requeues it or fails. Default `false`, as in
            /// oslo: it is done either way.
            ///
            /// A requeued notification goes to the end of its queue, with a count, and any listener of the queue may
            /// receive it: at once the first time, then after [growing pauses](Self::requeue_backoff), up to a
            /// [limit](Self::requeue_limit). Other notifications are handled meanwhile.
            pub fn allow_requeue(mut self, allow: bool) -> Self {
                self.common.allow_requeue = allow;
                self
            }

            /// Sets how often a notification is redelivered. Default 20, about ten minutes with the default pauses. Then
            /// it is rejected: the broker drops it, or moves it to the dead-letter exchange of its queue.
            /// [`ListenReport::rejected`] counts it, and an error is logged.
            pub fn requeue_limit(mut self, times: u32) -> Self {
                self.common.requeue.limit = times;
                self
            }

            /// Sets the pauses before redeliveries: `first` before the second one, doubling up to `most`, each shortened
            /// at random by up to a half. Default 250 ms and 60 s; at most an hour.
            ///
            /// The listener that receives the notification holds it, by the wall clock: the clocks of the listeners of a
            /// queue should agree. Python's listeners do not hold it, and receive it as soon as it is at the front.
            pub fn requeue_backoff(mut self, first: Duration, most: Duration) -> Self {
                self.common.requeue.first = first;
                self.common.requeue.most = most;
                self
            }

            /// Sets how many notifications the broker delivers before the first of them is settled. Default twice the
            /// number that can be handled at a time. A limit in the transport's URL applies as well.
            pub fn prefetch(mut self, notifications: u16) -> Self {
                self.common.prefetch = Some(notifications);
                self
            }

            /// Sets the grace period: how long handlers may go on when the listener stops. Default 30 s. Then they are
            /// dropped, and their notifications return to the broker.
            pub fn grace(mut self, grace: Duration) -> Self {
                self.common.grace = grace;
                self
            }

            /// Builds and [starts](
            #[doc = concat!(stringify!($listener), "::start).")]
            ///
            /// # Errors
            ///
            /// As [`build`](Self::build), and those of starting.
            pub async fn start(self) -> Result<RunningListener, ListenError> {
                self.build()?.start().await
            }

            /// Builds and [serves until `shutdown` resolves](
            #[doc = concat!(stringify!($listener), "::serve_until).")]
            ///
            /// # Errors
            ///
            /// As [`build`](Self::build), and those of serving.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future drops the handlers; unsettled notifications return to the broker.
            pub async fn serve_until(self, shutdown: impl Future) -> Result<ListenReport, ListenError> {
                self.build()?.serve_until(shutdown).await
            }

            /// Builds and [serves until the process is asked to end](
            #[doc = concat!(stringify!($listener), "::serve_until_signalled).")]
            ///
            /// # Errors
            ///
            /// As [`build`](Self::build), and those of serving.
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

/// Builds a [`NotificationListener`].
#[must_use = "a builder does nothing until it listens"]
pub struct NotificationListenerBuilder {
    common: Common,
    endpoints: Vec<NotificationEndpoint>,
}

common!(NotificationListener, NotificationListenerBuilder, NotificationEndpoint);

impl NotificationListenerBuilder {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { common: Common::new(transport), endpoints: Vec::new() }
    }

    /// Sets how many notifications are handled at a time. Default 64, oslo's `executor_thread_pool_size`; 1 handles them
    /// in the order of arrival.
    pub fn concurrency(mut self, notifications: usize) -> Self {
        self.common.concurrency = notifications;
        self
    }

    /// Builds the listener, without contacting the broker.
    ///
    /// # Errors
    ///
    /// [`ListenError::NoHandler`], and [`ListenError::Option`] for an option out of range.
    pub fn build(self) -> Result<NotificationListener, ListenError> {
        let priorities: Vec<_> = self
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.handlers.iter().map(|(priority, _)| *priority))
            .collect();
        let requeue = self.common.requeue();
        Ok(NotificationListener {
            spec: self.common.spec(&priorities, 1)?,
            endpoints: self.endpoints.into(),
            requeue,
            is_event: false,
        })
    }
}

/// Builds a [`BatchListener`].
#[must_use = "a builder does nothing until it listens"]
pub struct BatchListenerBuilder {
    common: Common,
    endpoints: Vec<BatchEndpoint>,
    size: usize,
    timeout: Duration,
}

common!(BatchListener, BatchListenerBuilder, BatchEndpoint);

impl BatchListenerBuilder {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        let mut common = Common::new(transport);
        common.concurrency = 1;
        Self { common, endpoints: Vec::new(), size: DEFAULT_BATCH, timeout: DEFAULT_BATCH_TIMEOUT }
    }

    /// Sets how many notifications make a batch full. Default 100; at least 1.
    pub fn size(mut self, notifications: usize) -> Self {
        self.size = notifications;
        self
    }

    /// Sets how long a batch waits to become full, from its first notification on. Default 1 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Builds the listener, without contacting the broker.
    ///
    /// # Errors
    ///
    /// [`ListenError::NoHandler`], and [`ListenError::Option`] for an option out of range.
    pub fn build(self) -> Result<BatchListener, ListenError> {
        let priorities: Vec<_> = self
            .endpoints
            .iter()
            .flat_map(|endpoint| endpoint.handlers.iter().map(|(priority, _)| *priority))
            .collect();
        let requeue = self.common.requeue();
        let spec = self.common.spec(&priorities, self.size)?;
        Ok(BatchListener { spec, endpoints: self.endpoints.into(), requeue, timeout: self.timeout })
    }
}
