//! What is counted, and under which labels.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fake::{Fake, Script, target};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use oxlo_server::{AckPolicy, Endpoint, HandlerError, RPCServer};
use oxlo_transport::{Failure, TransportError};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// Keeps every metric as one number: a counter's count, a gauge's level, a histogram's number of samples.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, Arc<Cell>>>>);

#[derive(Default)]
struct Cell(AtomicU64);

impl Cell {
    fn add(&self, value: f64) {
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).unwrap();
    }
}

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        self.add(f64::from(u32::try_from(value).unwrap()));
    }

    fn absolute(&self, _: u64) {
        unimplemented!()
    }
}

impl GaugeFn for Cell {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, _: f64) {
        unimplemented!()
    }
}

impl HistogramFn for Cell {
    fn record(&self, _: f64) {
        self.add(1.0);
    }
}

impl Book {
    fn cell(&self, key: &Key) -> Arc<Cell> {
        let labels: Vec<String> =
            key.labels().filter(|label| label.key() != "topic").map(|label| label.value().to_owned()).collect();
        assert!(key.labels().any(|label| (label.key(), label.value()) == ("topic", "topic")));
        let name = key.name().trim_start_matches("oxlo_server_");
        self.0.lock().unwrap().entry(format!("{name} {}", labels.join(" "))).or_default().clone()
    }

    fn read(&self) -> BTreeMap<String, f64> {
        let cells = self.0.lock().unwrap();
        let values = cells.iter().map(|(name, cell)| (name.clone(), f64::from_bits(cell.0.load(Ordering::SeqCst))));
        values.filter(|(_, value)| *value != 0.0).collect()
    }
}

impl Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.cell(key))
    }
}

#[tokio::test(start_paused = true)]
async fn endings_are_counted_and_strangers_invent_no_labels() {
    let book = Book::default();
    let recording = metrics::set_default_local_recorder(&book);
    let fake = Fake::new();
    let endpoint = Endpoint::new("1.0")
        .method("good", async || Ok::<_, Failure>(()))
        .method("bad", async || Err::<(), _>(Failure::builtin("ValueError", "no")))
        .method("not_me", async || Err::<(), _>(HandlerError::Requeue))
        .method("hush", async || Err::<(), _>(HandlerError::Ignore))
        .method("forever", async || {
            sleep(Duration::from_secs(1000)).await;
            Ok::<_, Failure>(())
        });
    let running = RPCServer::builder(fake.clone(), target())
        .endpoint(endpoint)
        .ack_policy(AckPolicy::AfterReply)
        .grace(Duration::from_secs(1))
        .start()
        .await
        .unwrap();
    drop(recording);

    for method in ["good", "good", "bad", "not_me", "hush", "made_up_1", "made_up_2"] {
        fake.request(method, json!({})).send().settled().await;
    }
    fake.request("good", json!({})).deadline(Instant::now()).send().settled().await;
    let lost = Script { reply_error: Some(TransportError::Closed), ..Script::default() };
    fake.request("good", json!({})).script(lost).send().settled().await;
    fake.request("forever", json!({})).send();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(book.read()["requests_in_flight "], 1.0);
    running.stop();
    running.wait().await.unwrap();

    let expected = [
        ("replies_lost_total ", 1.0),
        ("request_duration_seconds (unknown)", 2.0),
        ("request_duration_seconds bad", 1.0),
        ("request_duration_seconds forever", 1.0),
        ("request_duration_seconds good", 3.0),
        ("request_duration_seconds hush", 1.0),
        ("request_duration_seconds not_me", 1.0),
        ("requests_expired_total ", 1.0),
        ("requests_total (unknown) failure", 2.0),
        ("requests_total bad failure", 1.0),
        ("requests_total forever abandoned", 1.0),
        ("requests_total good result", 3.0),
        ("requests_total hush ignore", 1.0),
        ("requests_total not_me requeue", 1.0),
    ];
    assert_eq!(book.read(), expected.map(|(name, value)| (name.to_owned(), value)).into());
}
