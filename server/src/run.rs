//! One run of a server: take requests, keep their number bounded, and end in order.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use oxlo_transport::{Delivery, ListenOptions, Listener, Request, Target, Transport, TransportError, limited};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    aside::due,
    control::{Bounds, Command},
    name::NameGuard,
    process::{Ended, Shared, Taken},
    report::{self, Abandoned, ServeReport},
    stall::Stall,
    telemetry::{Ending, shown},
    workers::{Running, Workers},
};

/// How long replies and settlements may take to leave when the grace is over.
const FLUSH: Duration = Duration::from_secs(5);

/// The same where it shall end at once.
const FORCED_FLUSH: Duration = Duration::from_millis(200);

/// How often readiness is looked at while nothing arrives.
const LOOK: Duration = Duration::from_millis(500);

/// How many requests are taken before anything else gets a look.
const AT_ONCE: usize = 32;

/// How long a stop waits for what runs before the log names it.
const SLOW_STOP: Duration = Duration::from_secs(5);

/// How many methods one line of the log names.
const NAMED: usize = 5;

/// The pause after an error of the listener that may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// One run of a server. Dropping [`until`](Self::until) drops the handlers where they wait, puts back what is not
/// settled, and sends no reply.
pub(crate) struct Run {
    pub(crate) shared: Arc<Shared>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) target: Target,
    pub(crate) options: ListenOptions,
    /// `None` while it is paused.
    pub(crate) listener: Option<Box<dyn Listener<Request>>>,
    /// Listeners that take nothing more, and whose requests may still run.
    pub(crate) retired: Vec<Box<dyn Listener<Request>>>,
    pub(crate) concurrency: usize,
    pub(crate) grace: Duration,
    pub(crate) bounds: Bounds,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) ready: watch::Sender<bool>,
    /// Ends everything at once.
    pub(crate) force: CancellationToken,
    pub(crate) _name: Option<NameGuard>,
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
        // Also when this future is dropped, readiness is reset.
        let _unready = Unready(&ready);
        let name = self.shared.name.clone();
        tracing::info!("serving {name}: {}", self.shared.dispatcher.offers());
        let mut serving = Serving { name: &name, ended: false };
        let ended = self.take(&mut tasks, shutdown).await;
        self.ready.send_replace(false);
        self.shared.stopping.cancel();

        let deadline = Instant::now().checked_add(self.grace);
        let force = self.force.clone();
        let stopping = async {
            if let Some(listener) = &mut self.listener {
                listener.stop().await;
            }
            if timeout(SLOW_STOP, tasks.finish()).await.is_err() {
                tracing::warn!("{name} was told to stop and waits for what runs: {}", tasks.describe());
                tasks.finish().await;
            }
        };
        let grace = async {
            match deadline {
                Some(deadline) => timeout_at(deadline, stopping).await.is_ok(),
                None => {
                    stopping.await;
                    true
                }
            }
        };
        let in_time = force.run_until_cancelled(grace).await.unwrap_or(false);
        let flush = || if force.is_cancelled() { FORCED_FLUSH } else { FLUSH };
        if !in_time {
            self.shared.abandon.cancel();
            if timeout(flush(), tasks.finish()).await.is_err() {
                tasks.give_up();
            }
        }
        let closing = async {
            for listener in self.retired.drain(..).chain(self.listener.take()) {
                listener.close().await;
            }
        };
        if timeout(flush(), closing).await.is_err() {
            tracing::warn!("the listener of {name} did not close in time; its requests may be delivered again");
        }
        let mut report = tasks.report;
        if !report.abandoned.is_empty() {
            tracing::warn!(
                count = report.abandoned.len(),
                "methods of {name} were abandoned at shutdown: {}",
                named(report.abandoned.iter())
            );
        }
        serving.ended = true;
        match ended {
            Ok(ended) => {
                report.ended = ended;
                tracing::info!("{name} ended: {report}");
                Ok(report)
            }
            Err(error) => {
                report.ended = report::Ended::Closed;
                tracing::error!(%error, "{name} ended: {report}");
                Err((error, Box::new(report)))
            }
        }
    }

    async fn take(&mut self, tasks: &mut Tasks, shutdown: impl Future) -> Result<report::Ended, TransportError> {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        let mut shutdown = pin!(shutdown);
        let bounds = self.bounds;
        let mut over = pin!(bounds.over());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut subscribed = self.subscribed();
        let mut slot = None;
        let mut stall = Stall::default();
        loop {
            tasks.reap();
            if bounds.is_reached(tasks.report.taken) {
                return Ok(report::Ended::MaxRequests);
            }
            self.close_retired(tasks).await;
            // Before a request is taken, so that what cannot run yet stays with the listener, or goes to another server.
            slot = slot.or_else(|| slots.clone().try_acquire_owned().ok());
            let may_take = slot.is_some() && self.listener.is_some();
            let received = tokio::select! {
                biased;
                _ = &mut shutdown => return Ok(report::Ended::Stopped),
                () = &mut over => return Ok(report::Ended::Deadline),
                Some(command) = self.commands.recv() => {
                    tokio::select! {
                        biased;
                        _ = &mut shutdown => return Ok(report::Ended::Stopped),
                        () = self.obey(command, tasks.report.taken) => {}
                    }
                    subscribed = self.subscribed();
                    continue;
                }
                free = slots.clone().acquire_owned(), if slot.is_none() => {
                    slot = free.ok();
                    continue;
                }
                received = recv(&mut self.listener), if may_take => received,
                Ok(()) = subscribed.changed(), if self.listener.is_some() => {
                    self.look();
                    continue;
                }
                // For a driver that cannot tell of changes.
                _ = look.tick() => {
                    self.look();
                    if let Some(stalled) = stall.look(Instant::now(), slot.is_none(), tasks.ended()) {
                        self.report_stall(stalled, tasks);
                    }
                    tasks.workers.shrink();
                    continue;
                }
                () = tasks.workers.changed(), if !self.retired.is_empty() => continue,
            };
            // A flood leaves the look above no turn.
            self.look();
            match self.take_all(received, tasks, &slots, &mut slot) {
                Ok(()) => {}
                Err(TransportError::Closed) => return Ok(report::Ended::Closed),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "receiving for {} failed; trying again", self.shared.name);
                    tokio::select! {
                        _ = &mut shutdown => return Ok(report::Ended::Stopped),
                        () = sleep(PAUSE) => {}
                    }
                }
                Err(error) => {
                    return Err(error);
                }
            }
        }
    }

    /// Takes a request, and those that are there already, some at a time: what one wake-up finds shares what it costs.
    fn take_all(
        &mut self,
        received: Result<Delivery<Request>, TransportError>,
        tasks: &mut Tasks,
        slots: &Arc<Semaphore>,
        slot: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<(), TransportError> {
        let Some(place) = slot.take() else { return Ok(()) };
        let now = Instant::now();
        tasks.take(&self.shared, received?, place, now);
        for _ in 1..AT_ONCE {
            if self.bounds.is_reached(tasks.report.taken) {
                break;
            }
            *slot = slots.clone().try_acquire_owned().ok();
            if slot.is_none() {
                break;
            }
            let Some(received) = recv(&mut self.listener).now_or_never() else { break };
            if let Some(place) = slot.take() {
                tasks.take(&self.shared, received?, place, now);
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
                let prefetch = self.bounds.prefetch(self.options.prefetch, taken);
                let options = self.options.clone().with_prefetch(prefetch);
                let subscribed = match self.transport.listen(&self.target, &options).await {
                    Ok(listener) => {
                        self.retire().await;
                        self.listener = Some(due(listener, &options));
                        self.look();
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                let _ = done.send(subscribed);
            }
        }
    }

    /// Takes nothing more from the listener that there is; what it handed out can still be settled.
    async fn retire(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            listener.stop().await;
            self.retired.push(listener);
        }
    }

    async fn close_retired(&mut self, tasks: &Tasks) {
        if tasks.workers.is_idle() {
            for listener in self.retired.drain(..) {
                listener.close().await;
            }
        }
    }

    fn report_stall(&self, stalled: Duration, tasks: &Tasks) {
        let running = tasks.workers.running();
        let method = running.first().map(|oldest| shown(&oldest.method));
        tracing::warn!(
            topic = &*self.shared.topic,
            method = method.as_deref(),
            "all {} places of {} are taken and no request has ended for {stalled:?}, so nothing more is taken; {}: a \
             method that calls its own server waits for a place as well, so raise concurrency(), or give methods a \
             timeout",
            self.concurrency,
            self.shared.name,
            tasks.describe()
        );
    }

    fn subscribed(&self) -> watch::Receiver<bool> {
        match &self.listener {
            Some(listener) => listener.subscribed(),
            None => watch::channel(false).1,
        }
    }

    fn look(&self) {
        let now = self.listener.as_ref().is_some_and(|listener| listener.is_subscribed());
        self.ready.send_if_modified(|ready| std::mem::replace(ready, now) != now);
    }
}

async fn recv(listener: &mut Option<Box<dyn Listener<Request>>>) -> Result<Delivery<Request>, TransportError> {
    match listener {
        Some(listener) => listener.recv().await,
        None => std::future::pending().await,
    }
}

/// The requests that run, and what became of those that ended.
#[derive(Default)]
struct Tasks {
    workers: Workers,
    report: ServeReport,
}

impl Tasks {
    fn take(&mut self, shared: &Arc<Shared>, delivery: Delivery<Request>, slot: OwnedSemaphorePermit, now: Instant) {
        self.report.taken += 1;
        self.workers.run(shared, Taken::new(delivery, shared.policy), slot, now);
    }

    /// How many requests have ended.
    fn ended(&self) -> u64 {
        self.report.taken.saturating_sub(self.workers.busy() as u64)
    }

    /// The methods that run, and for how long: the oldest first.
    fn describe(&self) -> String {
        let running = self.workers.running();
        let running = running.into_iter().map(|Running { method, since }| abandoned(method.clone(), *since));
        named(running)
    }

    /// Counts the requests that have ended.
    fn reap(&mut self) {
        let Self { workers, report } = self;
        workers.reap(|running, ended| count(report, running, ended));
    }

    /// Waits until all have ended. Cancel safe.
    async fn finish(&mut self) {
        loop {
            self.reap();
            if self.workers.is_idle() {
                return;
            }
            self.workers.changed().await;
        }
    }

    /// Aborts what did not end although it was told to, such as a handler that never yields.
    fn give_up(&mut self) {
        self.reap();
        let aborted = std::mem::take(&mut self.workers).abort();
        self.report.abandoned.extend(aborted.map(|Running { method, since }| abandoned(method, since)));
    }
}

fn count(report: &mut ServeReport, running: Running, ended: Option<Ended>) {
    let Some(ended) = ended else {
        limited!(error, "a request's task ended without an outcome", method = &*shown(&running.method));
        report.failed += 1;
        report.handled += 1;
        return;
    };
    report.replies_lost += u64::from(ended.reply_lost);
    match ended.ending {
        None => report.dropped_expired += 1,
        Some(Ending::Result) => report.handled += 1,
        Some(Ending::Failure | Ending::Expected) => {
            report.handled += 1;
            report.failed += 1;
        }
        Some(Ending::Requeue) => report.requeued += 1,
        Some(Ending::Ignore) => report.ignored += 1,
        Some(Ending::Abandoned) => report.abandoned.push(abandoned(running.method, running.since)),
    }
}

fn abandoned(method: Arc<str>, since: Instant) -> Abandoned {
    Abandoned { method, ran_for: since.elapsed() }
}

/// The first few, and how many more there are.
fn named<A: std::fmt::Display>(methods: impl ExactSizeIterator<Item = A>) -> String {
    let more = methods.len().saturating_sub(NAMED);
    let mut named: Vec<String> = methods.take(NAMED).map(|method| method.to_string()).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

/// Logs that a server ended whose future was dropped.
struct Serving<'a> {
    name: &'a str,
    ended: bool,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if !self.ended {
            tracing::info!("{} ended: dropped while it served", self.name);
        }
    }
}

struct Unready<'a>(&'a watch::Sender<bool>);

impl Drop for Unready<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}
