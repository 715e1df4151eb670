//! The jobs of one run: those that run, and the summary of those that have ended.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    dispatch::{Dispatch, Slot},
    report::AbandonedMessages,
    workers::Workers,
};

/// How many jobs one line of the log names.
const NAMED: usize = 5;

/// A job that runs, or ran.
#[derive(Debug)]
#[non_exhaustive]
pub struct Running {
    /// The job's name.
    pub name: Arc<str>,
    /// How many messages it has.
    pub messages: usize,
    /// When it was taken.
    pub since: Instant,
}

/// A stall: every slot is taken, and no job has ended for some time.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stalled<'a> {
    /// The name of the run.
    pub run: &'a str,
    /// The number of slots.
    pub concurrency: usize,
    /// How long no job has ended.
    pub since: Duration,
    /// The jobs that run, oldest first.
    pub running: &'a [&'a Running],
}

impl fmt::Display for Stalled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, concurrency, since, running } = self;
        let running = named(running.iter().map(|running| running.abandoned(running.messages)));
        write!(
            f,
            "all {concurrency} slots of {run} are taken and nothing has ended for {since:?}, so no message is taken; \
             running: {running}"
        )
    }
}

impl Running {
    fn abandoned(&self, count: usize) -> AbandonedMessages {
        AbandonedMessages { name: self.name.clone(), count, ran_for: self.since.elapsed() }
    }
}

/// The jobs of one run.
pub(crate) struct Jobs<D: Dispatch> {
    dispatch: Arc<D>,
    pub(crate) workers: Workers<D>,
    pub(crate) taken: u64,
    pub(crate) report: D::Report,
    pub(crate) abandoned: Vec<AbandonedMessages>,
}

impl<D: Dispatch> Jobs<D> {
    pub(crate) fn new(dispatch: Arc<D>) -> Self {
        let workers = Workers::new(dispatch.clone());
        Self { dispatch, workers, taken: 0, report: D::Report::default(), abandoned: Vec::new() }
    }

    /// Runs a job on a worker.
    pub(crate) fn start(&mut self, job: D::Job, slot: Slot, now: Instant) {
        self.taken += 1;
        self.workers.run(job, slot, now);
    }

    /// How many jobs have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.taken.saturating_sub(self.workers.busy() as u64)
    }

    /// The jobs that run and for how long, oldest first, as text.
    pub(crate) fn describe(&self) -> String {
        let running = self.workers.running();
        named(running.into_iter().map(|running| running.abandoned(running.messages)))
    }

    /// Counts the jobs that have ended since the last call.
    pub(crate) fn reap(&mut self) {
        let Self { dispatch, workers, report, abandoned, .. } = self;
        workers.reap(|running, outcome| {
            let count = outcome.as_ref().map_or(0, D::abandoned);
            if count > 0 {
                abandoned.push(running.abandoned(count));
            }
            dispatch.count(report, &running, outcome);
        });
    }

    /// Waits until all jobs have ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn finish(&mut self) {
        loop {
            self.reap();
            if self.workers.is_idle() {
                return;
            }
            self.workers.changed().await;
        }
    }

    /// Aborts the jobs that did not end although they were told to, such as handlers that never yield.
    pub(crate) fn abort(&mut self) {
        self.reap();
        let aborted = std::mem::replace(&mut self.workers, Workers::new(self.dispatch.clone())).abort();
        self.abandoned.extend(aborted.map(|running| running.abandoned(running.messages)));
    }
}

/// The first few, and how many more there are.
pub(crate) fn named<A: fmt::Display>(jobs: impl ExactSizeIterator<Item = A>) -> String {
    let more = jobs.len().saturating_sub(NAMED);
    let mut named: Vec<String> = jobs.take(NAMED).map(|job| job.to_string()).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}
