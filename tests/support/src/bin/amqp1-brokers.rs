//! Runs the AMQP 1.0 brokers that the tests of one `tests/run` share: prints their environment variables, then `ready`, and ends
//! them on SIGTERM, SIGINT or when its parent dies.
#![allow(clippy::expect_used)]

use std::io::Write;

use oxlo_test_support::{Amqp1Broker, Amqp1Product};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut terminate = signal(SignalKind::terminate()).expect("cannot listen for SIGTERM");
    let mut interrupt = signal(SignalKind::interrupt()).expect("cannot listen for SIGINT");
    let starting = async {
        let mut brokers = Vec::new();
        for product in Amqp1Product::ALL {
            brokers.push(Amqp1Broker::start(product).await);
        }
        brokers
    };
    let brokers = tokio::select! {
        brokers = starting => brokers,
        _ = terminate.recv() => return,
        _ = interrupt.recv() => return,
    };
    let mut out = std::io::stdout();
    for line in brokers.iter().flat_map(Amqp1Broker::environment) {
        writeln!(out, "{line}").expect("cannot print");
    }
    writeln!(out, "ready").and_then(|()| out.flush()).expect("cannot print");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
