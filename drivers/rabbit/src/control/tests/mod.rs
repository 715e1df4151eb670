//! lapin on a guarded stream: what it relies on, and what the driver relies on in lapin.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod child;
mod closing;
mod deep_headers;
mod fake_server;
mod handshake;
mod internals;
#[cfg(feature = "brokers")]
mod publisher;
#[cfg(feature = "brokers")]
mod real_broker;
#[cfg(feature = "brokers")]
mod real_tls;

use crate::stream::tests::{connect, tls, wire};
