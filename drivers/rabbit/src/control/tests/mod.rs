//! Tests of lapin on a guarded stream, and of the driver's assumptions about lapin.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod child;
mod closing;
mod deep_headers;
mod fake_server;
mod handshake;
mod internals;
mod publisher;
mod real_broker;
mod real_tls;

use crate::stream::tests::{connect, tls, wire};
