//! The signals that end a process, sent to this one. A binary of its own, because they would end other tests too.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{process::Command, sync::Arc, time::Duration};

use oxlo_driver_memory::MemoryDriver;
use oxlo_notify::{EventListener, NotificationEndpoint, NotificationListener, Subscription, shutdown_signal};
use oxlo_transport::{Context, Notification, NotificationFormat, Payload, Priority, Registry, SendOptions, Target};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

fn ask_to_end(signal: &str) {
    let sent = Command::new("kill").args([signal, &std::process::id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test]
async fn the_first_signal_stops_gracefully_and_the_second_at_once() {
    let transport = Registry::new().with(MemoryDriver).transport("memory://signals").connect().await.unwrap();
    let begun = Arc::new(Notify::new());
    let listener =
        NotificationListener::builder(transport.clone()).endpoint(NotificationEndpoint::new().info(async || {}));
    let mut listening = tokio::spawn(listener.serve_until_signalled());
    let hangs = begun.clone();
    let events = EventListener::builder(transport.clone(), "billing")
        .on(Subscription::singleton("shop", "paid"), move || {
            hangs.notify_one();
            std::future::pending::<()>()
        })
        .grace(Duration::from_secs(3600));
    let mut handling = tokio::spawn(events.serve_until_signalled());
    let waiting = tokio::spawn(shutdown_signal().unwrap());
    let event = Notification {
        context: Context::new(),
        message_id: "1".into(),
        publisher_id: "shop".into(),
        event_type: "paid".into(),
        priority: Priority::Info,
        payload: Payload::null(),
        timestamp: "2026-01-02 03:04:05".into(),
        format: NotificationFormat::V2,
    };
    // Refused until the subscription exists.
    let to = Target::topic("paid").exchange("events.shop");
    let options = SendOptions::new().with_default_queue(false).with_mandatory(true);
    while transport.notify(&to, event.clone(), &options).await.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    timeout(Duration::from_secs(30), begun.notified()).await.unwrap();
    ask_to_end("-TERM");
    timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    let idle = timeout(Duration::from_secs(10), &mut listening).await.expect("it is idle").unwrap().unwrap();
    assert_eq!(idle.handled, 0);
    timeout(Duration::from_millis(300), &mut handling).await.expect_err("the first signal waits for the handler");
    timeout(Duration::from_secs(10), shutdown_signal().unwrap()).await.expect("the signal was received before");
    ask_to_end("-INT");
    let report = timeout(Duration::from_secs(10), handling).await.unwrap().unwrap().unwrap();
    assert_eq!(report.abandoned, 1);
}
