//! The listeners, on `memory://`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

mod batches;
mod events;
mod readiness;
mod single;
