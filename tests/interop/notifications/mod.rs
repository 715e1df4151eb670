//! Notifications on a real broker: between Rust programs, and both ways with oslo.messaging.

mod fixture;

mod events;
mod from_python;
mod requeue;
mod to_python;
