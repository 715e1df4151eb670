//! The listeners, on `memory://`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

mod batches;
mod control;
mod events;
mod logs;
mod readiness;
mod single;
