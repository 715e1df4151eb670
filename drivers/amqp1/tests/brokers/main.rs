//! The driver on real brokers: RabbitMQ 3 and 4, ActiveMQ, and Proton's for what these do not do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod faults;
mod interop;
mod limits;
