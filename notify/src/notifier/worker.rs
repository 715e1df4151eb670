//! The task that sends accepted notifications, and reports lost ones.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use oxlo_transport::Notification;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    driver::{NotificationDriver, Tries},
    error::{DriverError, NotifyError},
    queue::{Item, OnLost, Queue},
    quiet::{self, Quiet, counted},
    stats::Counts,
};

/// The pause between two log lines about losses.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// Shared by a notifier, its clones and its worker.
pub(crate) struct Core {
    pub(crate) queue: Queue,
    pub(crate) drivers: Vec<Arc<dyn NotificationDriver>>,
    pub(crate) counts: Counts,
    pub(crate) in_flight: usize,
    pub(crate) on_lost: Option<OnLost>,
    pub(crate) losses: Losses,
}

impl Core {
    /// The notifier's worker, to be spawned. If it is dropped before its end, as by a runtime that shuts down, it reports the
    /// remaining notifications as lost, and no more are accepted.
    pub(crate) fn worker(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        // Outside of the future, because the future may never be polled.
        let end = WorkerEnd(self);
        Quiet::new(async move {
            let end = end;
            end.0.clone().work().await;
        })
    }

    /// Sends until the queue is closed and empty, or its deadline has passed.
    async fn work(self: Arc<Self>) {
        let mut sending = FuturesUnordered::new();
        loop {
            while sending.len() < self.in_flight {
                let Some(item) = self.queue.pop() else { break };
                sending.push(self.clone().send(item));
            }
            self.gauge();
            let closes = self.queue.closes();
            if sending.is_empty() && closes.is_some() {
                break;
            }
            select! {
                Some(()) = sending.next() => {}
                () = self.queue.work() => {}
                () = until(closes) => break,
            }
        }
        // Dropping a send reports its notification as abandoned.
        drop(sending);
    }

    /// Reports the waiting notifications as abandoned.
    pub(crate) fn abandon(self: &Arc<Self>) {
        while let Some(item) = self.queue.pop() {
            drop(Accepted { core: self.clone(), item: Some(item) });
        }
        self.gauge();
        self.losses.flush();
    }

    async fn send(self: Arc<Self>, item: Item) {
        let tries = Tries::new(item.retry, self.counts.retried.clone());
        let accepted = Accepted { core: self.clone(), item: Some(item) };
        let Some(notification) = accepted.item.as_ref().map(|item| &item.notification) else { return };
        let outcomes = self.drivers.iter().map(|driver| run(&**driver, notification, &tries));
        let failures: Vec<_> = join_all(outcomes).await.into_iter().filter_map(Result::err).flatten().collect();
        let outcome = if failures.is_empty() {
            Ok(())
        } else {
            Err(NotifyError::Failed { event_type: notification.event_type.clone(), failures: failures.into() })
        };
        accepted.settle(outcome);
    }

    /// Settles a notification that was dropped for a later one.
    pub(crate) fn drop_oldest(self: &Arc<Self>, item: Item) {
        let event_type = item.notification.event_type.clone();
        Accepted { core: self.clone(), item: Some(item) }.settle(Err(NotifyError::Dropped { event_type }));
    }

    fn end(&self, item: Item, outcome: Result<(), NotifyError>) {
        match &outcome {
            Ok(()) => self.counts.sent(),
            Err(NotifyError::Dropped { .. }) => self.counts.dropped(),
            Err(NotifyError::Abandoned { .. }) => self.counts.abandoned(),
            Err(_) => self.counts.failed(),
        }
        if let Err(lost) = &outcome {
            // A log layer may send the callback's log records by this notifier.
            let _inside = quiet::enter();
            self.losses.log(lost);
            if let Some(on_lost) = &self.on_lost
                && let Some(_reporting) = quiet::report_first()
            {
                // A callback that panics must not end the worker.
                let reported = catch_unwind(AssertUnwindSafe(|| on_lost(&item.notification, lost)));
                if reported.is_err() {
                    tracing::error!(event_type = %lost.event_type(), "the callback for lost notifications panicked");
                }
            }
        }
        let _ = item.outcome.send(outcome);
        self.queue.settled(item.number);
    }

    fn gauge(&self) {
        #[allow(clippy::cast_precision_loss)]
        counted(|| metrics::gauge!("oxlo_notifier_queued").set(self.queue.load().0 as f64));
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queued, in_flight) = self.queue.load();
        f.debug_struct("Core")
            .field("drivers", &self.drivers)
            .field("queued", &queued)
            .field("in_flight", &in_flight)
            .finish_non_exhaustive()
    }
}

/// Handles the end of the worker, by itself or with its runtime.
struct WorkerEnd(Arc<Core>);

impl Drop for WorkerEnd {
    fn drop(&mut self) {
        let Self(core) = self;
        if core.queue.closes().is_none() {
            core.queue.orphan();
        }
        core.abandon();
    }
}

/// An accepted, unsettled notification. Dropping it abandons the notification.
struct Accepted {
    core: Arc<Core>,
    item: Option<Item>,
}

impl Accepted {
    fn settle(mut self, outcome: Result<(), NotifyError>) {
        if let Some(item) = self.item.take() {
            self.core.end(item, outcome);
        }
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            let event_type = item.notification.event_type.clone();
            self.core.end(item, Err(NotifyError::Abandoned { event_type }));
        }
    }
}

async fn run(
    driver: &dyn NotificationDriver,
    notification: &Notification,
    tries: &Tries,
) -> Result<(), Vec<DriverError>> {
    // Inside a future, so that a panic before the driver's first await is caught too.
    let notify = async { driver.notify(notification, tries).await };
    AssertUnwindSafe(notify)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(vec![DriverError::new(driver.name(), Arc::new(Panicked))]))
}

#[derive(Debug, thiserror::Error)]
#[error("the driver panicked")]
struct Panicked;

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Logs lost notifications, at most one line per second, so that an overflowing queue does not flood the log.
#[derive(Debug, Default)]
pub(crate) struct Losses(Mutex<Logged>);

#[derive(Debug, Default)]
struct Logged {
    last: Option<Instant>,
    unlogged: u64,
}

impl Losses {
    fn log(&self, lost: &NotifyError) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.unlogged += 1;
        if logged.last.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            logged.last = Some(Instant::now());
            let count = std::mem::take(&mut logged.unlogged);
            drop(logged);
            tracing::warn!(count, last = %lost, "notifications were lost");
        }
    }

    fn flush(&self) {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = std::mem::take(&mut logged.unlogged);
        drop(logged);
        if count > 0 {
            tracing::warn!(count, "further notifications were lost");
        }
    }
}
