//! Spans, metrics and log lines, as a program sees them that installs a subscriber or a recorder.
//!
//! Which spans are enabled is decided for a whole process, and some of these tests read its whole log: each of them runs in
//! a process of its own (`own_process!`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::large_futures, missing_docs)]

#[cfg(feature = "brokers")]
mod foreign_logs;
mod no_layer;
#[cfg(feature = "brokers")]
mod rabbit;
#[cfg(feature = "brokers")]
mod secrets;
mod spans;
#[cfg(feature = "brokers")]
mod traces_with_python;
