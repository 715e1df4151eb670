//! One run of a listener: take notifications, one by one or in batches, and end in order.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use oxlo_transport::{Delivery, ListenOptions, Listener, Notification, Priority, Target, Transport, TransportError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::report::{ListenError, ListenReport};
use crate::aside::due;

/// How long settlements may take to leave when all handlers have ended.
const FLUSH: Duration = Duration::from_secs(5);

/// The pause after an error of the listener that may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// How often readiness is looked at while nothing arrives.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) type Work = Pin<Box<dyn Future<Output = ListenReport> + Send>>;

/// What handles the notifications that were taken together.
pub(crate) trait Process: Send + Sync + 'static {
    /// `slot` is their share of the concurrency. Dropping the future puts back what is not settled.
    fn process(
        &self,
        unit: Vec<Delivery<Notification>>,
        slot: OwnedSemaphorePermit,
        stopping: CancellationToken,
    ) -> Work;
}

/// What to listen on, and how.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) on: Vec<(Target, Priority)>,
    pub(crate) pool: Option<Arc<str>>,
    pub(crate) transient: bool,
    /// Whether notifications may come again.
    pub(crate) requeues: bool,
    pub(crate) prefetch: u16,
    pub(crate) concurrency: usize,
    pub(crate) batch_size: usize,
    pub(crate) batch_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) process: Arc<dyn Process>,
}

impl Plan {
    /// The topics, for messages to a person.
    fn described(&self) -> String {
        let mut topics: Vec<String> = self.on.iter().map(|(target, _)| target.to_string()).collect();
        topics.dedup();
        topics.join(", ")
    }

    async fn subscribe(&self) -> Result<Box<dyn Listener<Notification>>, ListenError> {
        let options = ListenOptions::new()
            .with_prefetch(self.prefetch)
            .with_transient(self.transient)
            .with_deferrable(self.requeues);
        let mut listener = self
            .transport
            .listen_for_notifications(&self.on, self.pool.as_deref(), &options)
            .await
            .map_err(|source| ListenError::Listen { on: self.described(), source })?;
        if let Some(prefetch) = listener.prefetch().filter(|most| usize::from(*most) < self.batch_size) {
            listener.stop().await;
            listener.close().await;
            let reason = format!(
                "the transport holds {prefetch} of each queue at most, less than a batch of {}, which could never become \
                 full; raise the limit in its URL, or make the batch smaller",
                self.batch_size
            );
            return Err(ListenError::Option { option: "prefetch", reason });
        }
        Ok(due(listener, &options))
    }

    /// Subscribes, and runs on a task of its own.
    pub(crate) async fn start(self) -> Result<RunningListener, ListenError> {
        let listener = self.subscribe().await?;
        let stop = CancellationToken::new();
        let ready = Arc::new(AtomicBool::new(listener.is_subscribed()));
        let (ended, end) = watch::channel(None);
        let (token, its_ready) = (stop.clone(), ready.clone());
        let run = async move {
            let outcome = self.run(listener, token.cancelled(), &its_ready).await;
            its_ready.store(false, Ordering::Release);
            ended.send_replace(Some(outcome));
        };
        tokio::spawn(run.in_current_span());
        Ok(RunningListener { stop, ready, end })
    }

    /// Subscribes, and runs until `shutdown` resolves or the transport is closed.
    pub(crate) async fn serve_until(self, shutdown: impl Future) -> Result<ListenReport, ListenError> {
        let listener = self.subscribe().await?;
        Box::pin(self.run(listener, shutdown, &AtomicBool::new(true))).await
    }

    async fn run(
        &self,
        mut listener: Box<dyn Listener<Notification>>,
        shutdown: impl Future,
        ready: &AtomicBool,
    ) -> Result<ListenReport, ListenError> {
        let mut tasks = Tasks::default();
        let stopping = CancellationToken::new();
        let ended = self.take(&mut *listener, &mut tasks, shutdown, ready, &stopping).await;
        ready.store(false, Ordering::Release);
        stopping.cancel();
        listener.stop().await;
        let deadline = Instant::now().checked_add(self.grace);
        let in_time = match deadline {
            Some(deadline) => timeout_at(deadline, tasks.finish()).await.is_ok(),
            None => {
                tasks.finish().await;
                true
            }
        };
        if !in_time {
            tasks.give_up();
        }
        if timeout(FLUSH, listener.close()).await.is_err() {
            tracing::warn!("the listener did not close in time; notifications may be delivered again");
        }
        let report = tasks.report;
        if report.abandoned > 0 {
            tracing::warn!(count = report.abandoned, "notifications were abandoned at shutdown");
        }
        match ended {
            Ok(()) => Ok(report),
            Err(source) => Err(ListenError::Receive { on: self.described(), source, report: Box::new(report) }),
        }
    }

    async fn take(
        &self,
        listener: &mut dyn Listener<Notification>,
        tasks: &mut Tasks,
        shutdown: impl Future,
        ready: &AtomicBool,
        stopping: &CancellationToken,
    ) -> Result<(), TransportError> {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        let mut shutdown = pin!(shutdown);
        loop {
            tasks.reap();
            let slot = tokio::select! {
                biased;
                _ = &mut shutdown => return Ok(()),
                slot = slots.clone().acquire_owned() => match slot {
                    Ok(slot) => slot,
                    Err(_closed) => return Ok(()),
                },
            };
            // What was collected when the shutdown comes goes back by being dropped.
            let mut unit = Vec::new();
            let collected = tokio::select! {
                biased;
                _ = &mut shutdown => return Ok(()),
                collected = self.collect(listener, &mut unit, ready) => collected,
            };
            if !unit.is_empty() {
                let count = unit.len();
                tasks.spawn(self.process.process(unit, slot, stopping.clone()), count);
            }
            match collected {
                Ok(()) => {}
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

    /// Takes a batch: as many as it may have, or what came within its time after the first.
    async fn collect(
        &self,
        listener: &mut dyn Listener<Notification>,
        unit: &mut Vec<Delivery<Notification>>,
        ready: &AtomicBool,
    ) -> Result<(), TransportError> {
        let first = loop {
            match timeout(LOOK, listener.recv()).await {
                Ok(received) => break received?,
                Err(_) => ready.store(listener.is_subscribed(), Ordering::Release),
            }
        };
        unit.push(first);
        let deadline = Instant::now() + self.batch_timeout;
        while unit.len() < self.batch_size {
            match timeout_at(deadline, listener.recv()).await {
                Ok(received) => unit.push(received?),
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// What runs, and what became of what ended.
#[derive(Default)]
struct Tasks {
    set: JoinSet<(ListenReport, usize)>,
    /// Notifications that are being handled.
    running: usize,
    report: ListenReport,
}

impl Tasks {
    fn spawn(&mut self, work: Work, count: usize) {
        self.running += count;
        self.set.spawn(async move { (work.await, count) });
    }

    fn reap(&mut self) {
        while let Some(joined) = self.set.try_join_next() {
            self.count(joined);
        }
    }

    async fn finish(&mut self) {
        while let Some(joined) = self.set.join_next().await {
            self.count(joined);
        }
    }

    fn give_up(&mut self) {
        self.reap();
        self.set.abort_all();
        self.report.abandoned += self.running as u64;
    }

    fn count(&mut self, joined: Result<(ListenReport, usize), JoinError>) {
        match joined {
            Ok((report, count)) => {
                self.running = self.running.saturating_sub(count);
                self.report.add(&report);
            }
            Err(error) => tracing::error!(%error, "a notification's task ended without an outcome"),
        }
    }
}

/// A listener that runs in the background, on a task of its own.
///
/// Dropping it stops the listener as [`stop`](Self::stop) does; nobody then learns how it ended.
#[derive(Debug)]
#[must_use = "dropping it stops the listener"]
pub struct RunningListener {
    stop: CancellationToken,
    ready: Arc<AtomicBool>,
    end: watch::Receiver<Option<Result<ListenReport, ListenError>>>,
}

impl RunningListener {
    /// Begins to stop: nothing more is taken, what runs may finish within the grace. Returns at once.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the listener has ended, which needs [`stop`](Self::stop), or the transport's close, or a failure. It
    /// may be called more than once, and then says the same again.
    ///
    /// # Errors
    ///
    /// [`ListenError::Receive`] if it failed for good, [`ListenError::Cancelled`] if the runtime shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the listener is not touched by it.
    pub async fn wait(&self) -> Result<ListenReport, ListenError> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Err(ListenError::Cancelled)),
            Err(_) => Err(ListenError::Cancelled),
        }
    }

    /// Whether it is subscribed at the broker, as of at most half a second ago; `false` once it stops.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
