//! Runs the broker that the tests of one `tests/run` share: prints its environment variables, then `ready`, and ends on SIGTERM,
//! SIGINT or when its parent dies.
#![allow(clippy::expect_used)]

use std::io::Write;

use oxlo_test_support::{RabbitVersion, SharedBroker};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut terminate = signal(SignalKind::terminate()).expect("cannot listen for SIGTERM");
    let mut interrupt = signal(SignalKind::interrupt()).expect("cannot listen for SIGINT");
    let broker = tokio::select! {
        broker = SharedBroker::start(RabbitVersion::V3) => broker,
        _ = terminate.recv() => return,
        _ = interrupt.recv() => return,
    };
    let mut out = std::io::stdout();
    for line in SharedBroker::environment(&broker) {
        writeln!(out, "{line}").expect("cannot print");
    }
    writeln!(out, "ready").and_then(|()| out.flush()).expect("cannot print");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
