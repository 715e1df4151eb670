//! The driver on real RabbitMQ nodes, of both supported versions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod denied_queues;
