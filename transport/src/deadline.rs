//! The time at which a caller stops waiting, for the calls that a handler makes itself.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Deadline;
}

/// The time at which the caller stops waiting; `None` for casts and where it is unknown.
///
/// A handler takes it as a parameter and passes it to the calls that it makes itself, with `client.within(deadline)`, so
/// that they do not outlive the caller. While a handler runs, [`current`](Self::current) is its request's deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline(pub Option<Instant>);

impl Deadline {
    /// The deadline of the request that the current task serves. It is set inside a server's handler, and not in tasks
    /// that the handler spawns; use [`scope`](Self::scope) there. Elsewhere it is `None`.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(|deadline| *deadline).unwrap_or_default()
    }

    /// The time until the deadline; zero if it has passed, `None` if there is no deadline.
    #[must_use]
    pub fn remaining(self) -> Option<Duration> {
        self.0.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Runs a future with this as its [`current`](Self::current) deadline, for a task that a handler spawns.
    ///
    /// # Cancel safety
    ///
    /// The same as that of `future`.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// As [`scope`](Self::scope), for a function.
    pub fn sync_scope<T>(self, function: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, function)
    }
}

impl From<Instant> for Deadline {
    fn from(deadline: Instant) -> Self {
        Self(Some(deadline))
    }
}

impl From<Option<Instant>> for Deadline {
    fn from(deadline: Option<Instant>) -> Self {
        Self(deadline)
    }
}

impl From<&Self> for Deadline {
    fn from(deadline: &Self) -> Self {
        *deadline
    }
}
