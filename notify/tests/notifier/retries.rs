//! Sending again, on a bus that fails on purpose.

use std::time::Duration;

use oxlo_driver_memory::{Fault, Traffic};
use oxlo_notify::{Notifier, NotifyError};
use oxlo_transport::{Context, Priority, Retry};

use crate::bench::{bus, listen, take};

#[tokio::test(start_paused = true)]
async fn a_confirm_that_was_lost_is_made_up_for_and_receivers_see_one_message() {
    let (transport, bus) = bus().await;
    let mut listener = listen(&*transport, "notifications", Priority::Info).await;
    bus.faults().inject(Traffic::Notifications, 1, Fault::LoseConfirm);
    let notifier = Notifier::new(transport.clone(), "p").unwrap();
    notifier.info(&Context::new(), "e", 1).await.unwrap().confirmed().await.unwrap();
    notifier.info(&Context::new(), "f", 2).await.unwrap().confirmed().await.unwrap();
    assert_eq!(&*take(&mut listener).await.event_type, "e");
    assert_eq!(&*take(&mut listener).await.event_type, "f", "the copy of the first has the same id");
    let stats = notifier.stats();
    assert_eq!((stats.sent, stats.retried, stats.failed), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn tries_are_counted_and_end() {
    let (transport, bus) = bus().await;
    bus.faults().inject(Traffic::Notifications, 3, Fault::Reject);
    let notifier = Notifier::new(transport.clone(), "p").unwrap().retry(Retry::Times(2));
    let lost = notifier.info(&Context::new(), "e", 1).await.unwrap().confirmed().await.unwrap_err();
    let NotifyError::Failed { failures, .. } = &lost else { panic!("{lost:?}") };
    assert_eq!(failures[0].to_string(), "driver `messagingv2` on topic `notifications`");
    let stats = notifier.stats();
    assert_eq!((stats.sent, stats.retried, stats.failed), (0, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_can_never_pass_is_not_tried_again() {
    let (transport, _) = bus().await;
    let huge = "x".repeat(transport.settings().max_message_size + 1);
    let notifier = Notifier::new(transport.clone(), "p").unwrap();
    let lost = notifier.info(&Context::new(), "e", huge).await.unwrap().confirmed().await.unwrap_err();
    assert!(lost.to_string().contains("the limit is"), "{lost}");
    assert_eq!(notifier.stats().retried, 0);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_holds_up_nobody_and_loses_nothing() {
    let (transport, bus) = bus().await;
    let mut listener = listen(&*transport, "notifications", Priority::Info).await;
    let notifier = Notifier::new(transport.clone(), "p").unwrap();
    bus.faults().disconnect_all("the network is down");
    let receipts = futures_util::future::join_all((0..100).map(|number| {
        let notifier = notifier.clone();
        async move { notifier.info(&Context::new(), "e", number).await.unwrap() }
    }))
    .await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(notifier.stats().sent, 0);
    bus.faults().reconnect_all();
    for receipt in receipts {
        receipt.confirmed().await.unwrap();
    }
    let mut numbers = Vec::new();
    for _ in 0..100 {
        numbers.push(take(&mut listener).await.payload.decode::<u64>().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_was_closed_fails_what_is_accepted() {
    let (transport, _) = bus().await;
    let notifier = Notifier::new(transport.clone(), "p").unwrap();
    transport.close().await;
    let lost = notifier.info(&Context::new(), "e", 1).await.unwrap().confirmed().await.unwrap_err();
    assert!(lost.to_string().ends_with("(the transport is closed)"), "{lost}");
}
