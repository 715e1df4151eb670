//! A Rust notifier with Python listeners.

use std::time::Duration;

use oxlo::{
    Context,
    notify::{
        BatchEndpoint, BatchListener, Messaging, NotificationEndpoint, NotificationFormat, NotificationListener,
        Notifier, Priority, Received, Redaction,
    },
};
use oxlo_test_support::{TestVhost, eventually};
use serde_json::{Value, json};

use super::fixture::{Collected, PATIENCE, ask, connect, python, seen};

#[tokio::test]
async fn python_reads_every_priority_in_both_formats_from_several_topics() {
    let vhost = TestVhost::new().await;
    let transport = connect(&vhost).await;
    let mut listener = python("listener.py", &vhost.url(), &["--topics", "one,two"]).await;
    let ctxt = Context::new().with("request_id", "req-1").with("token", "secret");
    for format in [NotificationFormat::V1, NotificationFormat::V2] {
        let notifier = Notifier::builder("rust.host-1")
            .driver(Messaging::new(transport.clone()).topics(["one", "two"]).format(format))
            .redaction(Redaction::keep(["request_id"]))
            .build()
            .unwrap();
        for priority in Priority::ALL {
            let payload = json!({"text": "é ☃ 😀", "n": [1, 2.5, null, true]});
            notifier.notify(priority, &ctxt, "evt", payload).await.unwrap();
        }
        notifier.close().await.unwrap();
        assert_eq!(notifier.stats().sent, 7);
    }
    let seen = seen(&mut listener, 28).await;
    assert_eq!(seen.len(), 28);
    for priority in Priority::ALL {
        let of_it: Vec<_> = seen.iter().filter(|it| it["priority"] == priority.as_str()).collect();
        assert_eq!(of_it.len(), 4, "{priority}: two formats on two topics");
        for it in of_it {
            // The second entry is Python's own addition on receipt.
            assert_eq!(it["ctxt"], json!({"request_id": "req-1", "client_timeout": null}));
            assert_eq!((&it["publisher_id"], &it["event_type"]), (&json!("rust.host-1"), &json!("evt")));
            assert_eq!(it["payload"], json!({"text": "é ☃ 😀", "n": [1, 2.5, null, true]}));
            assert_eq!(it["metadata"]["message_id"].as_str().unwrap().len(), 36);
            assert!(matches!(it["metadata"]["timestamp"].as_str().unwrap().len(), 19 | 26));
        }
    }
    listener.finish().await;
}

#[tokio::test]
async fn python_takes_205_in_batches_of_100_100_5() {
    let vhost = TestVhost::new().await;
    let notifier = Notifier::new(connect(&vhost).await, "p").unwrap();
    // All are queued before it listens, so that its batches are full.
    for number in 0..205 {
        notifier.info(&Context::new(), "evt", number).await.unwrap();
    }
    notifier.close().await.unwrap();
    let arguments = ["--topic", "notifications", "--priorities", "info", "--batch-size", "100", "--batch-timeout", "5"];
    let mut listener = python("listener.py", &vhost.url(), &arguments).await;
    assert_eq!(seen(&mut listener, 205).await.len(), 205);
    assert_eq!(ask(&mut listener, json!({"op": "batches"})).await, json!([["info", 100], ["info", 100], ["info", 5]]));
    listener.finish().await;
}

#[tokio::test]
async fn python_pools_filters_and_requeues_what_rust_sends_compressed() {
    let vhost = TestVhost::new().await;
    let compressing = oxlo::connect(format!("{}?kombu_compression=gzip", vhost.url())).await.unwrap();
    let (url, topic) = (vhost.url(), ["--topic", "notifications"]);
    let with = |more: &[&'static str]| [&topic[..], more].concat();
    let mut pooled = python("listener.py", &url, &with(&["--pool", "audit"])).await;
    let mut picky = python("listener.py", &url, &with(&["--pool", "picky", "--event-type", r"compute\."])).await;
    let mut again = python("listener.py", &url, &with(&["--allow-requeue", "--requeue-first"])).await;
    let notifier = Notifier::new(compressing, "p").unwrap();
    for event in ["compute.end", "network.end"] {
        let payload = json!({"filler": "x".repeat(10_000)});
        notifier.info(&Context::new(), event, payload).await.unwrap().confirmed().await.unwrap();
    }
    let events =
        |seen: &[Value]| seen.iter().map(|it| it["event_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(events(&seen(&mut pooled, 2).await), ["compute.end", "network.end"]);
    assert_eq!(events(&seen(&mut picky, 1).await), ["compute.end"]);
    let mut twice = events(&seen(&mut again, 4).await);
    twice.sort_unstable();
    assert_eq!(twice, ["compute.end", "compute.end", "network.end", "network.end"]);
    for peer in [pooled, picky, again] {
        peer.finish().await;
    }
}

#[tokio::test]
async fn listeners_in_both_languages_share_a_queue() {
    let vhost = TestVhost::new().await;
    let transport = connect(&vhost).await;
    let here = Collected::<u64>::default();
    let collect = here.clone();
    let rust = NotificationListener::builder(transport.clone())
        .prefetch(1)
        .concurrency(1)
        .endpoint(NotificationEndpoint::new().info(move |it: Received<u64>| {
            let collect = collect.clone();
            async move { collect.add(it.payload) }
        }))
        .start()
        .await
        .unwrap();
    let url = format!("{}?rabbit_qos_prefetch_count=1", vhost.url());
    let mut there = python("listener.py", &url, &["--topic", "notifications", "--priorities", "info"]).await;
    // Python reports ready before it consumes.
    let consumers = async || vhost.queue("notifications.info").await.map(|queue| queue.consumers);
    eventually(PATIENCE, "both listen", consumers, |count| *count == Some(2)).await;
    let notifier = Notifier::new(transport, "p").unwrap();
    for number in 0..60_u64 {
        notifier.info(&Context::new(), "evt", number).await.unwrap();
    }
    notifier.close().await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut all = loop {
        let mut all = here.now();
        let others = ask(&mut there, json!({"op": "seen"})).await;
        all.extend(others.as_array().unwrap().iter().map(|it| it["payload"].as_u64().unwrap()));
        if all.len() >= 60 {
            assert!(!here.now().is_empty() && all.len() > here.now().len(), "each has a share");
            break all;
        }
        assert!(tokio::time::Instant::now() < deadline, "{} of 60", all.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>(), "each went to one of them");
    rust.stop();
    rust.wait().await.unwrap();
    there.finish().await;
}

#[tokio::test]
async fn rust_takes_205_in_batches_of_100_100_5() {
    let vhost = TestVhost::new().await;
    let transport = connect(&vhost).await;
    let notifier = Notifier::builder("p").transport(transport.clone()).in_flight(1).build().unwrap();
    for number in 0..205_u64 {
        notifier.info(&Context::new(), "evt", number).await.unwrap();
    }
    notifier.close().await.unwrap();
    let batches = Collected::<Vec<u64>>::default();
    let collect = batches.clone();
    let endpoint = BatchEndpoint::new().on(Priority::Info, move |batch: Vec<Received<u64>>| {
        collect.add(batch.iter().map(|it| it.payload).collect());
        async {}
    });
    let listener = BatchListener::builder(transport).endpoint(endpoint).start().await.unwrap();
    let batches = batches.wait(3).await;
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 5]);
    assert_eq!(batches.concat(), (0..205).collect::<Vec<_>>(), "in order");
    listener.stop();
    assert_eq!(listener.wait().await.unwrap().handled, 205);
}
