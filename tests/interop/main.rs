//! oxlo and Python's oslo.messaging on one RabbitMQ, each as client and as server of the other.
//!
//! The peers are the programs beside this file; `./tests/run` installs what they need.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::needless_pass_by_value, clippy::large_futures)]

mod bad_input;
mod bench;
mod compression;
mod config;
mod delivery;
mod derived_errors;
mod errors;
mod errors_on_the_wire;
mod mixed_pool;
mod monitored;
mod odd_messages;
mod poison;
mod python_client_rust_server;
mod restart;
mod rust_client_python_server;
mod topology;
mod twin;
mod values;
mod versions;
mod wire_properties;
