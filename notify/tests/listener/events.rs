//! Events: who gets them, and what becomes of those that fail.

use std::{sync::Arc, time::Duration};

use oxlo_notify::{Body, EventListener, NotificationResult, OnError, RunningEventListener, Subscription};
use oxlo_transport::Transport;
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;

use crate::bench::{Runs, bus, channel, dispatch};

async fn listen(
    transport: &Arc<dyn Transport>,
    service: &'static str,
    subscription: Subscription,
    seen: &UnboundedSender<(&'static str, u64)>,
) -> RunningEventListener {
    let seen = seen.clone();
    EventListener::builder(transport.clone(), service)
        .on(subscription, move |Body(number): Body<u64>| {
            seen.send((service, number)).unwrap();
            async {}
        })
        .start()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_reach_gives_events_to_as_many_as_it_says() {
    for (subscription, wanted) in [
        (Subscription::service_pool as fn(&'static str, &'static str) -> Subscription, vec!["billing", "stock"]),
        (Subscription::broadcast, vec!["billing", "billing", "stock"]),
        (Subscription::singleton, vec![""]),
    ] {
        let (transport, bus) = bus().await;
        let (seen, mut came) = channel();
        let mut listeners = Vec::new();
        for service in ["billing", "billing", "stock"] {
            listeners.push(listen(&transport, service, subscription("shop", "paid"), &seen).await);
        }
        dispatch(&*transport, "shop", "paid", json!(1)).await;
        let mut got = Vec::new();
        for _ in &wanted {
            got.push(came.recv().await.unwrap().0);
        }
        got.sort_unstable();
        assert!(got == wanted || wanted == [""], "{got:?}");
        while bus.load().unsettled + bus.load().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(came.try_recv().is_err(), "nobody else got it");
        drop(listeners);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_is_tried_again_as_often_as_was_said_and_then_given_up() {
    for (failures, wanted, runs_wanted) in [(2, (1, 1, 1, 0), 3), (9, (0, 1, 2, 1), 4)] {
        let (transport, bus) = bus().await;
        let runs = Runs::default();
        let counting = runs.clone();
        let events = EventListener::builder(transport.clone(), "billing")
            .on(Subscription::service_pool("shop", "paid").on_error(OnError::retry(3)), move || {
                let run = counting.next();
                async move {
                    if run > failures {
                        Ok(NotificationResult::Handled)
                    } else if run == 1 {
                        Ok(NotificationResult::Requeue)
                    } else {
                        Err("on purpose")
                    }
                }
            })
            .start()
            .await
            .unwrap();
        dispatch(&*transport, "shop", "paid", json!(1)).await;
        while runs.count() < runs_wanted || bus.load().unsettled > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        events.stop();
        let report = events.wait().await.unwrap();
        assert_eq!((report.handled, report.requeued, report.failed, report.rejected), wanted);
        assert_eq!((runs.count(), bus.load().waiting), (runs_wanted, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_is_dropped_unless_told_otherwise() {
    let (transport, bus) = bus().await;
    let runs = Runs::default();
    let counting = runs.clone();
    let events = EventListener::builder(transport.clone(), "billing")
        .on(Subscription::service_pool("shop", "paid"), move || {
            counting.next();
            async { Err::<(), _>("on purpose") }
        })
        .start()
        .await
        .unwrap();
    dispatch(&*transport, "shop", "paid", json!(1)).await;
    while runs.count() < 1 || bus.load().unsettled > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    events.stop();
    assert_eq!(events.wait().await.unwrap().failed, 1);
    assert_eq!(runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_to_be_tried_again_goes_to_others_at_a_stop() {
    let (transport, bus) = bus().await;
    let (seen, mut came) = channel();
    let pause = Duration::from_secs(3600);
    let patient = OnError::Retry { times: 9, first: pause, most: pause };
    let events = EventListener::builder(transport.clone(), "billing")
        .on(Subscription::service_pool("shop", "paid").on_error(patient), move || {
            seen.send(()).unwrap();
            async { Err::<(), _>("on purpose") }
        })
        .start()
        .await
        .unwrap();
    dispatch(&*transport, "shop", "paid", json!(1)).await;
    // The second time comes at once, the third one waits.
    for _ in 0..2 {
        came.recv().await.unwrap();
    }
    events.stop();
    assert_eq!(events.wait().await.unwrap().failed, 2);
    assert_eq!(bus.load().waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn events_are_kept_for_the_reliable_only() {
    for (subscription, kept) in [
        (Subscription::service_pool("shop", "paid"), true),
        (Subscription::service_pool("shop", "paid").reliable(false), false),
        (Subscription::broadcast("shop", "paid"), false),
        (Subscription::broadcast("shop", "paid").reliable(true).identifier("node-1"), true),
    ] {
        let (transport, bus) = bus().await;
        let (seen, _came) = channel();
        let events = listen(&transport, "billing", subscription.clone(), &seen).await;
        events.stop();
        events.wait().await.unwrap();
        dispatch(&*transport, "shop", "paid", json!(1)).await;
        assert_eq!(bus.load().waiting, usize::from(kept), "{subscription:?}");
    }
}

#[tokio::test]
async fn what_would_go_wrong_later_is_refused_now() {
    let (transport, _) = bus().await;
    let start = |subscriptions: Vec<Subscription>| {
        let builder = EventListener::builder(transport.clone(), "billing");
        subscriptions.into_iter().fold(builder, |builder, it| builder.on(it, async || {})).start()
    };
    for (subscriptions, wanted) in [
        (vec![], "the listener has no handler"),
        (vec![Subscription::broadcast("shop", "paid").reliable(true)], "option `reliable`: a reliable broadcast"),
        (vec![Subscription::singleton("shop", "paid").identifier("x")], "option `identifier`: only a broadcast"),
        (vec![Subscription::singleton("shop", "*")], "option `subscription`: the target cannot be used"),
        (
            vec![Subscription::singleton("a", "b"), Subscription::singleton("a", "b")],
            "option `name`: two subscriptions",
        ),
    ] {
        let refused = start(subscriptions).await.unwrap_err();
        assert!(refused.to_string().starts_with(wanted), "{refused}");
    }
    let both = vec![
        Subscription::service_pool("shop", "paid").name("book"),
        Subscription::service_pool("shop", "paid").name("mail"),
    ];
    drop(start(both).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn events_that_fail_keep_no_others_from_being_handled() {
    let (transport, _bus) = bus().await;
    let (seen, mut came) = channel();
    let pause = Duration::from_secs(600);
    let events = EventListener::builder(transport.clone(), "billing")
        .concurrency(2)
        .on(
            Subscription::service_pool("shop", "paid").on_error(OnError::Retry { times: 9, first: pause, most: pause }),
            move |Body(fails): Body<bool>| {
                if !fails {
                    seen.send(()).unwrap();
                }
                async move { if fails { Err("on purpose") } else { Ok(()) } }
            },
        )
        .start()
        .await
        .unwrap();
    for number in 0..60 {
        dispatch(&*transport, "shop", "paid", json!(number < 20)).await;
    }
    let begun = tokio::time::Instant::now();
    for _ in 0..40 {
        came.recv().await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(events);
}
