//! What one send may take.

use std::time::Duration;

use oxlo_transport::Retry;
use tokio::time::Instant;

/// What one send may take: until when it may be tried, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Since when it is tried.
    pub begun: Instant,
    /// Until when.
    pub deadline: Instant,
    /// How often a connection may fail meanwhile.
    pub retry: Retry,
}

impl Patience {
    /// From now on, for `timeout`.
    #[must_use]
    pub fn new(timeout: Duration, retry: Retry) -> Self {
        let begun = Instant::now();
        // A timeout beyond what a clock can hold is as good as a year.
        let deadline = begun.checked_add(timeout).unwrap_or(begun + Duration::from_secs(365 * 24 * 3600));
        Self { begun, deadline, retry }
    }
}
