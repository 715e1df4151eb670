//! Measures scheduling delays of a busy machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

const TICK: Duration = Duration::from_millis(10);

/// Measures how late this runtime wakes tasks up, so that the delay is not blamed on the library. Ends when dropped.
#[derive(Debug)]
pub struct Lag {
    longest: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Lag {
    /// Starts measuring.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn measure() -> Self {
        let longest = Arc::new(AtomicU64::new(0));
        let kept = longest.clone();
        let task = tokio::spawn(async move {
            loop {
                let due = Instant::now() + TICK;
                sleep_until(due).await;
                kept.fetch_max(u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { longest, task }
    }

    /// The longest delay so far.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_millis(self.longest.load(Ordering::Relaxed))
    }

    /// Asserts that `took` is within `limit` plus the longest delay so far.
    ///
    /// # Panics
    ///
    /// When `what` took longer.
    pub fn in_time(&self, what: &str, took: Duration, limit: Duration) {
        let lag = self.longest();
        assert!(took < limit + lag, "{what}: {took:?}, not within {limit:?} (this machine was {lag:?} late at most)");
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.task.abort();
    }
}
