//! The rows of the fault matrix of `docs/reliability.md` that apply to AMQP 1.0, on real brokers. Each test has its row's
//! number, and ends with the history checker where it makes calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod admin;
mod away;
mod broker;
mod child;
mod connect;
mod network;
mod process;

use std::time::Duration;

use oxlo_test_support::{Broker, BrokerBuilder};

/// Limit from the fault's end to the first successful call, when both ends reconnect and attach everything again.
const BACK: Duration = Duration::from_secs(2);

/// A RabbitMQ node with its AMQP 1.0 plugin, and heartbeats of 2 s.
fn rabbitmq() -> BrokerBuilder {
    Broker::builder().plugin("rabbitmq_amqp1_0").config("heartbeat = 2")
}

/// Its URL for AMQP 1.0.
fn url_of(broker: &Broker) -> String {
    format!("amqp://guest:guest@127.0.0.1:{}/", broker.port())
}
