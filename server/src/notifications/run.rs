//! One run of a listener: take notifications, one by one or in batches, and end in order.

use std::{
    future::{Future, ready},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use foldhash::HashMap;
use oxlo_transport::{
    Delivery, ListenOptions, Listener, Notification, Priority, Target, Transport, TransportError, budget::Permit,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    report::{ListenError, ListenReport},
    running::RunningListener,
};
use crate::{aside::due, oversight::Oversight, signals, stall::Stall, telemetry::shown};

/// How long settlements may take to leave when all handlers have ended.
const FLUSH: Duration = Duration::from_secs(5);

/// The same when the listener has to end at once.
const FORCED_FLUSH: Duration = Duration::from_millis(200);

/// The pause after an error of the listener that may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// How often readiness is looked at where the driver does not report changes, and stalled handlers always.
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

    /// What listens, for logs: topics, pool, priorities.
    fn name(&self) -> String {
        let pool = self.pool.as_ref().map_or_else(String::new, |pool| format!(" in pool {pool}"));
        format!("listener on {}{pool}", self.described())
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
        let (stop, force) = (CancellationToken::new(), CancellationToken::new());
        let readiness = watch::Sender::new(listener.is_subscribed());
        let ready = readiness.subscribe();
        let (ended, end) = watch::channel(None);
        let oversight = Oversight::new(self.name(), false);
        let (token, forced) = (stop.clone(), force.clone());
        let run = async move {
            let outcome = self.run(listener, token.cancelled(), &forced, &readiness).await;
            ended.send_replace(Some(outcome));
        };
        tokio::spawn(run.in_current_span());
        Ok(RunningListener { stop, force, ready, end, oversight })
    }

    /// Subscribes, and runs until `shutdown` resolves or the transport is closed.
    pub(crate) async fn serve_until(self, shutdown: impl Future) -> Result<ListenReport, ListenError> {
        let listener = self.subscribe().await?;
        let readiness = watch::Sender::new(true);
        Box::pin(self.run(listener, shutdown, &CancellationToken::new(), &readiness)).await
    }

    /// Subscribes, and runs until the process is asked to end: the first time in order, the second time at once.
    pub(crate) async fn serve_until_signalled(self) -> Result<ListenReport, ListenError> {
        let signal = signals::shutdown_signal().map_err(ListenError::signals)?;
        let force = CancellationToken::new();
        let listener = self.subscribe().await?;
        let readiness = watch::Sender::new(true);
        let again = signal.again();
        let told_again = async {
            again.await;
            force.cancel();
            std::future::pending::<()>().await;
        };
        let run = Box::pin(self.run(listener, signal, &force, &readiness));
        tokio::select! {
            biased;
            ended = run => ended,
            () = told_again => Err(ListenError::Cancelled),
        }
    }

    async fn run(
        &self,
        mut listener: Box<dyn Listener<Notification>>,
        shutdown: impl Future,
        force: &CancellationToken,
        ready: &watch::Sender<bool>,
    ) -> Result<ListenReport, ListenError> {
        let mut tasks = Tasks::default();
        let name = self.name();
        let priorities: Vec<&str> = Priority::ALL
            .into_iter()
            .filter(|priority| self.on.iter().any(|(_, on)| on == priority))
            .map(Priority::as_str)
            .collect();
        tracing::info!("{name} takes notifications: {}", priorities.join(", "));
        let stopping = CancellationToken::new();
        let ended = self.take(&mut *listener, &mut tasks, shutdown, ready, &stopping).await;
        ready.send_replace(false);
        stopping.cancel();
        listener.stop().await;
        let deadline = Instant::now().checked_add(self.grace);
        let grace = async {
            match deadline {
                Some(deadline) => timeout_at(deadline, tasks.finish()).await.is_ok(),
                None => {
                    tasks.finish().await;
                    true
                }
            }
        };
        if !force.run_until_cancelled(grace).await.unwrap_or(false) {
            tasks.give_up();
        }
        let flush = if force.is_cancelled() { FORCED_FLUSH } else { FLUSH };
        if timeout(flush, listener.close()).await.is_err() {
            tracing::warn!("{name} did not close in time; notifications may be delivered again");
        }
        let report = tasks.report;
        if report.abandoned > 0 {
            tracing::warn!(count = report.abandoned, "{name}: notifications were abandoned at shutdown");
        }
        tracing::info!("{name} ended: {report}");
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
        ready: &watch::Sender<bool>,
        stopping: &CancellationToken,
    ) -> Result<(), TransportError> {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        let mut shutdown = pin!(shutdown);
        let mut readiness = Readiness::new(ready, listener);
        let mut stall = Stall::default();
        loop {
            tasks.reap();
            let slot = match slots.clone().try_acquire_owned() {
                Ok(slot) => slot,
                Err(_) => tokio::select! {
                    biased;
                    _ = &mut shutdown => return Ok(()),
                    slot = slots.clone().acquire_owned() => match slot {
                        Ok(slot) => slot,
                        Err(_closed) => return Ok(()),
                    },
                    () = readiness.due() => {
                        readiness.look(listener);
                        tasks.reap();
                        let all_taken = slots.available_permits() == 0;
                        if let Some(stalled) = stall.look(Instant::now(), all_taken, tasks.ended()) {
                            self.report_stall(stalled, tasks);
                        }
                        continue;
                    }
                },
            };
            // What was collected when the shutdown comes goes back by being dropped.
            let mut unit = Vec::new();
            let collected = tokio::select! {
                biased;
                _ = &mut shutdown => return Ok(()),
                collected = self.collect(listener, &mut unit, &mut readiness) => collected,
            };
            if !unit.is_empty() {
                let event_type = unit[0].message.event_type.clone();
                let running = Unit { count: unit.len(), event_type, since: Instant::now() };
                tasks.spawn(running, self.process.process(unit, slot, stopping.clone()));
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

    /// Takes a batch: as many as it may have, or what came within its time after the first, or all that the listener has
    /// if it may hold no more.
    async fn collect(
        &self,
        listener: &mut dyn Listener<Notification>,
        unit: &mut Vec<Delivery<Notification>>,
        readiness: &mut Readiness<'_>,
    ) -> Result<(), TransportError> {
        let mut deadline = None;
        while unit.len() < self.batch_size {
            let full = unit.last().and_then(|last| last.permit.as_ref()).is_some_and(Permit::is_last);
            tokio::select! {
                biased;
                received = listener.recv() => {
                    unit.push(received?);
                    // A flood gives the readiness below no turn.
                    readiness.look(listener);
                    if deadline.is_none() && unit.len() < self.batch_size {
                        deadline = Some(Instant::now() + self.batch_timeout);
                    }
                }
                () = ready(()), if full => break,
                () = until(deadline) => break,
                () = readiness.due() => readiness.look(listener),
            }
        }
        Ok(())
    }

    fn report_stall(&self, stalled: Duration, tasks: &Tasks) {
        let Some(oldest) = tasks.oldest() else { return };
        tracing::warn!(
            event_type = &*shown(&oldest.event_type),
            "{}: all {} places are taken and no handler has ended for {stalled:?}, so nothing more is taken; the              handler of `{}` has run for {:?}: give it a timeout, or raise concurrency()",
            self.name(),
            self.concurrency,
            shown(&oldest.event_type),
            oldest.since.elapsed()
        );
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Follows whether the listener is subscribed, also while notifications arrive without a pause.
struct Readiness<'a> {
    ready: &'a watch::Sender<bool>,
    subscribed: watch::Receiver<bool>,
    look: Interval,
}

impl<'a> Readiness<'a> {
    fn new(ready: &'a watch::Sender<bool>, listener: &dyn Listener<Notification>) -> Self {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ready, subscribed: listener.subscribed(), look }
    }

    /// Resolves when it is time to [`look`](Self::look). Cancel safe.
    async fn due(&mut self) {
        tokio::select! {
            Ok(()) = self.subscribed.changed() => {}
            _ = self.look.tick() => {}
        }
    }

    fn look(&self, listener: &dyn Listener<Notification>) {
        let now = listener.is_subscribed();
        if *self.ready.borrow() != now {
            self.ready.send_replace(now);
        }
    }
}

/// What runs, and what became of what ended.
#[derive(Default)]
struct Tasks {
    set: JoinSet<ListenReport>,
    running: HashMap<Id, Unit>,
    /// Units that have ended.
    ended: u64,
    report: ListenReport,
}

/// Notifications that are handled together.
struct Unit {
    count: usize,
    /// That of the first.
    event_type: Arc<str>,
    since: Instant,
}

impl Tasks {
    fn spawn(&mut self, unit: Unit, work: Work) {
        let task = self.set.spawn(work);
        self.running.insert(task.id(), unit);
    }

    fn ended(&self) -> u64 {
        self.ended
    }

    fn oldest(&self) -> Option<&Unit> {
        self.running.values().min_by_key(|unit| unit.since)
    }

    fn reap(&mut self) {
        while let Some(joined) = self.set.try_join_next_with_id() {
            self.count(joined);
        }
    }

    async fn finish(&mut self) {
        while let Some(joined) = self.set.join_next_with_id().await {
            self.count(joined);
        }
    }

    fn give_up(&mut self) {
        self.reap();
        self.set.abort_all();
        self.report.abandoned += self.running.values().map(|unit| unit.count as u64).sum::<u64>();
    }

    fn count(&mut self, joined: Result<(Id, ListenReport), JoinError>) {
        self.ended += 1;
        match joined {
            Ok((id, report)) => {
                self.running.remove(&id);
                self.report.add(&report);
            }
            Err(error) => {
                self.running.remove(&error.id());
                tracing::error!(%error, "a notification's task ended without an outcome");
            }
        }
    }
}
