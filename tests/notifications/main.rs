//! Notifications on a real broker: between Rust programs, and both ways with oslo.messaging.
#![cfg(feature = "rabbit")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;

mod events;
mod from_python;
mod requeue;
mod to_python;
