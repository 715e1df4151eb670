//! Listeners for notifications and events.

use std::{future::pending, sync::Arc, time::Duration};

use oxlo_notify::{
    BatchEndpoint, BatchListener, EventListener, NotificationEndpoint, NotificationListener, Received, Subscription,
};
use oxlo_test_support::{CapturedLog, own_process};
use oxlo_transport::{Context, Notification, NotificationFormat, Payload, Priority, SendOptions, Target, Transport};
use tokio::time::{sleep, timeout};
use tracing::Level;

use crate::bench;

const SECOND: Duration = Duration::from_secs(1);

async fn notify(transport: &dyn Transport, event_type: &str) {
    let notification = Notification {
        context: Context::new(),
        message_id: "1".into(),
        publisher_id: "compute.host".into(),
        event_type: event_type.into(),
        priority: Priority::Info,
        payload: Payload::encode(&1).unwrap(),
        timestamp: "2026-01-02 03:04:05".into(),
        format: NotificationFormat::V2,
    };
    transport.notify(&Target::topic("notifications"), notification, &SendOptions::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_listener_says_what_it_takes_and_how_it_ended() {
    own_process!(a_listener_says_what_it_takes_and_how_it_ended);
    let (log, transport) = (CapturedLog::start(), bench::bus().await.0);
    let endpoint = NotificationEndpoint::new().info(async || {}).error(async || {});
    let listener = NotificationListener::builder(transport.clone()).endpoint(endpoint).pool("audit");
    let listener = listener.start().await.unwrap();
    for _ in 0..50 {
        notify(&*transport, "evt").await;
    }
    sleep(SECOND).await;
    listener.stop();
    listener.wait().await.unwrap();
    let told: Vec<_> = log.lines().into_iter().map(|line| (line.level, line.message)).collect();
    let wanted = [
        (Level::INFO, "listening on notifications in pool audit: info, error".to_owned()),
        (Level::INFO, "listener on notifications in pool audit ended: 50 handled".to_owned()),
    ];
    assert_eq!(told, wanted);
}

#[tokio::test(start_paused = true)]
async fn waiting_without_a_stop_and_a_dropped_handle_are_reported() {
    own_process!(waiting_without_a_stop_and_a_dropped_handle_are_reported);
    let (log, transport) = (CapturedLog::start(), bench::bus().await.0);
    let single =
        || NotificationListener::builder(transport.clone()).endpoint(NotificationEndpoint::new().info(async || {}));
    let batch = || {
        let endpoint = BatchEndpoint::new().on(Priority::Info, async |_: Vec<Received<u64>>| {});
        BatchListener::builder(transport.clone()).endpoint(endpoint)
    };
    let events = || {
        EventListener::builder(transport.clone(), "billing").on(Subscription::singleton("shop", "paid"), async || {})
    };
    for running in [single().start().await.unwrap(), batch().start().await.unwrap()] {
        let before = log.messages(Level::WARN).len();
        timeout(100 * SECOND, running.wait()).await.expect_err("it listens");
        drop(running);
        let told = log.messages(Level::WARN).split_off(before);
        let [waited, dropped] = &told[..] else { panic!("two lines: {told:?}") };
        assert!(waited.starts_with("wait() has waited 10s for the end of the listener on notifications"), "{waited}");
        assert!(dropped.starts_with("the handle of the listener on notifications was dropped after "), "{dropped}");
    }
    let before = log.messages(Level::WARN).len();
    let _ = events().start().await.unwrap();
    let told = log.messages(Level::WARN).split_off(before);
    assert!(matches!(&told[..], [line] if line.contains("dropped") && line.contains("shop")), "{told:?}");

    // A future that is dropped is no handle that was forgotten.
    let before = log.messages(Level::WARN).len();
    timeout(100 * SECOND, events().serve_until(pending::<()>())).await.expect_err("it listens");
    timeout(100 * SECOND, single().serve_until(pending::<()>())).await.expect_err("it listens");
    assert_eq!(log.messages(Level::WARN).len(), before);
}

#[tokio::test(start_paused = true)]
async fn handlers_that_never_end_are_reported() {
    own_process!(handlers_that_never_end_are_reported);
    let (log, transport) = (CapturedLog::start(), bench::bus().await.0);
    let transport: Arc<dyn Transport> = transport;
    let listener = NotificationListener::builder(transport.clone())
        .endpoint(NotificationEndpoint::new().info(async || pending::<()>().await))
        .concurrency(1)
        .start()
        .await
        .unwrap();
    notify(&*transport, "order.paid").await;
    sleep(30 * SECOND).await;
    let told = log.at(Level::WARN);
    let [line] = &told[..] else { panic!("one line: {told:?}") };
    assert!(
        line.message.starts_with("all 1 slots of listener on notifications are taken and nothing has ended for 10"),
        "{line:?}"
    );
    assert_eq!(line.field("event_type"), "order.paid");
    listener.stop_now();
    assert_eq!(listener.wait().await.unwrap().abandoned, 1);
}
