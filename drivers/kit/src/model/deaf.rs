//! The pending calls with a channel that wakes nobody.

#[allow(dead_code, unfulfilled_lint_expectations, unreachable_pub, missing_debug_implementations)]
#[path = "../pending.rs"]
mod pending;
#[expect(dead_code, reason = "one scenario is enough to find it")]
#[path = "scenarios.rs"]
pub(super) mod scenarios;

mod sync {
    pub(super) use shuttle::sync::{Mutex, MutexGuard};

    pub(super) use super::super::clock::{Instant, Sleep, sleep_until};

    pub(super) mod oneshot {
        pub(crate) use super::super::super::channel::{Receiver, Sender, channel_that_wakes_nobody as channel};
    }
}
