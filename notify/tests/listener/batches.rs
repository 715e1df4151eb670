//! Many at once.

use std::time::Duration;

use oxlo_notify::{BatchEndpoint, BatchListener, Filter, NotificationResult, Received};
use oxlo_transport::Priority;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bench::{Runs, bus, channel, notify};

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_or_its_time_is_over() {
    let (transport, _) = bus().await;
    for number in 0..205 {
        notify(&*transport, "evt", Priority::Info, json!(number)).await;
    }
    let (seen, mut came) = channel();
    let endpoint = BatchEndpoint::new().on(Priority::Info, move |batch: Vec<Received<u64>>| {
        seen.send(batch.iter().map(|it| it.payload).collect::<Vec<_>>()).unwrap();
        async {}
    });
    let begun = Instant::now();
    let listener = BatchListener::builder(transport.clone())
        .endpoint(endpoint)
        .size(100)
        .timeout(Duration::from_secs(5))
        .start()
        .await
        .unwrap();
    let mut all = Vec::new();
    for wanted in [100, 100, 5] {
        let batch = came.recv().await.unwrap();
        assert_eq!(batch.len(), wanted);
        all.extend(batch);
    }
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(all, (0..205).collect::<Vec<_>>());
    listener.stop();
    assert_eq!(listener.wait().await.unwrap().handled, 205);
}

#[tokio::test(start_paused = true)]
async fn priorities_are_handled_apart_and_misfits_left_out() {
    let (transport, bus) = bus().await;
    let (seen, mut came) = channel();
    let endpoint = [Priority::Warn, Priority::Error].into_iter().fold(
        BatchEndpoint::new().filter(Filter::new().event_type("wanted").unwrap()),
        |endpoint, priority| {
            let seen = seen.clone();
            endpoint.on(priority, move |batch: Vec<Received<u64>>| {
                seen.send((priority, batch.iter().map(|it| it.payload).collect::<Vec<_>>())).unwrap();
                async {}
            })
        },
    );
    for (event, priority, payload) in [
        ("wanted", Priority::Warn, json!(1)),
        ("wanted", Priority::Error, json!(2)),
        ("other", Priority::Warn, json!(3)),
        ("wanted", Priority::Warn, json!("no number")),
        ("wanted", Priority::Warn, json!(4)),
    ] {
        notify(&*transport, event, priority, payload).await;
    }
    let listener = BatchListener::builder(transport.clone()).endpoint(endpoint).start().await.unwrap();
    assert_eq!(came.recv().await.unwrap(), (Priority::Error, vec![2]));
    let (priority, mut numbers) = came.recv().await.unwrap();
    numbers.sort_unstable();
    assert_eq!((priority, numbers), (Priority::Warn, vec![1, 4]));
    listener.stop();
    let report = listener.wait().await.unwrap();
    assert_eq!((report.handled, report.malformed, report.unwanted, bus.load().waiting), (3, 1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_requeued_batch_comes_again() {
    let (transport, bus) = bus().await;
    for number in 0..3 {
        notify(&*transport, "evt", Priority::Info, json!(number)).await;
    }
    let (seen, mut came) = channel();
    let runs = Runs::default();
    let endpoint = BatchEndpoint::new().on(Priority::Info, move |batch: Vec<Received<Value>>| {
        seen.send(batch.iter().map(|it| it.redelivered).collect::<Vec<_>>()).unwrap();
        let run = runs.next();
        async move { if run == 1 { NotificationResult::Requeue } else { NotificationResult::Handled } }
    });
    let listener =
        BatchListener::builder(transport).endpoint(endpoint).size(3).allow_requeue(true).start().await.unwrap();
    assert_eq!(came.recv().await.unwrap(), [false; 3]);
    assert_eq!(came.recv().await.unwrap(), [true; 3]);
    listener.stop();
    let report = listener.wait().await.unwrap();
    assert_eq!((report.requeued, report.handled, bus.load().waiting), (3, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_misfit_does_not_come_again_with_a_batch_that_failed() {
    let (transport, bus) = bus().await;
    for payload in [json!(1), json!("no number"), json!(2)] {
        notify(&*transport, "evt", Priority::Info, payload).await;
    }
    let (seen, mut came) = channel();
    let runs = Runs::default();
    let endpoint = BatchEndpoint::new().on(Priority::Info, move |batch: Vec<Received<u64>>| {
        seen.send(batch.iter().map(|it| it.payload).collect::<Vec<_>>()).unwrap();
        let run = runs.next();
        async move { if run == 1 { Err("on purpose") } else { Ok(()) } }
    });
    let listener =
        BatchListener::builder(transport).endpoint(endpoint).size(3).allow_requeue(true).start().await.unwrap();
    assert_eq!(came.recv().await.unwrap(), [1, 2]);
    assert_eq!(came.recv().await.unwrap(), [1, 2]);
    listener.stop();
    let report = listener.wait().await.unwrap();
    assert_eq!((report.failed, report.handled, report.malformed, bus.load().waiting), (2, 2, 1, 0));
}

#[tokio::test]
async fn a_prefetch_below_the_batch_is_refused() {
    let (transport, _) = bus().await;
    let endpoint = BatchEndpoint::new().on(Priority::Info, |_: Vec<Received<Value>>| async {});
    let refused = BatchListener::builder(transport).endpoint(endpoint).size(10).prefetch(9).start().await.unwrap_err();
    assert_eq!(refused.to_string(), "option `prefetch`: 9 is less than a batch of 10, which could never become full");
}
