//! Tasks that run requests, one after the other.
//!
//! A task that is done with a request is kept for the next one: for a small request, making a task costs as much as
//! reading it.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    task::{JoinSet, coop::consume_budget},
    time::Instant,
};

use crate::process::{Ended, Shared, Taken, process};

/// How many tasks are kept at most for requests to come.
const MOST_IDLE: usize = 256;

/// A request that runs, or ran.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) method: Arc<str>,
    pub(crate) since: Instant,
}

/// Runs any number of requests. Dropping it drops them where they wait.
#[derive(Default)]
pub(crate) struct Workers {
    tasks: JoinSet<()>,
    /// What each task runs, by its number.
    running: Vec<Option<Running>>,
    /// Numbers without a task.
    unused: Vec<usize>,
    /// Tasks that have nothing to do. Who came last goes first: what it needs is still at hand.
    idle: Vec<Arc<Seat>>,
    busy: usize,
    turns: Arc<Turns>,
    /// Empty, kept for its room.
    ended: Vec<Turn>,
}

impl Workers {
    /// Runs a request beside all others.
    pub(crate) fn run(&mut self, shared: &Arc<Shared>, taken: Box<Taken>, slot: OwnedSemaphorePermit, now: Instant) {
        let running = Running { method: taken.request.method.clone(), since: now };
        let job = Job { taken, slot };
        let number = match self.idle.pop() {
            Some(seat) => {
                seat.put(Place::Taken(job));
                seat.number
            }
            None => self.spawn(shared.clone(), job),
        };
        self.running[number] = Some(running);
        self.busy += 1;
    }

    fn spawn(&mut self, shared: Arc<Shared>, job: Job) -> usize {
        let number = self.unused.pop().unwrap_or(self.running.len());
        if number == self.running.len() {
            self.running.push(None);
        }
        let seat = Arc::new(Seat { number, place: Mutex::new(Place::Free(None)) });
        self.tasks.spawn(work(shared, self.turns.clone(), seat, job));
        number
    }

    /// How many requests run, their replies included.
    pub(crate) fn busy(&self) -> usize {
        self.busy
    }

    /// What runs, the oldest first.
    pub(crate) fn running(&self) -> Vec<&Running> {
        let mut running: Vec<_> = self.running.iter().flatten().collect();
        running.sort_by_key(|running| running.since);
        running
    }

    /// Whether no request runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy == 0
    }

    /// Resolves when there may be something to [`reap`](Self::reap).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn changed(&self) {
        self.turns.changed.notified().await;
    }

    /// Hands out each request that has ended since the last time, with what became of it if that is known.
    pub(crate) fn reap(&mut self, mut count: impl FnMut(Running, Option<Ended>)) {
        let mut turns = std::mem::take(&mut self.ended);
        std::mem::swap(&mut *self.turns.lock(), &mut turns);
        for Turn { seat, ended } in turns.drain(..) {
            if let Some(running) = self.running[seat.number].take() {
                self.busy -= 1;
                count(running, ended);
            }
            if ended.is_some() && self.idle.len() < MOST_IDLE {
                self.idle.push(seat);
            } else {
                self.dismiss(&seat);
            }
        }
        self.ended = turns;
    }

    /// Lets half of those go that have nothing to do.
    pub(crate) fn shrink(&mut self) {
        let half = self.idle.len().div_ceil(2);
        let leaving: Vec<_> = self.idle.drain(..half).collect();
        leaving.iter().for_each(|seat| self.dismiss(seat));
    }

    fn dismiss(&mut self, seat: &Seat) {
        seat.put(Place::Dismissed);
        self.unused.push(seat.number);
        // Those that left before; this one is not gone yet.
        while self.tasks.try_join_next().is_some() {}
    }

    /// Aborts what still runs, such as a handler that never yields, and hands it out.
    pub(crate) fn abort(self) -> impl Iterator<Item = Running> {
        self.running.into_iter().flatten()
    }
}

struct Job {
    taken: Box<Taken>,
    slot: OwnedSemaphorePermit,
}

/// A task's request has ended.
struct Turn {
    seat: Arc<Seat>,
    /// `None` if it was aborted, or panicked outside the method.
    ended: Option<Ended>,
}

/// What has ended and was not reaped.
#[derive(Default)]
struct Turns {
    ended: Mutex<Vec<Turn>>,
    changed: Notify,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Vec<Turn>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a task gets its requests by.
struct Seat {
    number: usize,
    place: Mutex<Place>,
}

enum Place {
    /// With what wakes the task, once it waits.
    Free(Option<Waker>),
    Taken(Job),
    Dismissed,
}

impl Seat {
    fn put(&self, place: Place) {
        let before = std::mem::replace(&mut *self.lock(), place);
        if let Place::Free(Some(waker)) = before {
            waker.wake();
        }
    }

    /// The next request; `None` if there will be none.
    async fn next(&self) -> Option<Job> {
        poll_fn(|cx| {
            let mut place = self.lock();
            match std::mem::replace(&mut *place, Place::Free(None)) {
                Place::Free(_) => {
                    *place = Place::Free(Some(cx.waker().clone()));
                    Poll::Pending
                }
                Place::Taken(job) => Poll::Ready(Some(job)),
                Place::Dismissed => Poll::Ready(None),
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task.
async fn work(shared: Arc<Shared>, turns: Arc<Turns>, seat: Arc<Seat>, mut job: Job) {
    loop {
        let mut working = Working { turns: &turns, seat: &seat, ended: None };
        working.ended = Some(process(&shared, job.taken, job.slot).await);
        drop(working);
        let Some(next) = seat.next().await else { return };
        job = next;
        // Nothing may have been waited for since the last request.
        consume_budget().await;
    }
}

/// Tells how a request ended, also where its task is aborted.
struct Working<'a> {
    turns: &'a Turns,
    seat: &'a Arc<Seat>,
    ended: Option<Ended>,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.turns.lock().push(Turn { seat: self.seat.clone(), ended: self.ended });
        self.turns.changed.notify_one();
    }
}
