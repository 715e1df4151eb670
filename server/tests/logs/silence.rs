//! What would hang or vanish without a word.

use std::{sync::Arc, time::Duration};

use oxlo_server::{Endpoint, RPCServer, RPCServerBuilder};
use oxlo_test_support::{CapturedLog, own_process};
use oxlo_transport::{CallOptions, Failure, Payload, Request, Target, Transport, TransportError};
use tokio::time::{sleep, timeout};
use tracing::Level;

use crate::bus;

const SECOND: Duration = Duration::from_secs(1);

fn server(transport: &Arc<dyn Transport>) -> RPCServerBuilder {
    let endpoint = Endpoint::new("1.0").method("nap", async || {
        sleep(20 * SECOND).await;
        Ok::<_, Failure>(())
    });
    RPCServer::builder(transport.clone(), Target::topic("inventory").server("one")).endpoint(endpoint)
}

#[tokio::test(start_paused = true)]
async fn waiting_without_a_stop_is_reported_once() {
    own_process!(waiting_without_a_stop_is_reported_once);
    let (log, transport) = (CapturedLog::start(), bus().await);
    let running = server(&transport).start().await.unwrap();
    timeout(9 * SECOND, running.wait()).await.expect_err("it serves");
    assert!(log.at(Level::WARN).is_empty());
    for _ in 0..2 {
        timeout(100 * SECOND, running.wait()).await.expect_err("it serves");
    }
    let told = log.messages(Level::WARN);
    assert!(
        matches!(&told[..], [line] if line.starts_with(
            "wait() has waited 10s for the end of the server inventory as one, and nothing has told it to stop"
        )),
        "{told:?}"
    );
    running.stop();
    running.wait().await.unwrap();

    // What was told when to end, or is told in time, is waited for as it should be.
    let bounded = server(&transport).max_requests(1).start().await.unwrap();
    timeout(100 * SECOND, bounded.wait()).await.expect_err("it serves");
    bounded.stop();
    bounded.wait().await.unwrap();
    assert_eq!(log.messages(Level::WARN).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_dropped_is_reported() {
    own_process!(a_handle_that_is_dropped_is_reported);
    let (log, transport) = (CapturedLog::start(), bus().await);
    let _ = server(&transport).start().await.unwrap();
    let told = log.messages(Level::WARN);
    assert!(
        matches!(&told[..], [line] if line.starts_with(
            "the handle of the server inventory as one was dropped after 0ns without stop(), so it stops"
        )),
        "{told:?}"
    );

    let stopped = server(&transport).start().await.unwrap();
    stopped.stop();
    drop(stopped);
    let ended = server(&transport).start().await.unwrap();
    transport.close().await;
    ended.wait().await.unwrap();
    drop(ended);
    assert_eq!(log.messages(Level::WARN).len(), 1, "what was stopped or has ended may be dropped");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_waits_for_itself_is_reported() {
    own_process!(a_server_that_waits_for_itself_is_reported);
    let (log, transport) = (CapturedLog::start(), bus().await);
    let itself = transport.clone();
    let endpoint = Endpoint::new("1.0").method("inner", async || Ok::<_, Failure>(())).method("outer", move || {
        let itself = itself.clone();
        async move {
            let inner = Request::new("inner", Payload::empty_object());
            let answer = itself.call(&Target::topic("inventory"), inner, &CallOptions::new()).await;
            answer.map(drop).map_err(|error| Failure::builtin("RuntimeError", error.to_string()))
        }
    });
    let running = RPCServer::builder(transport.clone(), Target::topic("inventory").server("one"))
        .endpoint(endpoint)
        .concurrency(1)
        .start()
        .await
        .unwrap();
    let outer = Request::new("outer", Payload::empty_object());
    let called =
        transport.call(&Target::topic("inventory"), outer, &CallOptions::new().with_timeout(30 * SECOND)).await;
    assert!(matches!(called, Err(TransportError::TimedOut { .. })), "{called:?}");
    let told = log.at(Level::WARN);
    let [line] = &told[..] else { panic!("one line: {told:?}") };
    assert!(line.message.starts_with("all 1 slots of inventory as one are taken and nothing has ended for 10"));
    assert!(line.message.contains("`outer` for 10"), "{line:?}");
    assert_eq!((line.field("topic"), line.field("method")), ("inventory", "outer"));
    running.stop_now();
    running.wait().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_long_names_what_runs() {
    own_process!(a_stop_that_takes_long_names_what_runs);
    let (log, transport) = (CapturedLog::start(), bus().await);
    let running = server(&transport).grace(10 * SECOND).start().await.unwrap();
    let nap = Request::new("nap", Payload::empty_object());
    let call = transport.start(&Target::topic("inventory"), nap, &CallOptions::new()).await.unwrap();
    sleep(SECOND).await;
    running.stop();
    let report = running.wait().await.unwrap();
    assert_eq!(report.abandoned.len(), 1);
    let told = log.messages(Level::WARN);
    let begin = |at: usize, text: &str| assert!(told[at].starts_with(text), "{told:?}");
    begin(0, "inventory as one is stopping and waits for running handlers: `nap` for 6");
    begin(1, "inventory as one abandoned running handlers at shutdown: `nap` for 11");
    assert_eq!(told.len(), 2);
    drop(call);
}
