//! Records of what happened in a fault test, checked against the invariants.
//!
//! A test records events while it injects faults; [`History::check`] then checks them against the invariants of
//! `docs/reliability.md`. The check is a pure function of the events, so it is tested without a broker, including on
//! recordings that violate each invariant.

mod check;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub use check::{Rules, Summary};

/// How a call ended for its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A reply arrived, made for the call with this id.
    Replied(String),
    /// The method ran and failed, or the server refused to run it.
    Failed,
    /// An error that says that the method did not run.
    NotRun,
    /// An error that says that the method may have run.
    Unknown,
    /// The caller dropped the call.
    Dropped,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call is about to be made.
    Called {
        /// The call's id, which is also in its arguments.
        id: String,
        /// How long it may take.
        timeout: Duration,
    },
    /// A call ended.
    Ended {
        /// The call's id.
        id: String,
        /// How.
        outcome: Outcome,
    },
    /// A cast is about to be made.
    Cast {
        /// The cast's id.
        id: String,
    },
    /// The broker confirmed a cast.
    Confirmed {
        /// The cast's id.
        id: String,
    },
    /// A cast ended with an error.
    CastFailed {
        /// The cast's id.
        id: String,
        /// Whether the error says that it may run all the same.
        may_run: bool,
    },
    /// A server began to run a call or a cast.
    Executed {
        /// Its id.
        id: String,
    },
    /// A connection was lost or a process killed: what was delivered and not acknowledged then may be delivered again.
    Disrupted,
    /// The fault is over. Service must be restored within this time, without help.
    Healed {
        /// The limit.
        within: Duration,
    },
    /// The first call succeeded after [`Healed`](Self::Healed).
    Resumed,
    /// A count that must return to its value from before the fault.
    Left {
        /// The counted resource: pending calls, tasks, threads, queues.
        what: String,
        /// The count before the fault.
        before: u64,
        /// The count after it.
        after: u64,
    },
    /// A process ended.
    Exited {
        /// Which process.
        process: String,
        /// Whether it ended by a signal that it raised itself, as an abort does.
        aborted: bool,
    },
    /// Memory was measured.
    Memory {
        /// Bytes before.
        before: u64,
        /// Bytes after.
        after: u64,
        /// The allowed growth in bytes.
        bound: u64,
    },
}

/// An event and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Since the history began.
    pub at: Duration,
    /// What happened.
    pub event: Event,
}

/// A history that many tasks record into. Clones share it.
#[derive(Clone)]
pub struct History {
    begun: Instant,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// A history that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { begun: Instant::now(), records: Arc::default() }
    }

    /// Records an event with the current time.
    pub fn record(&self, event: Event) {
        let at = self.begun.elapsed();
        self.lock().push(Record { at, event });
    }

    /// Records that a server began to run a call or a cast.
    pub fn executed(&self, id: &str) {
        self.record(Event::Executed { id: id.to_owned() });
    }

    /// Records a count that must return to its value from before the fault.
    pub fn left(&self, what: &str, before: u64, after: u64) {
        self.record(Event::Left { what: what.to_owned(), before, after });
    }

    /// How often one call or cast ran so far.
    #[must_use]
    pub fn executions(&self, id: &str) -> usize {
        let records = self.lock();
        records.iter().filter(|record| matches!(&record.event, Event::Executed { id: ran } if ran == id)).count()
    }

    /// How many runs were recorded so far.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.lock().iter().filter(|record| matches!(record.event, Event::Executed { .. })).count()
    }

    /// How many casts were confirmed and did not run so far.
    #[must_use]
    pub fn casts_to_run(&self) -> usize {
        let records = self.lock();
        let confirmed = |record: &Record| match &record.event {
            Event::Confirmed { id } => Some(id.clone()),
            _ => None,
        };
        let mut left: HashSet<String> = records.iter().filter_map(confirmed).collect();
        for record in records.iter() {
            if let Event::Executed { id } = &record.event {
                left.remove(id);
            }
        }
        left.len()
    }

    /// What was recorded so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.lock().clone()
    }

    /// Checks the recording against the invariants.
    ///
    /// # Errors
    ///
    /// Every violation: one sentence each, beginning with the invariant's number.
    pub fn check(&self, rules: &Rules) -> Result<Summary, Vec<String>> {
        check::check(&self.records(), rules)
    }

    /// [`check`](Self::check), for the end of a test.
    ///
    /// # Panics
    ///
    /// When an invariant is violated, with all violations.
    #[expect(clippy::must_use_candidate, reason = "it is called for its panic; the summary is for printing")]
    pub fn verify(&self, rules: &Rules) -> Summary {
        match self.check(rules) {
            Ok(summary) => summary,
            Err(violations) => {
                panic!("{} invariants are violated:\n  {}", violations.len(), violations.join("\n  "))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("records", &self.lock().len()).finish_non_exhaustive()
    }
}
