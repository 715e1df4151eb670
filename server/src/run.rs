//! One run of a server: take requests, keep their number bounded, and end in order.

use std::{
    collections::HashMap,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use oxlo_transport::{Listener, Request, TransportError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at},
};

use crate::{
    process::{Ended, Shared, Taken, process},
    report::{Abandoned, ServeReport},
    telemetry::Ending,
};

/// How long replies and settlements may take to leave when the grace is over.
const FLUSH: Duration = Duration::from_secs(5);

/// How often readiness is looked at while nothing arrives.
const LOOK: Duration = Duration::from_millis(500);

/// The pause after an error of the listener that may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// One run of a server. Dropping [`until`](Self::until) drops the handlers where they wait, puts back what is not
/// settled, and sends no reply.
pub(crate) struct Run {
    pub(crate) shared: Arc<Shared>,
    pub(crate) listener: Box<dyn Listener<Request>>,
    pub(crate) concurrency: usize,
    pub(crate) grace: Duration,
    pub(crate) ready: Arc<AtomicBool>,
}

impl Run {
    /// Serves until `shutdown` resolves or the listener ends, then ends in order: take nothing more, finish what runs
    /// within the grace, drop the rest, let replies and settlements leave.
    pub(crate) async fn until(
        mut self,
        shutdown: impl Future,
    ) -> Result<ServeReport, (TransportError, Box<ServeReport>)> {
        let mut tasks = Tasks::default();
        let ready = self.ready.clone();
        // Also when this future is dropped, nobody shall believe that it serves.
        let _unready = Unready(&ready);
        let ended = self.take(&mut tasks, shutdown).await;
        self.ready.store(false, Ordering::Release);
        self.shared.stopping.cancel();

        let deadline = Instant::now().checked_add(self.grace);
        let stopping = async {
            self.listener.stop().await;
            tasks.finish().await;
        };
        let in_time = match deadline {
            Some(deadline) => timeout_at(deadline, stopping).await.is_ok(),
            None => {
                stopping.await;
                true
            }
        };
        if !in_time {
            self.shared.abandon.cancel();
            if timeout(FLUSH, tasks.finish()).await.is_err() {
                tasks.give_up();
            }
        }
        if timeout(FLUSH, self.listener.close()).await.is_err() {
            tracing::warn!("the listener did not close in time; requests of this server may be delivered again");
        }
        let report = tasks.report;
        if !report.abandoned.is_empty() {
            tracing::warn!(count = report.abandoned.len(), "methods were abandoned at shutdown");
        }
        match ended {
            Ok(()) => Ok(report),
            Err(error) => Err((error, Box::new(report))),
        }
    }

    async fn take(&mut self, tasks: &mut Tasks, shutdown: impl Future) -> Result<(), TransportError> {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        let mut shutdown = pin!(shutdown);
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tasks.reap();
            // Before a request is taken, so that what cannot run yet stays with the listener, or goes to another server.
            let slot = tokio::select! {
                biased;
                _ = &mut shutdown => return Ok(()),
                slot = slots.clone().acquire_owned() => match slot {
                    Ok(slot) => slot,
                    Err(_closed) => return Ok(()),
                },
            };
            let received = loop {
                tokio::select! {
                    biased;
                    _ = &mut shutdown => return Ok(()),
                    received = self.listener.recv() => break received,
                    _ = look.tick() => self.ready.store(self.listener.is_subscribed(), Ordering::Release),
                }
            };
            // A flood leaves the look above no turn.
            self.ready.store(self.listener.is_subscribed(), Ordering::Release);
            match received {
                Ok(delivery) => tasks.spawn(&self.shared, Taken::new(delivery, self.shared.policy), slot),
                Err(TransportError::Closed) => return Ok(()),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "receiving failed; trying again");
                    tokio::select! {
                        _ = &mut shutdown => return Ok(()),
                        () = sleep(PAUSE) => {}
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "receiving failed for good");
                    return Err(error);
                }
            }
        }
    }
}

/// The requests that run, and what became of those that ended.
#[derive(Default)]
struct Tasks {
    set: JoinSet<Ended>,
    running: HashMap<Id, (Arc<str>, Instant)>,
    report: ServeReport,
}

impl Tasks {
    fn spawn(&mut self, shared: &Arc<Shared>, taken: Taken, slot: OwnedSemaphorePermit) {
        let method = taken.request.method.clone();
        let task = self.set.spawn(process(shared.clone(), taken, slot));
        self.running.insert(task.id(), (method, Instant::now()));
    }

    /// Counts the requests that have ended.
    fn reap(&mut self) {
        while let Some(joined) = self.set.try_join_next_with_id() {
            self.count(joined);
        }
    }

    /// Waits until all have ended. Cancel safe.
    async fn finish(&mut self) {
        while let Some(joined) = self.set.join_next_with_id().await {
            self.count(joined);
        }
    }

    /// Aborts what did not end although it was told to, such as a handler that never yields.
    fn give_up(&mut self) {
        self.reap();
        self.set.abort_all();
        for (_, (method, since)) in self.running.drain() {
            self.report.abandoned.push(Abandoned { method, ran_for: since.elapsed() });
        }
    }

    fn count(&mut self, joined: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match joined {
            Ok(joined) => joined,
            Err(error) => {
                tracing::error!(%error, "a request's task ended without an outcome");
                self.running.remove(&error.id());
                self.report.failed += 1;
                self.report.handled += 1;
                return;
            }
        };
        let known = self.running.remove(&id);
        let report = &mut self.report;
        report.replies_lost += u64::from(ended.reply_lost);
        match ended.ending {
            None => report.dropped_expired += 1,
            Some(Ending::Result) => report.handled += 1,
            Some(Ending::Failure) => {
                report.handled += 1;
                report.failed += 1;
            }
            Some(Ending::Requeue) => report.requeued += 1,
            Some(Ending::Ignore) => report.ignored += 1,
            Some(Ending::Abandoned) => {
                if let Some((method, since)) = known {
                    report.abandoned.push(Abandoned { method, ran_for: since.elapsed() });
                }
            }
        }
    }
}

struct Unready<'a>(&'a AtomicBool);

impl Drop for Unready<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
