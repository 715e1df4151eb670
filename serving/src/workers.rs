//! Worker tasks, which run one job after the other.
//!
//! A worker whose job has ended is kept for the next one: for a small message, spawning a task costs as much as decoding
//! the message.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use tokio::{
    sync::Notify,
    task::{JoinSet, coop::consume_budget},
    time::Instant,
};

use crate::{
    dispatch::{Dispatch, Slot},
    jobs::Running,
};

/// The most idle workers that are kept.
const MAX_IDLE: usize = 256;

/// The workers of one run. Dropping them drops their jobs.
pub(crate) struct Workers<D: Dispatch> {
    dispatch: Arc<D>,
    tasks: JoinSet<()>,
    /// The job of each worker, by the worker's number.
    running: Vec<Option<Running>>,
    /// Numbers without a worker.
    unused: Vec<usize>,
    /// Idle workers. The last one to become idle is reused first, because its memory is still cached.
    idle: Vec<Arc<Seat<D>>>,
    busy: usize,
    ended: Arc<EndedJobs<D>>,
    /// Empty; kept for its capacity.
    spare: Vec<EndedJob<D>>,
}

impl<D: Dispatch> Workers<D> {
    pub(crate) fn new(dispatch: Arc<D>) -> Self {
        Self {
            dispatch,
            tasks: JoinSet::new(),
            running: Vec::new(),
            unused: Vec::new(),
            idle: Vec::new(),
            busy: 0,
            ended: Arc::new(EndedJobs { jobs: Mutex::default(), changed: Notify::new() }),
            spare: Vec::new(),
        }
    }

    /// Runs a job beside all others.
    pub(crate) fn run(&mut self, job: D::Job, slot: Slot, now: Instant) {
        let running = Running { name: D::name(&job), messages: D::messages(&job), since: now };
        let work = Work { job, slot };
        let number = match self.idle.pop() {
            Some(seat) => {
                seat.put(Place::Taken(work));
                seat.number
            }
            None => self.spawn(work),
        };
        self.running[number] = Some(running);
        self.busy += 1;
    }

    fn spawn(&mut self, first: Work<D>) -> usize {
        let number = self.unused.pop().unwrap_or(self.running.len());
        if number == self.running.len() {
            self.running.push(None);
        }
        let seat = Arc::new(Seat { number, place: Mutex::new(Place::Free(None)) });
        self.tasks.spawn(worker(self.dispatch.clone(), self.ended.clone(), seat, first));
        number
    }

    /// How many jobs run.
    pub(crate) fn busy(&self) -> usize {
        self.busy
    }

    /// The jobs that run, oldest first.
    pub(crate) fn running(&self) -> Vec<&Running> {
        let mut running: Vec<_> = self.running.iter().flatten().collect();
        running.sort_by_key(|running| running.since);
        running
    }

    /// Whether no job runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy == 0
    }

    /// Resolves when there may be something to [`reap`](Self::reap).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn changed(&self) {
        self.ended.changed.notified().await;
    }

    /// Calls `count` for each job that has ended since the last call. Its outcome is `None` if its task was aborted or
    /// panicked.
    pub(crate) fn reap(&mut self, mut count: impl FnMut(Running, Option<D::Outcome>)) {
        let mut jobs = std::mem::take(&mut self.spare);
        std::mem::swap(&mut *self.ended.lock(), &mut jobs);
        for EndedJob { seat, outcome } in jobs.drain(..) {
            let is_alive = outcome.is_some();
            if let Some(running) = self.running[seat.number].take() {
                self.busy -= 1;
                count(running, outcome);
            }
            if is_alive && self.idle.len() < MAX_IDLE {
                self.idle.push(seat);
            } else {
                self.dismiss(&seat);
            }
        }
        self.spare = jobs;
    }

    /// Ends half of the idle workers.
    pub(crate) fn shrink(&mut self) {
        let half = self.idle.len().div_ceil(2);
        let leaving: Vec<_> = self.idle.drain(..half).collect();
        leaving.iter().for_each(|seat| self.dismiss(seat));
    }

    fn dismiss(&mut self, seat: &Seat<D>) {
        seat.put(Place::Dismissed);
        self.unused.push(seat.number);
        // Joins workers that were dismissed before; this one has not ended yet.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Aborts the jobs that still run and returns them.
    pub(crate) fn abort(self) -> impl Iterator<Item = Running> {
        self.running.into_iter().flatten()
    }
}

struct Work<D: Dispatch> {
    job: D::Job,
    slot: Slot,
}

/// A job that has ended.
struct EndedJob<D: Dispatch> {
    seat: Arc<Seat<D>>,
    /// `None` if its task was aborted or panicked.
    outcome: Option<D::Outcome>,
}

/// Jobs that have ended and were not reaped.
struct EndedJobs<D: Dispatch> {
    jobs: Mutex<Vec<EndedJob<D>>>,
    changed: Notify,
}

impl<D: Dispatch> EndedJobs<D> {
    fn lock(&self) -> MutexGuard<'_, Vec<EndedJob<D>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a worker receives its jobs.
struct Seat<D: Dispatch> {
    number: usize,
    place: Mutex<Place<D>>,
}

enum Place<D: Dispatch> {
    /// With the worker's waker, once it waits.
    Free(Option<Waker>),
    Taken(Work<D>),
    Dismissed,
}

impl<D: Dispatch> Seat<D> {
    fn put(&self, place: Place<D>) {
        let before = std::mem::replace(&mut *self.lock(), place);
        if let Place::Free(Some(waker)) = before {
            waker.wake();
        }
    }

    /// The next job; `None` if the worker was dismissed.
    async fn next(&self) -> Option<Work<D>> {
        poll_fn(|cx| {
            let mut place = self.lock();
            match std::mem::replace(&mut *place, Place::Free(None)) {
                Place::Free(_) => {
                    *place = Place::Free(Some(cx.waker().clone()));
                    Poll::Pending
                }
                Place::Taken(work) => Poll::Ready(Some(work)),
                Place::Dismissed => Poll::Ready(None),
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Place<D>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker.
async fn worker<D: Dispatch>(dispatch: Arc<D>, ended: Arc<EndedJobs<D>>, seat: Arc<Seat<D>>, mut work: Work<D>) {
    loop {
        let mut ending = ReportOnDrop { ended: &ended, seat: &seat, outcome: None };
        ending.outcome = Some(dispatch.run(work.job, work.slot).await);
        drop(ending);
        let Some(next) = seat.next().await else { return };
        work = next;
        // The worker may not have yielded since its last job.
        consume_budget().await;
    }
}

/// Reports the end of a job, also if its task is aborted.
struct ReportOnDrop<'a, D: Dispatch> {
    ended: &'a EndedJobs<D>,
    seat: &'a Arc<Seat<D>>,
    outcome: Option<D::Outcome>,
}

impl<D: Dispatch> Drop for ReportOnDrop<'_, D> {
    fn drop(&mut self) {
        self.ended.lock().push(EndedJob { seat: self.seat.clone(), outcome: self.outcome.take() });
        self.ended.changed.notify_one();
    }
}
