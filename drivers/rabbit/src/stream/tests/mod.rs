//! Tests of the stream as a whole, and what they share.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod child;
mod cost;
mod deep_headers;
mod fake_server;
mod guarding;
mod handshake;
mod porting;
mod publisher;
mod real_broker;
mod real_tls;
mod streaming;
mod tls;
pub(crate) mod wire;
