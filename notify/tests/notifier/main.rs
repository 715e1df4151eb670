//! The notifier: its queue and its drivers, on `memory://` and on drivers that tests control.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

mod configured;
mod drivers;
mod events;
#[cfg(feature = "tracing-layer")]
mod log_layer;
mod queue;
mod retries;
