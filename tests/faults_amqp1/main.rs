//! The rows of the fault matrix of `docs/reliability.md` that make sense over AMQP 1.0, on real brokers; each under the
//! row's number, and ending with the history checker where calls are made.
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

/// From the fault's end to the first call that succeeds, where both ends reconnect and attach everything again.
const BACK: Duration = Duration::from_secs(2);

/// A RabbitMQ node with its AMQP 1.0 plugin, and heartbeats of 2 s.
fn rabbitmq() -> BrokerBuilder {
    Broker::builder().plugin("rabbitmq_amqp1_0").config("heartbeat = 2")
}

/// Where it is reached over AMQP 1.0.
fn url_of(broker: &Broker) -> String {
    format!("amqp://guest:guest@127.0.0.1:{}/", broker.port())
}
