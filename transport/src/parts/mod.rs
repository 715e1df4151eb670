//! What drivers share: pure decisions and small state, without I/O; and how they tell of it.

pub mod backoff;
pub mod dedup;
pub mod pending;
pub mod supervisor;
pub mod telemetry;
