//! Spans and metrics of the RabbitMQ driver: connecting, publishing, blocked connections.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use oxlo::{CallError, ConnectionState, Context, Endpoint, Failure, RPCClient, RPCServer, Target, TransportError};
use oxlo_test_support::{Broker, eventually, own_process};
use tracing_subscriber::layer::SubscriberExt;

const SOON: Duration = Duration::from_secs(30);

fn attribute(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key.as_str() == key);
    found.unwrap_or_else(|| panic!("no {key} in {:?}", span.attributes)).value.to_string()
}

fn named<'a>(spans: &'a [SpanData], name: &str) -> Vec<&'a SpanData> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// Counters, changes of gauges, and values of histograms in seconds, since the last snapshot.
fn recorded(snapshotter: &Snapshotter) -> BTreeMap<String, Vec<f64>> {
    let metrics = snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
        let key = key.key();
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        #[allow(clippy::cast_precision_loss)]
        let values = match value {
            DebugValue::Counter(count) => vec![count as f64],
            DebugValue::Gauge(value) => vec![value.into_inner()],
            DebugValue::Histogram(values) => values.into_iter().map(|value| value.into_inner()).collect(),
        };
        (format!("{}{{{}}}", key.name(), labels.join(",")), values)
    });
    metrics.collect()
}

#[tokio::test(flavor = "current_thread")]
async fn connecting_publishing_and_blocked_time() {
    own_process!(connecting_publishing_and_blocked_time);
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);

    // The discard port has no listener.
    let refused = oxlo::connect("rabbit://guest:secret@127.0.0.1:9/").await.unwrap_err();
    assert!(matches!(refused, TransportError::Unreachable { .. }), "{refused}");
    let spans = exporter.get_finished_spans().unwrap();
    let failed = named(&spans, "connect")[0];
    assert_eq!((failed.span_kind.clone(), failed.parent_span_id), (SpanKind::Client, SpanId::INVALID));
    assert_eq!(
        (attribute(failed, "server.address"), attribute(failed, "server.port")),
        ("127.0.0.1".into(), "9".into())
    );
    assert_eq!(attribute(failed, "error.type"), "unreachable");
    assert!(matches!(failed.status, Status::Error { .. }), "{:?}", failed.status);
    assert!(recorded(&snapshotter)["oxlo_connects_total{role=publish,outcome=unreachable}"][0] >= 1.0);
    exporter.reset();

    let broker = Broker::start().await;
    let transport = oxlo::connect(broker.url()).await.unwrap();
    let endpoint = Endpoint::new("1.0").method("ping", async || Ok::<_, Failure>("pong"));
    let _server =
        RPCServer::builder(transport.clone(), Target::topic("t").server("s")).endpoint(endpoint).start().await.unwrap();
    let client = RPCClient::new(transport.clone(), Target::topic("t")).timeout(SOON);
    assert_eq!(client.call::<String>(&Context::new(), "ping", ()).await.unwrap(), "pong");
    client.fanout(true).cast(&Context::new(), "ping", ()).await.unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let mut roles: Vec<_> = named(&spans, "connect").into_iter().map(|span| attribute(span, "oxlo.role")).collect();
    roles.sort();
    assert_eq!(roles, ["consume", "publish"]);
    for span in named(&spans, "connect") {
        assert_eq!(attribute(span, "messaging.system"), "rabbitmq");
        assert_eq!(attribute(span, "server.port"), broker.port().to_string());
        assert_eq!(span.status, Status::Unset);
    }
    let sent: Vec<_> =
        spans.iter().filter(|span| span.name == "t.ping" && span.span_kind == SpanKind::Client).collect();
    for (sender, name) in sent.iter().zip(["openstack:t", "t_fanout"]) {
        let [published] = named(&spans, &format!("publish {name}"))[..] else { panic!("{name}: {spans:#?}") };
        assert_eq!(published.parent_span_id, sender.span_context.span_id());
        assert_eq!(published.span_kind, SpanKind::Producer);
        assert_eq!(attribute(published, "messaging.system"), "rabbitmq");
        assert_eq!(attribute(published, "messaging.operation.name"), "publish");
        assert_eq!(attribute(published, "messaging.operation.type"), "send");
        assert_eq!(attribute(published, "messaging.destination.name"), name);
        assert!(attribute(published, "messaging.message.body.size").parse::<u32>().unwrap() > 50);
    }
    exporter.reset();
    let before = recorded(&snapshotter);
    assert_eq!(before["oxlo_connects_total{role=publish,outcome=connected}"], [1.0]);
    assert_eq!(before["oxlo_connects_total{role=consume,outcome=connected}"], [1.0]);

    broker.set_memory_alarm(true).await;
    let client = RPCClient::new(transport.clone(), Target::topic("t")).timeout(Duration::from_secs(1));
    let begun = Instant::now();
    // The broker tells a connection that it is blocked when that publishes: what it was is read when the alarm is over.
    let cast = async || client.cast(&Context::new(), "ping", ()).await;
    let blocked = |ended: &Result<(), CallError>| {
        matches!(ended, Err(CallError::Transport { error: TransportError::Blocked { .. }, .. }))
    };
    let _ = eventually(SOON, "the broker blocks us", cast, blocked).await;
    assert_eq!(recorded(&snapshotter)["oxlo_connections_blocked{role=publish}"], [1.0]);
    broker.set_memory_alarm(false).await;
    let mut state = transport.state();
    let open = state.wait_for(|state| *state == ConnectionState::Connected);
    tokio::time::timeout(SOON, open).await.expect("the broker takes messages again").unwrap();
    let after = recorded(&snapshotter);
    assert_eq!(after["oxlo_connections_blocked{role=publish}"], [-1.0]);
    let blocked = after["oxlo_blocked_seconds{role=publish}"].clone();
    let longest = begun.elapsed().as_secs_f64();
    assert!(blocked.len() == 1 && blocked[0] > 0.9 && blocked[0] <= longest, "{blocked:?}");
    let spans = exporter.get_finished_spans().unwrap();
    let failed = named(&spans, "publish openstack:t").into_iter().filter(|span| span.status != Status::Unset);
    let failed: Vec<_> = failed.map(|span| attribute(span, "error.type")).collect();
    let (last, before) = failed.split_last().expect("one was refused");
    assert!(last == "blocked" && before.iter().all(|it| it == "unconfirmed"), "{failed:?}");
}
