//! What the client tells `metrics`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "client/fake.rs"]
#[allow(dead_code)]
mod fake;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fake::{Fake, Step, ctxt};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use oxlo_client::{CallError, RPCClient};
use oxlo_transport::{Failure, Settings, Target, TransportError};
use serde_json::{Value, json};

/// What was recorded since the last look, by name and labels; of a gauge, by how much it changed.
fn seen(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let metrics = snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
        let key = key.key();
        let mut labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        labels.sort();
        #[allow(clippy::cast_precision_loss)]
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => values.len() as f64,
        };
        (format!("{}{{{}}}", key.name(), labels.join(",")), value)
    });
    // What was looked up and never used is of no interest.
    metrics.filter(|(name, value)| *value != 0.0 || name.contains("in_flight")).collect()
}

fn is(metrics: &[(&str, f64)]) -> BTreeMap<String, f64> {
    metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

fn shop(fake: &Arc<Fake>) -> RPCClient {
    RPCClient::new(fake.clone(), Target::topic("shop"))
}

#[tokio::test]
async fn calls_and_casts_are_counted_by_how_they_end() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let fake = Fake::new();
    let client = shop(&fake);
    for _ in 0..2 {
        fake.answers(&json!(1));
        client.call::<i64>(&ctxt(), "buy", json!({"order": "0e5a"})).await.unwrap();
    }
    fake.answers(&json!(2));
    client.prepare().server("node-1").start::<i64>(&ctxt(), "buy", ()).await.unwrap().await.unwrap();
    fake.fails(Failure::new("shop.errors", "SoldOut", "no tea"));
    client.call::<i64>(&ctxt(), "buy", ()).await.unwrap_err();
    fake.then(Step::Lose(TransportError::TimedOut { waited: Duration::from_secs(1) }));
    client.start::<i64>(&ctxt(), "buy", ()).await.unwrap().await.unwrap_err();
    fake.then(Step::Refuse(TransportError::Closed));
    client.start::<i64>(&ctxt(), "buy", ()).await.unwrap_err();
    fake.answers(&json!("no number"));
    client.call::<i64>(&ctxt(), "count", ()).await.unwrap_err();
    fake.answers(&Value::Null);
    client.cast(&ctxt(), "restock", ()).await.unwrap();
    client.prepare().version("1").cast(&ctxt(), "restock", ()).await.unwrap_err();
    let wanted = [
        ("oxlo_client_calls_total{method=buy,outcome=result,topic=shop}", 3.0),
        ("oxlo_client_calls_total{method=buy,outcome=remote_error,topic=shop}", 1.0),
        ("oxlo_client_calls_total{method=buy,outcome=timed_out,topic=shop}", 1.0),
        ("oxlo_client_calls_total{method=buy,outcome=closed,topic=shop}", 1.0),
        ("oxlo_client_calls_total{method=count,outcome=decode,topic=shop}", 1.0),
        ("oxlo_client_casts_total{method=restock,outcome=sent,topic=shop}", 1.0),
        ("oxlo_client_casts_total{method=restock,outcome=invalid_target,topic=shop}", 1.0),
        ("oxlo_client_call_duration_seconds{method=buy,topic=shop}", 6.0),
        ("oxlo_client_call_duration_seconds{method=count,topic=shop}", 1.0),
        ("oxlo_client_cast_duration_seconds{method=restock,topic=shop}", 2.0),
        ("oxlo_client_calls_in_flight{topic=shop}", 0.0),
        ("oxlo_client_casts_in_flight{topic=shop}", 0.0),
    ];
    assert_eq!(seen(&snapshotter), is(&wanted));
}

#[tokio::test]
async fn a_call_is_in_flight_until_it_ends_or_is_dropped() {
    const IN_FLIGHT: &str = "oxlo_client_calls_in_flight{topic=shop}";
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let fake = Fake::new();
    let client = shop(&fake);
    fake.then(Step::Silence);
    let one = client.start::<i64>(&ctxt(), "buy", ()).await.unwrap();
    fake.then(Step::Silence);
    let other = client.prepare().start::<i64>(&ctxt(), "sell", ()).await.unwrap();
    assert_eq!(seen(&snapshotter), is(&[(IN_FLIGHT, 2.0)]));
    drop(one);
    let now = seen(&snapshotter);
    assert_eq!((now[IN_FLIGHT], now["oxlo_client_calls_total{method=buy,outcome=dropped,topic=shop}"]), (-1.0, 1.0));
    fake.then(Step::Silence);
    let context = ctxt();
    let waiting = client.call::<i64>(&context, "buy", ());
    tokio::time::timeout(Duration::from_millis(10), waiting).await.unwrap_err();
    drop(other);
    let now = seen(&snapshotter);
    assert_eq!((now[IN_FLIGHT], now["oxlo_client_calls_total{method=buy,outcome=dropped,topic=shop}"]), (-1.0, 1.0));
    // A future that was never polled has sent nothing and says nothing.
    drop(client.call::<i64>(&context, "buy", ()));
    assert_eq!(seen(&snapshotter), is(&[(IN_FLIGHT, 0.0)]));
}

#[tokio::test]
async fn a_failure_that_a_type_stands_for_is_a_remote_one() {
    #[derive(Debug, thiserror::Error, oxlo_client::RemoteError)]
    #[error("no {item}")]
    #[remote(module = "shop.errors", class = "SoldOut")]
    struct SoldOut {
        item: String,
    }
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let mut settings = Settings::default();
    settings.remote_errors.register::<SoldOut>();
    let fake = Fake::with(settings);
    fake.fails(SoldOut { item: "tea".into() }.into());
    let error = shop(&fake).call::<i64>(&ctxt(), "buy", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Remote { .. }), "{error:?}");
    assert_eq!(seen(&snapshotter)["oxlo_client_calls_total{method=buy,outcome=remote,topic=shop}"], 1.0);
}
