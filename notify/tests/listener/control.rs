//! Pausing and resuming a listener, and running a built one again.

use std::time::Duration;

use oxlo_notify::{BatchEndpoint, BatchListener, Body, NotificationEndpoint, NotificationListener, Received};
use oxlo_transport::Priority;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::bench::{bus, channel, notify};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_paused_listener_takes_nothing_until_it_is_resumed() {
    let (transport, _) = bus().await;
    let (seen, mut came) = channel();
    let endpoint = NotificationEndpoint::new().info(move |Body(number): Body<u64>| {
        seen.send(number).unwrap();
        async {}
    });
    let listener = NotificationListener::builder(transport.clone()).endpoint(endpoint).build().unwrap();
    let running = listener.start().await.unwrap();
    notify(&*transport, "evt", Priority::Info, json!(1)).await;
    assert_eq!(came.recv().await, Some(1));
    running.pause().await;
    assert!(!running.is_ready());
    notify(&*transport, "evt", Priority::Info, json!(2)).await;
    timeout(10 * SECOND, came.recv()).await.expect_err("it is paused");
    running.resume().await.unwrap();
    assert!(running.is_ready());
    assert_eq!(came.recv().await, Some(2));
    running.stop();
    assert_eq!(running.wait().await.unwrap().handled, 2);

    let again = listener.start().await.unwrap();
    notify(&*transport, "evt", Priority::Info, json!(3)).await;
    assert_eq!(came.recv().await, Some(3));
    again.stop();
    assert_eq!(again.wait().await.unwrap().handled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_complete_returns_to_the_broker_at_a_pause() {
    let (transport, bus) = bus().await;
    let (seen, mut came) = channel();
    let endpoint = BatchEndpoint::new().on(Priority::Info, move |batch: Vec<Received<u64>>| {
        seen.send(batch.iter().map(|it| it.payload).collect::<Vec<_>>()).unwrap();
        async {}
    });
    let listener = BatchListener::builder(transport.clone()).endpoint(endpoint).size(3).timeout(1000 * SECOND);
    let running = listener.start().await.unwrap();
    for number in [1, 2] {
        notify(&*transport, "evt", Priority::Info, json!(number)).await;
    }
    sleep(SECOND).await;
    running.pause().await;
    assert_eq!(bus.load().waiting, 2);
    running.resume().await.unwrap();
    notify(&*transport, "evt", Priority::Info, json!(3)).await;
    assert_eq!(came.recv().await, Some(vec![1, 2, 3]));
    running.stop();
    assert_eq!(running.wait().await.unwrap().handled, 3);
}
