//! The pending calls as they are.

#[allow(dead_code, unfulfilled_lint_expectations, unreachable_pub, missing_debug_implementations)]
#[path = "../pending.rs"]
mod pending;
#[path = "scenarios.rs"]
pub(super) mod scenarios;

mod sync {
    pub(super) use shuttle::sync::{Mutex, MutexGuard};

    pub(super) use super::super::{
        channel as oneshot,
        clock::{Instant, Sleep, sleep_until},
    };
}
