//! What drivers share: pure decisions and small state, without I/O; and how they tell of it.

pub mod backoff;
pub mod budget;
pub mod dedup;
pub mod deferral;
pub mod duplicates;
#[cfg(test)]
mod model;
pub mod numbers;
pub mod pending;
#[cfg(test)]
mod pending_tests;
pub mod supervisor;
mod sync;
pub mod telemetry;
