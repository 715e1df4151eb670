//! Tests of lapin on a guarded stream, and of the driver's assumptions about lapin.

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
