//! A layer that sends log records never reports what its own notifier causes. In a program of its own, because only a
//! global subscriber is called again from within.
#![cfg(feature = "tracing-layer")]
#![allow(clippy::unwrap_used)]

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use oxlo_notify::{DriverError, Log, LogLayer, NotificationDriver, Notifier, Overflow, Recorder, Redaction, Tries};
use oxlo_transport::{Context, Notification, TransportError};
use serde_json::Value;
use tracing_subscriber::prelude::*;

/// Logs while it takes a notification, and fails.
#[derive(Debug)]
struct Talkative;

#[async_trait]
impl NotificationDriver for Talkative {
    fn name(&self) -> &str {
        "talkative"
    }

    async fn notify(&self, _: &Notification, _: &Tries) -> Result<(), Vec<DriverError>> {
        tracing::error!("the driver logs");
        tokio::task::yield_now().await;
        tracing::error!("the driver logs once more");
        Err(vec![DriverError::new("talkative", Arc::new(TransportError::Closed))])
    }
}

/// Logs while it is shown.
struct Chatty;

impl fmt::Debug for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::error!("a field logs");
        f.write_str("Chatty")
    }
}

fn messages(recorder: &Recorder) -> Vec<String> {
    let message = |it: Notification| it.payload.decode::<Value>().unwrap()["msg"].as_str().unwrap_or("").to_owned();
    recorder.take().into_iter().map(message).collect()
}

#[tokio::test]
async fn what_a_notifier_causes_is_not_reported_by_it() {
    let recorder = Recorder::new();
    let lost = Arc::new(AtomicUsize::new(0));
    let count = lost.clone();
    let notifier = Notifier::builder("app")
        .driver(recorder.clone())
        .driver(Log)
        .driver(Talkative)
        .queue(1)
        .overflow(Overflow::DropOldest)
        .redaction(Redaction::with(|context| {
            tracing::error!("the redaction logs");
            context.clone()
        }))
        .on_lost(move |lost, error| {
            count.fetch_add(1, Relaxed);
            tracing::error!(event = %lost.event_type, %error, "a notification is lost");
        })
        .build()
        .unwrap();
    tracing_subscriber::registry().with(LogLayer::new(notifier.clone())).init();

    // In the queue of one, each pushes out the one before.
    tracing::error!("one");
    tracing::error!("two");
    tracing::error!(field = ?Chatty, "three");
    assert_eq!((lost.load(Relaxed), notifier.stats().accepted), (2, 3));
    notifier.flush(std::time::Duration::from_secs(10)).await.unwrap();
    assert_eq!((lost.load(Relaxed), notifier.stats().accepted), (3, 3), "the driver's records were reported");
    assert_eq!(messages(&recorder), ["three"]);

    // As `tracing-log` forwards the records of the `log` crate.
    tracing::error!(target: "log", { log.target = "rustls::conn" }, "a crate that carries notifications");
    tracing::error!(target: "log", { log.target = "billing", log.line = 7 }, "another crate");
    notifier.flush(std::time::Duration::from_secs(10)).await.unwrap();
    assert_eq!(messages(&recorder), ["another crate"]);

    // A program's own notification is lost as well: its callback's record is not reported either.
    for event in ["a", "b"] {
        notifier.try_notify(oxlo_transport::Priority::Info, &Context::new(), event, ()).unwrap();
    }
    notifier.close().await.unwrap();
    assert_eq!(notifier.stats().accepted, 6);
}

#[tokio::test]
async fn a_callback_that_notifies_is_not_called_from_within_itself() {
    let calls = Arc::new(AtomicUsize::new(0));
    let cell: Arc<std::sync::OnceLock<Notifier>> = Arc::default();
    let (count, itself) = (calls.clone(), cell.clone());
    let notifier = Notifier::builder("app")
        .driver(Recorder::new())
        .queue(1)
        .overflow(Overflow::DropOldest)
        .on_lost(move |_, _| {
            count.fetch_add(1, Relaxed);
            let notifier = itself.get().unwrap();
            notifier.try_notify(oxlo_transport::Priority::Error, &Context::new(), "lost", ()).unwrap();
        })
        .build()
        .unwrap();
    cell.set(notifier.clone()).unwrap();
    for event in ["a", "b"] {
        notifier.try_notify(oxlo_transport::Priority::Info, &Context::new(), event, ()).unwrap();
    }
    // `b` pushed out `a`, and the callback's own pushed out `b`.
    assert_eq!((calls.load(Relaxed), notifier.stats().dropped), (1, 2));
}
