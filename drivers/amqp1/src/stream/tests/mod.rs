#![allow(clippy::unwrap_used, clippy::expect_used)]

mod deep_messages;
mod gathering;
mod guarding;
mod internals;
mod wire;
