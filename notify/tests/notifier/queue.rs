//! What becomes of notifications between being accepted and being settled.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use oxlo_notify::{BuildNotifierError, Noop, Notifier, NotifyError, Overflow, Recorder};
use oxlo_transport::{Context, Priority};
use tokio::time::Instant;

use crate::bench::Gated;

const NO_CTXT: fn() -> Context = Context::new;

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_its_sender_wait_and_then_says_so() {
    let (driver, mut handed) = Gated::shut();
    let notifier = Notifier::builder("p")
        .driver(driver.clone())
        .queue(2)
        .in_flight(1)
        .overflow(Overflow::Wait(Duration::from_secs(3)))
        .build()
        .unwrap();
    notifier.info(&NO_CTXT(), "0", ()).await.unwrap();
    assert_eq!(handed.recv().await.unwrap(), "0");
    for event in ["1", "2"] {
        notifier.info(&NO_CTXT(), event, ()).await.unwrap();
    }
    let begun = Instant::now();
    let refused = notifier.info(&NO_CTXT(), "3", ()).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(
        refused.to_string(),
        "notification `3`: the queue was full with 2 notifications for 3s; is the broker reachable?"
    );

    // Room comes while another waits: it is accepted after all.
    let waiting = tokio::spawn({
        let notifier = notifier.clone();
        async move { notifier.info(&NO_CTXT(), "4", ()).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    driver.gate.add_permits(1);
    waiting.await.unwrap().unwrap();
    driver.gate.add_permits(10);
    notifier.flush(Duration::from_secs(1)).await.unwrap();
    let stats = notifier.stats();
    assert_eq!((stats.accepted, stats.sent, stats.refused, stats.queued, stats.in_flight), (4, 4, 1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_its_oldest_where_that_is_the_policy() {
    let (driver, mut handed) = Gated::shut();
    let lost = Arc::new(Mutex::new(Vec::new()));
    let notifier = Notifier::builder("p")
        .driver(driver.clone())
        .queue(2)
        .in_flight(1)
        .overflow(Overflow::DropOldest)
        .on_lost({
            let lost = lost.clone();
            move |notification, why| {
                lost.lock().unwrap().push((notification.event_type.to_string(), why.to_string()));
            }
        })
        .build()
        .unwrap();
    notifier.info(&NO_CTXT(), "0", ()).await.unwrap();
    assert_eq!(handed.recv().await.unwrap(), "0");
    let oldest = notifier.info(&NO_CTXT(), "1", ()).await.unwrap();
    for event in ["2", "3"] {
        notifier.info(&NO_CTXT(), event, ()).await.unwrap();
    }
    assert!(matches!(oldest.confirmed().await, Err(NotifyError::Dropped { .. })));
    driver.gate.add_permits(10);
    notifier.close().await.unwrap();
    let mut sent = Vec::new();
    while let Ok(event) = handed.try_recv() {
        sent.push(event);
    }
    assert_eq!(sent, ["2", "3"]);
    let stats = notifier.stats();
    assert_eq!((stats.accepted, stats.sent, stats.dropped), (4, 3, 1));
    let why = "notification `1` was dropped: the queue was full, and it was the oldest";
    assert_eq!(*lost.lock().unwrap(), [("1".to_owned(), why.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_an_error_at_once_where_that_is_the_policy() {
    let (driver, mut handed) = Gated::shut();
    let notifier =
        Notifier::builder("p").driver(driver).queue(1).in_flight(1).overflow(Overflow::Error).build().unwrap();
    notifier.info(&NO_CTXT(), "0", ()).await.unwrap();
    handed.recv().await.unwrap();
    notifier.info(&NO_CTXT(), "1", ()).await.unwrap();
    let begun = Instant::now();
    assert!(matches!(notifier.info(&NO_CTXT(), "2", ()).await, Err(NotifyError::QueueFull { limit: 1, .. })));
    assert!(begun.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn trying_never_waits() {
    let (driver, mut handed) = Gated::shut();
    let notifier = Notifier::builder("p").driver(driver).queue(1).in_flight(1).build().unwrap();
    notifier.info(&NO_CTXT(), "0", ()).await.unwrap();
    handed.recv().await.unwrap();
    let priority = oxlo_transport::Priority::Info;
    notifier.try_notify(priority, &NO_CTXT(), "1", ()).unwrap();
    assert!(matches!(notifier.try_notify(priority, &NO_CTXT(), "2", ()), Err(NotifyError::QueueFull { .. })));
}

#[tokio::test(start_paused = true)]
async fn closing_gives_up_after_the_grace_and_says_what_is_lost() {
    let (driver, mut handed) = Gated::shut();
    let notifier = Notifier::builder("p").driver(driver).in_flight(1).grace(Duration::from_secs(7)).build().unwrap();
    let first = notifier.info(&NO_CTXT(), "0", ()).await.unwrap();
    let second = notifier.info(&NO_CTXT(), "1", ()).await.unwrap();
    handed.recv().await.unwrap();
    let begun = Instant::now();
    let unsent = notifier.close().await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
    assert_eq!(unsent.to_string(), "2 notifications were not confirmed within 7s");
    for receipt in [first, second] {
        assert!(matches!(receipt.confirmed().await, Err(NotifyError::Abandoned { .. })));
    }
    assert!(matches!(notifier.info(&NO_CTXT(), "2", ()).await, Err(NotifyError::Closed { .. })));
    let stats = notifier.stats();
    assert_eq!((stats.abandoned, stats.queued, stats.in_flight), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_lets_what_was_accepted_be_sent() {
    let (driver, mut handed) = Gated::shut();
    let notifier = Notifier::builder("p").driver(driver.clone()).in_flight(1).build().unwrap();
    let clone = notifier.clone();
    let first = notifier.info(&NO_CTXT(), "0", ()).await.unwrap();
    drop(notifier);
    let second = clone.info(&NO_CTXT(), "1", ()).await.unwrap();
    drop(clone);
    driver.gate.add_permits(2);
    first.confirmed().await.unwrap();
    second.confirmed().await.unwrap();
    assert_eq!(handed.recv().await.unwrap(), "0");
    assert_eq!(handed.recv().await.unwrap(), "1");
    drop(driver);
    assert_eq!(handed.recv().await, None, "the worker ended and let its driver go");
}

#[tokio::test(start_paused = true)]
async fn flushing_waits_for_what_came_before_and_no_longer() {
    let (driver, mut handed) = Gated::shut();
    let notifier = Notifier::builder("p").driver(driver.clone()).in_flight(1).build().unwrap();
    notifier.info(&NO_CTXT(), "0", ()).await.unwrap();
    handed.recv().await.unwrap();
    let unsent = notifier.flush(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((unsent.count, unsent.waited), (1, Duration::from_secs(1)));
    let flushing = tokio::spawn({
        let notifier = notifier.clone();
        async move { notifier.flush(Duration::from_secs(60)).await }
    });
    tokio::task::yield_now().await;
    notifier.info(&NO_CTXT(), "1", ()).await.unwrap();
    driver.gate.add_permits(1);
    flushing.await.unwrap().unwrap();
    assert_eq!(notifier.stats().sent, 1, "it did not wait for the later one");
}

#[tokio::test]
async fn one_driver_that_fails_keeps_no_other_from_its_share() {
    let recorder = Recorder::new();
    let notifier = Notifier::builder("p").driver(Gated::failing()).driver(recorder.clone()).build().unwrap();
    let lost = notifier.info(&NO_CTXT(), "e", ()).await.unwrap().confirmed().await.unwrap_err();
    assert_eq!(lost.to_string(), "notification `e` was not delivered by driver `gated` (the transport is closed)");
    assert_eq!(recorder.notifications().len(), 1);
    assert_eq!(notifier.stats().failed, 1);
}

#[tokio::test]
async fn a_driver_or_a_callback_that_panics_is_an_error_like_any_other() {
    #[derive(Debug)]
    struct Panics;
    #[async_trait::async_trait]
    impl oxlo_notify::NotificationDriver for Panics {
        fn name(&self) -> &str {
            "panics"
        }
        async fn notify(
            &self,
            _: &oxlo_transport::Notification,
            _: &oxlo_notify::Tries,
        ) -> Result<(), Vec<oxlo_notify::DriverError>> {
            panic!("on purpose")
        }
    }
    let notifier = Notifier::builder("p").driver(Panics).on_lost(|_, _| panic!("on purpose, too")).build().unwrap();
    for _ in 0..2 {
        let lost = notifier.info(&NO_CTXT(), "e", ()).await.unwrap().confirmed().await.unwrap_err();
        assert_eq!(lost.to_string(), "notification `e` was not delivered by driver `panics` (the driver panicked)");
    }
}

#[tokio::test]
async fn what_cannot_be_built_is_named() {
    assert!(matches!(Notifier::builder("p").build(), Err(BuildNotifierError::NoDriver)));
    let refused = Notifier::builder("p").driver(Noop).queue(0).build().unwrap_err();
    assert_eq!(refused.to_string(), "option `queue`: 0 is out of range; at least 1");
    let outside = std::thread::spawn(|| Notifier::builder("p").driver(Noop).build().map(drop)).join().unwrap();
    assert!(matches!(outside, Err(BuildNotifierError::NoRuntime)));
}

#[tokio::test]
async fn a_notifier_to_nowhere_is_not_enabled() {
    assert!(!Notifier::builder("p").driver(Noop).build().unwrap().is_enabled());
    assert!(Notifier::builder("p").driver(Noop).driver(Recorder::new()).build().unwrap().is_enabled());
}

#[tokio::test]
async fn a_payload_without_json_form_is_refused() {
    let notifier = Notifier::builder("p").driver(Noop).build().unwrap();
    let map = std::collections::HashMap::from([((1, 2), 3)]);
    let refused = notifier.info(&NO_CTXT(), "e", map).await.unwrap_err();
    assert_eq!(refused.to_string(), "notification `e`: its payload has no JSON form: key must be a string");
    assert_eq!(notifier.stats().accepted, 0);
}

/// A runtime that is gone takes the notifier's worker with it.
#[test]
fn a_notifier_that_outlives_its_runtime_refuses_and_closes() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (first, second) = (runtime(), runtime());
    let lost: Arc<Mutex<Vec<String>>> = Arc::default();
    let (driver, _handed) = Gated::shut();
    let notifier = first.block_on(async {
        let told = lost.clone();
        let notifier = Notifier::builder("p")
            .driver(driver)
            .in_flight(1)
            .on_lost(move |_, error| told.lock().unwrap().push(error.to_string()))
            .build()
            .unwrap();
        notifier.info(&NO_CTXT(), "in flight", ()).await.unwrap();
        tokio::task::yield_now().await;
        notifier.info(&NO_CTXT(), "waiting", ()).await.unwrap();
        notifier
    });
    drop(first);
    assert_eq!(
        *lost.lock().unwrap(),
        ["in flight", "waiting"]
            .map(|event| format!("notification `{event}` was not confirmed before the notifier closed"))
    );
    second.block_on(async {
        let refused = notifier.info(&NO_CTXT(), "late", ()).await.unwrap_err();
        assert!(matches!(refused, NotifyError::RuntimeEnded { .. }), "{refused:?}");
        assert!(notifier.try_notify(Priority::Info, &NO_CTXT(), "late", ()).is_err());
        let begun = Instant::now();
        assert_eq!(notifier.close().await.unwrap_err().count, 2);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

/// A runtime that is there and is not run sends nothing and gives nothing up.
#[test]
fn closing_ends_within_the_grace_although_the_runtime_is_not_run() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (idle, other) = (runtime(), runtime());
    let grace = Duration::from_secs(3);
    let notifier = idle.block_on(async { Notifier::builder("p").driver(Noop).grace(grace).build().unwrap() });
    other.block_on(async {
        let receipt = notifier.info(&NO_CTXT(), "e", ()).await.unwrap();
        let begun = Instant::now();
        assert_eq!(notifier.close().await.unwrap_err().count, 1);
        assert!(begun.elapsed() < grace + Duration::from_secs(1));
        assert!(matches!(receipt.confirmed().await, Err(NotifyError::Abandoned { .. })));
    });
}
