//! A Python notifier with Rust listeners.

use oxlo::{
    Target,
    notify::{
        BatchEndpoint, BatchListener, Filter, NotificationEndpoint, NotificationListener, NotificationResult, Priority,
        Received, RunningListener,
    },
};
use oxlo_test_support::TestVhost;
use serde_json::{Value, json};

use super::fixture::{Collected, PATIENCE, ask, connect, python, shown};

/// An endpoint that collects everything of these priorities.
fn collecting(priorities: &[Priority], into: &Collected<Received<Value>>) -> NotificationEndpoint {
    priorities.iter().fold(NotificationEndpoint::new(), |endpoint, priority| {
        let into = into.clone();
        endpoint.on(*priority, move |it: Received<Value>| {
            let into = into.clone();
            async move { into.add(it) }
        })
    })
}

async fn end(listener: RunningListener) -> oxlo::notify::ListenReport {
    listener.stop();
    listener.wait().await.unwrap()
}

#[tokio::test]
async fn rust_reads_every_priority_in_both_formats_from_several_topics() {
    let vhost = TestVhost::new().await;
    let got = Collected::default();
    let listener = NotificationListener::builder(connect(&vhost).await)
        .target(Target::topic("one"))
        .target(Target::topic("two"))
        .endpoint(collecting(&Priority::ALL, &got))
        .start()
        .await
        .unwrap();
    let mut notifier = python("notifier.py", &vhost.url(), &[]).await;
    for driver in ["messaging", "messagingv2"] {
        for priority in Priority::ALL {
            let command = json!({
                "op": "notify", "priority": priority.as_str(), "event_type": "evt", "driver": driver,
                "topics": ["one", "two"], "ctxt": {"request_id": "req-1"}, "payload": {"text": "é ☃", "n": [1, null]},
            });
            ask(&mut notifier, command).await;
        }
    }
    let got = got.wait(28).await;
    for priority in Priority::ALL {
        let of_it: Vec<_> = got.iter().filter(|it| it.priority == priority).collect();
        assert_eq!(of_it.len(), 4, "{priority}");
        for it in of_it {
            let wanted = json!({
                "priority": priority.as_str(), "ctxt": {"request_id": "req-1"}, "publisher_id": "python.host-1",
                "event_type": "evt", "payload": {"text": "é ☃", "n": [1, null]},
            });
            assert_eq!(shown(it), wanted);
            assert_eq!(it.metadata.message_id.len(), 36);
        }
    }
    assert_eq!(end(listener).await.handled, 28);
    notifier.finish().await;
}

#[tokio::test]
async fn rust_pools_filters_and_requeues_what_python_sends_compressed() {
    let vhost = TestVhost::new().await;
    let transport = connect(&vhost).await;
    let (pooled, picked, again) = (Collected::default(), Collected::default(), Collected::<(String, bool)>::default());
    let builder = || NotificationListener::builder(transport.clone());
    let pool = builder().pool("audit").endpoint(collecting(&[Priority::Info], &pooled)).start().await.unwrap();
    let filter = Filter::new().event_type(r"compute\.").unwrap().payload("state", "active$").unwrap();
    let picky = collecting(&[Priority::Info], &picked).filter(filter);
    let picky = builder().pool("picky").endpoint(picky).start().await.unwrap();
    let collect = again.clone();
    let requeue = builder()
        .allow_requeue(true)
        .endpoint(NotificationEndpoint::new().info(move |it: Received<Value>| {
            let collect = collect.clone();
            async move {
                collect.add((it.event_type.to_string(), it.redelivered));
                if it.redelivered { NotificationResult::Handled } else { NotificationResult::Requeue }
            }
        }))
        .start()
        .await
        .unwrap();
    let url = format!("{}?kombu_compression=gzip", vhost.url());
    let mut notifier = python("notifier.py", &url, &["--topic", "notifications"]).await;
    for event in ["compute.end", "network.end"] {
        let payload = json!({"state": "active", "filler": "x".repeat(10_000)});
        ask(&mut notifier, json!({"op": "notify", "priority": "info", "event_type": event, "payload": payload})).await;
    }
    let events = |got: &[Received<Value>]| got.iter().map(|it| it.event_type.to_string()).collect::<Vec<_>>();
    let mut all = events(&pooled.wait(2).await);
    all.sort_unstable();
    assert_eq!(all, ["compute.end", "network.end"]);
    assert_eq!(events(&picked.wait(1).await), ["compute.end"]);
    let mut twice = again.wait(4).await;
    twice.sort_unstable();
    let of = |event: &str, redelivered| (event.to_owned(), redelivered);
    assert_eq!(
        twice,
        [of("compute.end", false), of("compute.end", true), of("network.end", false), of("network.end", true)]
    );
    assert_eq!(end(pool).await.handled, 2);
    let report = end(picky).await;
    assert_eq!((report.handled, report.unwanted), (1, 1));
    let report = end(requeue).await;
    assert_eq!((report.handled, report.requeued), (2, 2));
    notifier.finish().await;
}

#[tokio::test]
async fn rust_takes_205_from_python_in_batches_by_priority() {
    let vhost = TestVhost::new().await;
    let mut notifier = python("notifier.py", &vhost.url(), &["--topic", "notifications"]).await;
    ask(&mut notifier, json!({"op": "notify", "priority": "info", "event_type": "evt", "count": 205})).await;
    ask(&mut notifier, json!({"op": "notify", "priority": "error", "event_type": "evt", "count": 3})).await;
    let batches = Collected::<(Priority, Vec<u64>)>::default();
    let endpoint = [Priority::Info, Priority::Error].into_iter().fold(BatchEndpoint::new(), |endpoint, priority| {
        let batches = batches.clone();
        endpoint.on(priority, move |batch: Vec<Received<Value>>| {
            batches.add((priority, batch.iter().map(|it| it.payload["number"].as_u64().unwrap()).collect()));
            async {}
        })
    });
    let listener = BatchListener::builder(connect(&vhost).await)
        // All of them, in whatever batches they arrive.
        .size(208)
        .timeout(PATIENCE)
        .endpoint(endpoint)
        .start()
        .await
        .unwrap();
    let batches = batches.wait(2).await;
    assert_eq!(batches[0], (Priority::Error, vec![0, 1, 2]), "by name, as oslo sorts them");
    assert_eq!(batches[1], (Priority::Info, (0..205).collect()));
    assert_eq!(end(listener).await.handled, 208);
    notifier.finish().await;
}

#[tokio::test]
async fn rust_reads_pythons_log_records() {
    let vhost = TestVhost::new().await;
    let got = Collected::default();
    let listener = NotificationListener::builder(connect(&vhost).await)
        .endpoint(collecting(&[Priority::Warn], &got))
        .start()
        .await
        .unwrap();
    let mut notifier = python("notifier.py", &vhost.url(), &["--topic", "notifications"]).await;
    ask(&mut notifier, json!({"op": "log", "level": "WARNING", "name": "nova.compute", "msg": "disk full"})).await;
    let record = &got.wait(1).await[0];
    assert_eq!((&*record.event_type, &record.payload["msg"]), ("logrecord", &json!("disk full")));
    let mut keys: Vec<_> = record.payload.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let ours = [
        "exc_info",
        "extra",
        "funcName",
        "levelname",
        "levelno",
        "lineno",
        "msg",
        "name",
        "pathname",
        "process",
        "processName",
        "thread",
    ];
    assert_eq!(keys, ours, "the fields that LogLayer sends as well");
    end(listener).await;
    notifier.finish().await;
}
