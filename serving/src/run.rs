//! One run: take messages, bound how many are handled at a time, and end in order.

use std::{convert::Infallible, future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use oxlo_transport::{Delivery, Listener, TransportError};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    control::{Command, Limits},
    dispatch::{Dispatch, Report, Slot, Source},
    handle::RunHandle,
    jobs::{Jobs, Stalled},
    report::{Failed, StopReason, Summary},
    shutdown::{Drain, Shutdown},
    stall::StallDetector,
    usage::UsageCheck,
};

/// How often readiness and stalls are checked while nothing arrives.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// The most messages that are taken at a time before anything else gets its turn.
const MAX_AT_ONCE: usize = 32;

/// The pause after a retryable error of the listener.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The settings of one run.
#[derive(Debug)]
pub struct RunOptions {
    /// The run in log lines: `inventory as inventory-1`.
    pub name: Arc<str>,
    /// The log line at the start of the run.
    pub started: String,
    /// How many jobs run at a time. At least 1.
    pub concurrency: usize,
    /// How long running jobs may go on after a stop.
    pub grace: Duration,
    /// When the run ends by itself.
    pub limits: Limits,
    /// Tells handlers that the run stops.
    pub shutdown: Shutdown,
    /// Cancelled when the run is told to stop.
    pub stop: CancellationToken,
}

/// One run of a server or a listener.
///
/// Dropping the future of [`until`](Self::until) drops the handlers, returns unsettled messages to the broker, and sends
/// no reply.
pub struct Run<D: Dispatch> {
    dispatch: Arc<D>,
    options: RunOptions,
    source: Box<dyn Source<D::Message>>,
    /// `None` while paused.
    listener: Option<Box<dyn Listener<D::Message>>>,
    /// Stopped listeners whose messages may still be handled.
    retired: Vec<Box<dyn Listener<D::Message>>>,
    commands: mpsc::UnboundedReceiver<Command>,
    ready: watch::Sender<bool>,
    force: CancellationToken,
}

impl<D: Dispatch> std::fmt::Debug for Run<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<D: Dispatch> Run<D> {
    /// A run that takes messages from `listener` at first, and from `source` after a pause or a reset.
    pub fn new(
        dispatch: D,
        options: RunOptions,
        listener: Box<dyn Listener<D::Message>>,
        source: impl Source<D::Message>,
    ) -> Self {
        Self {
            dispatch: Arc::new(dispatch),
            options,
            source: Box::new(source),
            ready: watch::Sender::new(listener.is_subscribed()),
            listener: Some(listener),
            retired: Vec::new(),
            commands: mpsc::unbounded_channel().1,
            force: CancellationToken::new(),
        }
    }

    /// Serves on a task of its own. `subject` names the run in warnings about its handle, `finish` turns its end into
    /// what [`RunHandle::wait`] returns.
    pub fn spawn<E: Send + Sync + 'static>(
        mut self,
        subject: String,
        finish: impl FnOnce(Result<D::Report, Failed<D::Report>>) -> E + Send + 'static,
    ) -> RunHandle<E> {
        let (commands, inbox) = mpsc::unbounded_channel();
        self.commands = inbox;
        let (stop, force, ready) = (self.options.stop.clone(), self.force.clone(), self.ready.subscribe());
        let usage = UsageCheck::new(subject, self.options.limits.is_bounded());
        let (ended, end) = watch::channel(None);
        let stopped = stop.clone();
        let serving = async move {
            let end = self.serve(stopped.cancelled()).await;
            ended.send_replace(Some(Arc::new(finish(end))));
        };
        tokio::spawn(serving.in_current_span());
        RunHandle { stop, force, commands, ready, end, usage }
    }

    /// Serves until `shutdown` resolves, the listener ends, or a limit is reached, and then shuts down in order. Stops at
    /// once when `force` resolves.
    ///
    /// # Errors
    ///
    /// [`Failed`] if the listener failed permanently.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is the abrupt end: handlers are dropped and unsettled messages return to the broker.
    pub async fn until(self, shutdown: impl Future, force: impl Future) -> Result<D::Report, Failed<D::Report>> {
        let (stop, forced) = (self.options.stop.clone(), self.force.clone());
        let stopping = async {
            shutdown.await;
            stop.cancel();
        };
        let forcing = async {
            force.await;
            forced.cancel();
            stop.cancel();
            std::future::pending::<Infallible>().await
        };
        let serving = Box::pin(self.serve(stop.cancelled()));
        tokio::select! {
            biased;
            end = serving => end,
            (never, ()) = async { tokio::join!(forcing, stopping) } => match never {},
        }
    }

    async fn serve(mut self, stop: impl Future) -> Result<D::Report, Failed<D::Report>> {
        let mut jobs = Jobs::new(self.dispatch.clone());
        let ready = self.ready.clone();
        let _reset = ResetReadiness(&ready);
        let name = self.options.name.clone();
        tracing::info!("{}", self.options.started);
        let mut end = EndLine { name: &name, logged: false };
        let taken = self.take_until(&mut jobs, stop).await;
        ready.send_replace(false);
        let drain =
            Drain { name: &name, grace: self.options.grace, shutdown: &self.options.shutdown, force: &self.force };
        drain.drain(&mut jobs, self.listener.take(), std::mem::take(&mut self.retired)).await;
        let Jobs { taken: count, mut report, abandoned, .. } = jobs;
        let reason = *taken.as_ref().unwrap_or(&StopReason::Closed);
        report.finish(Summary { reason, taken: count, abandoned });
        end.logged = true;
        match taken {
            Ok(_) => {
                tracing::info!("{name} ended: {report}");
                Ok(report)
            }
            Err(error) => {
                tracing::error!(%error, "{name} ended: {report}");
                Err(Failed { error, report: Box::new(report) })
            }
        }
    }

    async fn take_until(&mut self, jobs: &mut Jobs<D>, stop: impl Future) -> Result<StopReason, TransportError> {
        let slots = Arc::new(Semaphore::new(self.options.concurrency));
        let mut stop = pin!(stop);
        let limits = self.options.limits;
        let mut deadline = pin!(limits.deadline());
        let mut check = interval(CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut subscribed = self.subscribed();
        let mut slot = None;
        let mut stall = StallDetector::default();
        loop {
            jobs.reap();
            if limits.is_reached(jobs.taken) {
                return Ok(StopReason::MaxRequests);
            }
            self.close_retired(jobs).await;
            // Before a message is taken, so that one that cannot run yet stays with the listener, or goes to another
            // consumer.
            slot = slot.or_else(|| free_slot(&slots));
            let may_take = slot.is_some() && self.listener.is_some();
            let received = tokio::select! {
                biased;
                _ = &mut stop => return Ok(StopReason::Stopped),
                () = &mut deadline => return Ok(StopReason::Deadline),
                Some(command) = self.commands.recv() => {
                    tokio::select! {
                        biased;
                        _ = &mut stop => return Ok(StopReason::Stopped),
                        () = self.obey(command, jobs.taken) => {}
                    }
                    subscribed = self.subscribed();
                    continue;
                }
                free = slots.clone().acquire_owned(), if slot.is_none() => {
                    slot = free.ok().map(Slot::from);
                    continue;
                }
                received = recv(&mut self.listener), if may_take => received,
                Ok(()) = subscribed.changed(), if self.listener.is_some() => {
                    self.update_readiness();
                    continue;
                }
                // For drivers that do not report changes of the subscription.
                _ = check.tick() => {
                    self.update_readiness();
                    if let Some(since) = stall.check(Instant::now(), slot.is_none(), jobs.ended()) {
                        self.warn_stalled(since, jobs);
                    }
                    jobs.workers.shrink();
                    continue;
                }
                () = jobs.workers.changed(), if !self.retired.is_empty() => continue,
            };
            // A flood of messages starves the branches above.
            self.update_readiness();
            match self.take_ready(received, jobs, &slots, &mut slot) {
                Ok(()) => {}
                Err(TransportError::Closed) => return Ok(StopReason::Closed),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "receiving for {} failed, retrying", self.options.name);
                    tokio::select! {
                        _ = &mut stop => return Ok(StopReason::Stopped),
                        () = sleep(RETRY_PAUSE) => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes a message and those that are ready behind it, up to a limit, so that they share the cost of one wake-up.
    fn take_ready(
        &mut self,
        received: Result<Delivery<D::Message>, TransportError>,
        jobs: &mut Jobs<D>,
        slots: &Arc<Semaphore>,
        slot: &mut Option<Slot>,
    ) -> Result<(), TransportError> {
        let Some(first) = slot.take() else { return Ok(()) };
        let now = Instant::now();
        jobs.start(self.dispatch.accept(received?), first, now);
        for _ in 1..MAX_AT_ONCE {
            if self.options.limits.is_reached(jobs.taken) {
                break;
            }
            *slot = free_slot(slots);
            if slot.is_none() {
                break;
            }
            let Some(received) = recv(&mut self.listener).now_or_never() else { break };
            if let Some(next) = slot.take() {
                jobs.start(self.dispatch.accept(received?), next, now);
            }
        }
        Ok(())
    }

    async fn obey(&mut self, command: Command, taken: u64) {
        match command {
            Command::Pause(done) => {
                self.retire().await;
                self.ready.send_replace(false);
                let _ = done.send(());
            }
            Command::Subscribe(done) => {
                let subscribed = match self.source.subscribe(taken).await {
                    Ok(listener) => {
                        self.retire().await;
                        self.listener = Some(listener);
                        self.update_readiness();
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                let _ = done.send(subscribed);
            }
        }
    }

    /// Takes no more messages from the current listener; those it has handed out can still be settled.
    async fn retire(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            listener.stop().await;
            self.retired.push(listener);
        }
    }

    async fn close_retired(&mut self, jobs: &Jobs<D>) {
        if jobs.workers.is_idle() {
            for listener in self.retired.drain(..) {
                listener.close().await;
            }
        }
    }

    fn warn_stalled(&self, since: Duration, jobs: &Jobs<D>) {
        let RunOptions { name, concurrency, .. } = &self.options;
        let running = jobs.workers.running();
        self.dispatch.warn_stalled(&Stalled { run: name, concurrency: *concurrency, since, running: &running });
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        match &self.listener {
            Some(listener) => listener.subscribed(),
            None => watch::channel(false).1,
        }
    }

    fn update_readiness(&self) {
        let now = self.listener.as_ref().is_some_and(|listener| listener.is_subscribed());
        self.ready.send_if_modified(|ready| std::mem::replace(ready, now) != now);
    }
}

fn free_slot(slots: &Arc<Semaphore>) -> Option<Slot> {
    slots.clone().try_acquire_owned().ok().map(Slot::from)
}

async fn recv<M: Send + 'static>(listener: &mut Option<Box<dyn Listener<M>>>) -> Result<Delivery<M>, TransportError> {
    match listener {
        Some(listener) => listener.recv().await,
        None => std::future::pending().await,
    }
}

/// Logs the end of a run whose future was dropped.
struct EndLine<'a> {
    name: &'a str,
    logged: bool,
}

impl Drop for EndLine<'_> {
    fn drop(&mut self) {
        if !self.logged {
            tracing::info!("{} ended: dropped while it served", self.name);
        }
    }
}

/// Resets readiness when the run ends, also if its future is dropped.
struct ResetReadiness<'a>(&'a watch::Sender<bool>);

impl Drop for ResetReadiness<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}
