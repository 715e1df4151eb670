//! One notification after the other.

use std::time::Duration;

use oxlo_notify::{
    Body, EventType, Filter, ListenError, Metadata, NotificationEndpoint, NotificationListener, NotificationResult,
    PublisherId, Redelivered,
};
use oxlo_transport::{Context, Notification, Payload, Priority};
use serde_json::json;
use tokio::time::Instant;

use crate::bench::{Runs, bus, channel, notify};

#[tokio::test(start_paused = true)]
async fn a_handler_takes_what_it_names() {
    let (transport, _) = bus().await;
    let (seen, mut came) = channel();
    let endpoint = NotificationEndpoint::new()
        .info({
            let seen = seen.clone();
            move |ctxt: Context, PublisherId(who): PublisherId, EventType(what): EventType, Body(it): Body<Vec<u8>>| {
                seen.send(format!("{} {who} {what} {it:?}", ctxt.get_str("request_id").unwrap())).unwrap();
                async {}
            }
        })
        .error(move |meta: Metadata, raw: Payload, it: Notification, Redelivered(again): Redelivered| {
            seen.send(format!("{} {} {} {again}", meta.timestamp, raw.len(), it.priority)).unwrap();
            async { Ok::<(), std::io::Error>(()) }
        });
    let listener = NotificationListener::builder(transport.clone()).endpoint(endpoint).start().await.unwrap();
    notify(&*transport, "evt", Priority::Info, json!([1, 2])).await;
    assert_eq!(came.recv().await.unwrap(), "r compute.host evt [1, 2]");
    notify(&*transport, "evt", Priority::Error, json!([1, 2])).await;
    assert_eq!(came.recv().await.unwrap(), "2026-01-02 03:04:05 5 error false");
    listener.stop();
    assert_eq!(listener.wait().await.unwrap().handled, 2);
}

#[tokio::test(start_paused = true)]
async fn only_priorities_that_somebody_handles_are_listened_to() {
    let (transport, bus) = bus().await;
    let listener = NotificationListener::builder(transport.clone())
        .endpoint(NotificationEndpoint::new().warn(async || {}))
        .endpoint(NotificationEndpoint::new().sample(async || {}))
        .start()
        .await
        .unwrap();
    for priority in Priority::ALL {
        notify(&*transport, "evt", priority, json!(1)).await;
    }
    // The others wait for somebody who handles them.
    while bus.load().waiting + bus.load().unsettled != 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    listener.stop();
    assert_eq!(listener.wait().await.unwrap().handled, 2);
}

#[tokio::test(start_paused = true)]
async fn endpoints_run_in_order_and_a_requeue_ends_the_round() {
    let (transport, bus) = bus().await;
    let (seen, mut came) = channel();
    let note = |name: &'static str, outcome: fn(u32) -> NotificationResult| {
        let (seen, runs) = (seen.clone(), Runs::default());
        NotificationEndpoint::new().info(move || {
            let run = runs.next();
            seen.send((name, run)).unwrap();
            async move { outcome(run) }
        })
    };
    let listener = NotificationListener::builder(transport.clone())
        .allow_requeue(true)
        .endpoint(note("first", |_| NotificationResult::Handled))
        .endpoint(note("second", |run| if run < 3 { NotificationResult::Requeue } else { NotificationResult::Handled }))
        .endpoint(note("third", |_| NotificationResult::Handled))
        .start()
        .await
        .unwrap();
    let begun = Instant::now();
    notify(&*transport, "evt", Priority::Info, json!(1)).await;
    let mut all = Vec::new();
    while all.len() < 7 {
        all.push(came.recv().await.unwrap());
    }
    let wanted = [("first", 1), ("second", 1), ("first", 2), ("second", 2), ("first", 3), ("second", 3), ("third", 1)];
    assert_eq!(all, wanted);
    assert!(begun.elapsed() >= Duration::from_millis(125), "the second requeue was held back");
    listener.stop();
    let report = listener.wait().await.unwrap();
    assert_eq!((report.requeued, report.handled, bus.load().waiting), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_goes_back_only_where_that_is_allowed() {
    for allowed in [false, true] {
        let (transport, bus) = bus().await;
        let runs = Runs::default();
        let counting = runs.clone();
        let listener = NotificationListener::builder(transport.clone())
            .allow_requeue(allowed)
            .endpoint(NotificationEndpoint::new().info(move || {
                let run = counting.next();
                async move {
                    match run {
                        1 => Err("on purpose"),
                        2 => panic!("on purpose"),
                        _ => Ok(()),
                    }
                }
            }))
            .start()
            .await
            .unwrap();
        notify(&*transport, "evt", Priority::Info, json!(1)).await;
        let wanted = if allowed { 3 } else { 1 };
        while runs.count() < wanted || bus.load().unsettled + bus.load().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        listener.stop();
        let report = listener.wait().await.unwrap();
        let outcome = (report.failed, report.handled, runs.count());
        assert_eq!(outcome, if allowed { (2, 1, 3) } else { (1, 0, 1) });
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_counted_and_keeps_others_from_nothing() {
    let (transport, _) = bus().await;
    let (seen, mut came) = channel();
    let listener = NotificationListener::builder(transport.clone())
        .allow_requeue(true)
        .concurrency(1)
        .endpoint(NotificationEndpoint::new().info(move |Body(it): Body<u64>| {
            seen.send(it).unwrap();
            async {}
        }))
        .start()
        .await
        .unwrap();
    notify(&*transport, "evt", Priority::Info, json!("no number")).await;
    notify(&*transport, "evt", Priority::Info, json!(7)).await;
    assert_eq!(came.recv().await.unwrap(), 7);
    listener.stop();
    let report = listener.wait().await.unwrap();
    assert_eq!((report.malformed, report.handled), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_filter_is_its_endpoints_own() {
    let (transport, _) = bus().await;
    let (seen, mut came) = channel();
    let picky = seen.clone();
    let listener = NotificationListener::builder(transport.clone())
        .concurrency(1)
        .endpoint(NotificationEndpoint::new().filter(Filter::new().event_type("compute").unwrap()).info(
            move |EventType(it): EventType| {
                picky.send(format!("picky {it}")).unwrap();
                async {}
            },
        ))
        .endpoint(NotificationEndpoint::new().info(move |EventType(it): EventType| {
            seen.send(format!("all {it}")).unwrap();
            async {}
        }))
        .start()
        .await
        .unwrap();
    for event in ["network.end", "compute.end"] {
        notify(&*transport, event, Priority::Info, json!(1)).await;
    }
    for wanted in ["all network.end", "picky compute.end", "all compute.end"] {
        assert_eq!(came.recv().await.unwrap(), wanted);
    }
    drop(listener);
}

#[tokio::test(start_paused = true)]
async fn what_outlives_the_grace_goes_back() {
    let (transport, bus) = bus().await;
    let (seen, mut came) = channel();
    let listener = NotificationListener::builder(transport.clone())
        .grace(Duration::from_secs(3))
        .endpoint(NotificationEndpoint::new().info(move || {
            seen.send(()).unwrap();
            std::future::pending::<()>()
        }))
        .start()
        .await
        .unwrap();
    notify(&*transport, "evt", Priority::Info, json!(1)).await;
    came.recv().await.unwrap();
    assert_eq!(bus.load().unsettled, 1, "it is acknowledged after handling");
    let begun = Instant::now();
    listener.stop();
    assert_eq!(listener.wait().await.unwrap().abandoned, 1);
    assert_eq!(begun.elapsed().as_secs(), 3);
    while bus.load().waiting != 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_listened_with_is_named() {
    let (transport, _) = bus().await;
    let none = NotificationListener::builder(transport.clone()).endpoint(NotificationEndpoint::new()).start().await;
    assert!(matches!(none, Err(ListenError::NoHandler)));
    let endpoint = || NotificationEndpoint::new().info(async || {});
    let zero = NotificationListener::builder(transport.clone()).endpoint(endpoint()).concurrency(0).start().await;
    assert!(zero.unwrap_err().to_string().starts_with("option `concurrency`: 0 is out of range"));
    transport.close().await;
    let closed = NotificationListener::builder(transport).endpoint(endpoint()).start().await.unwrap_err();
    assert_eq!(closed.to_string(), "listening for notifications on notifications failed: the transport is closed");
}

/// What fails comes again for ever here; everything else is handled as if it were alone.
#[tokio::test(start_paused = true)]
async fn notifications_that_fail_keep_no_others_from_being_handled() {
    for (concurrency, failing, others) in [(64, 200, 400), (2, 20, 100), (1, 300, 30)] {
        let (transport, _bus) = bus().await;
        for number in 0..failing + others {
            notify(&*transport, "evt", Priority::Info, json!(number < failing)).await;
        }
        let (handled, failed) = (Runs::default(), Runs::default());
        let (good, bad) = (handled.clone(), failed.clone());
        let listener = NotificationListener::builder(transport.clone())
            .allow_requeue(true)
            .requeue_limit(u32::MAX)
            .concurrency(concurrency)
            .endpoint(NotificationEndpoint::new().info(move |Body(fails): Body<bool>| {
                if fails {
                    bad.next()
                } else {
                    good.next()
                };
                async move { if fails { Err("not now") } else { Ok(()) } }
            }))
            .start()
            .await
            .unwrap();
        let begun = Instant::now();
        while handled.count() < others {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(begun.elapsed() < Duration::from_secs(2), "{} of {others} were handled", handled.count());
        }
        assert!(failed.count() >= failing);
        // In the first minute each of them has some ten pauses.
        tokio::time::sleep(Duration::from_secs(60).saturating_sub(begun.elapsed())).await;
        let most = 12 * failing;
        assert!(failed.count() > 4 * failing && failed.count() < most, "{} runs of {failing}", failed.count());
        // What comes later is handled at once.
        let before = Instant::now();
        notify(&*transport, "evt", Priority::Info, json!(false)).await;
        while handled.count() <= others {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
        listener.stop();
        listener.wait().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_as_often_as_it_may_is_rejected() {
    let (transport, bus) = bus().await;
    let runs = Runs::default();
    let counting = runs.clone();
    let listener = NotificationListener::builder(transport.clone())
        .allow_requeue(true)
        .requeue_limit(2)
        .requeue_backoff(Duration::from_secs(10), Duration::from_secs(10))
        .endpoint(NotificationEndpoint::new().info(move || {
            counting.next();
            async { Err::<(), _>("on purpose") }
        }))
        .start()
        .await
        .unwrap();
    let begun = Instant::now();
    notify(&*transport, "evt", Priority::Info, json!(1)).await;
    while runs.count() < 3 || bus.load().unsettled + bus.load().waiting > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(5) && begun.elapsed() <= Duration::from_secs(11));
    listener.stop();
    let report = listener.wait().await.unwrap();
    assert_eq!((report.failed, report.rejected, runs.count()), (2, 1, 3));
}

#[tokio::test]
async fn a_backoff_that_cannot_be_is_refused() {
    let (transport, _) = bus().await;
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    for (first, most) in [(Duration::ZERO, second), (second, second / 2), (second, day)] {
        let endpoint = NotificationEndpoint::new().info(async || {});
        let builder = NotificationListener::builder(transport.clone()).endpoint(endpoint).allow_requeue(true);
        let refused = builder.requeue_backoff(first, most).start().await.unwrap_err();
        assert!(refused.to_string().starts_with("option `requeue_backoff`: "), "{refused}");
    }
}
