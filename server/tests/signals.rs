//! The signals that end a process, sent to this one. A binary of its own: nothing else here may mind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{process::Command, sync::Arc, time::Duration};

use oxlo_driver_memory::MemoryDriver;
use oxlo_server::{Endpoint, RPCServer, StopReason, shutdown_signal};
use oxlo_transport::{CallOptions, Failure, Payload, Registry, Request, Target};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

fn ask_to_end(signal: &str) {
    let sent = Command::new("kill").args([signal, &std::process::id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test]
async fn the_first_signal_ends_in_order_and_the_second_at_once() {
    let transport = Registry::new().with(MemoryDriver).transport("memory://signals").connect().await.unwrap();
    let begun = Arc::new(Notify::new());
    let note = begun.clone();
    let endpoint = Endpoint::new("1.0").method("hang", move || {
        note.notify_one();
        std::future::pending::<Result<(), Failure>>()
    });
    let server = RPCServer::builder(transport.clone(), Target::topic("t").server("s"))
        .endpoint(endpoint)
        .grace(Duration::from_secs(3600))
        .build()
        .unwrap();
    let mut serving = tokio::spawn(async move { server.serve_until_signalled().await });
    let waiting = tokio::spawn(shutdown_signal().unwrap());
    let request = Request::new("hang", Payload::empty_object());
    // Refused until somebody listens, and made once then.
    let caller = transport.clone();
    let calling = tokio::spawn(async move {
        let (on, options) = (Target::topic("t"), CallOptions::new());
        while caller.call(&on, request.clone(), &options).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    timeout(Duration::from_secs(30), begun.notified()).await.unwrap();
    ask_to_end("-TERM");
    timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    timeout(Duration::from_millis(300), &mut serving).await.expect_err("the first one waits for what runs");
    timeout(Duration::from_secs(10), shutdown_signal().unwrap()).await.expect("it was asked already");
    ask_to_end("-INT");
    let report = timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
    assert_eq!((report.reason, report.abandoned.len()), (StopReason::Stopped, 1));
    calling.abort();
}
