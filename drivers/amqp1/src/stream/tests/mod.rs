#![allow(clippy::unwrap_used, clippy::expect_used)]

mod deep_messages;
mod guarding;
mod wire;
