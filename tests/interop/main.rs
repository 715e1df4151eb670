//! oxlo and Python's oslo.messaging on one RabbitMQ, each as client and as server of the other.
//!
//! The peers are the programs in `tests/peers`; `./tests/run` installs what they need.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::needless_pass_by_value, clippy::large_futures, missing_docs)]

mod bad_input;
mod compression;
mod config;
mod delivery;
mod derived_errors;
mod errors;
mod errors_on_the_wire;
mod fixture;
mod mixed_pool;
mod monitored;
mod notifications;
mod odd_messages;
mod options;
mod oslo_metrics;
mod permissions;
mod poison;
mod python_client_rust_server;
mod restart;
mod rust_client_python_server;
mod topology;
mod twin;
mod values;
mod versions;
mod wire_properties;
