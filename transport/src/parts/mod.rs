//! What drivers share: pure decisions and small state, without I/O.

pub mod backoff;
pub mod dedup;
pub mod pending;
pub mod supervisor;
