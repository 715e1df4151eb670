//! The pending calls with the channel that they really use.

#[allow(dead_code, unfulfilled_lint_expectations, unreachable_pub, missing_debug_implementations)]
#[path = "../pending.rs"]
mod pending;
#[path = "scenarios.rs"]
pub(super) mod scenarios;

mod sync {
    pub(super) use shuttle::sync::{Mutex, MutexGuard};
    pub(super) use tokio::sync::oneshot;

    pub(super) use super::super::clock::{Instant, Sleep, sleep_until};
}
