//! The time and the number of connection failures that one send is allowed.

use std::time::Duration;

use oxlo_transport::Retry;
use tokio::time::Instant;

/// A timeout that a clock cannot represent is treated as this long.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3600);

/// The time and the number of connection failures that one send is allowed.
#[derive(Clone, Copy, Debug)]
pub struct SendBudget {
    /// When the send began.
    pub begun: Instant,
    /// When it fails if it has not succeeded.
    pub deadline: Instant,
    /// How many times each host may fail before the send fails, whatever time is left.
    pub retry: Retry,
}

impl SendBudget {
    /// A budget that starts now and lasts for `timeout`.
    #[must_use]
    pub fn new(timeout: Duration, retry: Retry) -> Self {
        let begun = Instant::now();
        let deadline = begun.checked_add(timeout).unwrap_or(begun + FAR_AWAY);
        Self { begun, deadline, retry }
    }

    /// A budget that starts now and lasts until `deadline`.
    #[must_use]
    pub fn until(deadline: Instant, retry: Retry) -> Self {
        Self { begun: Instant::now(), deadline, retry }
    }
}
