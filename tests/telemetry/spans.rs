//! Spans of callers and servers on `memory://`, joined into one trace by the request context.

use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use oxlo::{Context, Endpoint, Failure, RPCClient, RPCServer, State, Target};
use oxlo_test_support::own_process;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

fn named<'a>(spans: &'a [SpanData], name: &str, kind: &SpanKind) -> &'a SpanData {
    let found = spans.iter().find(|span| span.name == name && span.span_kind == *kind);
    found.unwrap_or_else(|| {
        panic!("no {kind:?} span `{name}` in {:?}", spans.iter().map(|it| &it.name).collect::<Vec<_>>())
    })
}

fn attribute(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key.as_str() == key);
    found.unwrap_or_else(|| panic!("no {key} in {:?}", span.attributes)).value.to_string()
}

/// The server's span ends after its reply was sent, possibly after the caller has it.
async fn eventually(exporter: &InMemorySpanExporter, count: usize) {
    let ended = async {
        while exporter.get_finished_spans().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), ended).await.expect("the spans have ended");
}

#[tokio::test(flavor = "current_thread")]
async fn spans_say_how_it_ended_and_make_one_trace_from_server_to_server() {
    own_process!(spans_say_how_it_ended_and_make_one_trace_from_server_to_server);
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let subscriber =
        tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    let _installed = tracing::subscriber::set_default(subscriber);

    let transport = oxlo::connect("memory://telemetry").await.unwrap();
    let back = Endpoint::new("1.0")
        .method("parent", async |ctxt: Context| Ok::<_, Failure>(ctxt.get_str("traceparent").map(str::to_owned)));
    let _back = RPCServer::builder(transport.clone(), Target::topic("back").server("b")).endpoint(back).start().await;
    let front = Endpoint::new("1.0").with_state(RPCClient::new(transport.clone(), Target::topic("back"))).method(
        "ask",
        // The request's context is passed on unchanged; the current span determines the parent.
        async |ctxt: Context, State(back): State<RPCClient>| {
            back.call::<Option<String>>(&ctxt, "parent", ()).await.map_err(Failure::from)
        },
    );
    let _front =
        RPCServer::builder(transport.clone(), Target::topic("front").server("f")).endpoint(front).start().await;
    let endpoint = Endpoint::new("1.0")
        .expects("KeyError")
        .method("fail", async || Err::<(), _>(Failure::builtin("ValueError", "a secret")))
        .method("miss", async || Err::<(), _>(Failure::builtin("KeyError", "a secret")));
    let _failing =
        RPCServer::builder(transport.clone(), Target::topic("bad").server("x")).endpoint(endpoint).start().await;
    let client = RPCClient::new(transport.clone(), Target::topic("bad"));
    for method in ["fail", "miss"] {
        client.call::<()>(&Context::new(), method, ()).await.unwrap_err();
    }
    eventually(&exporter, 6).await;
    let spans = exporter.get_finished_spans().unwrap();
    for (name, kind, error, is_error) in [
        ("bad.fail", SpanKind::Server, "ValueError", true),
        ("bad.fail", SpanKind::Client, "remote", true),
        ("bad.miss", SpanKind::Server, "KeyError", false),
    ] {
        let failed = named(&spans, name, &kind);
        assert_eq!(attribute(failed, "error.type"), error, "{name}");
        assert_eq!(matches!(failed.status, Status::Error { .. }), is_error, "{name} {:?}", failed.status);
    }
    assert!(!format!("{spans:?}").contains("a secret"), "{spans:?}");
    exporter.reset();

    let client = RPCClient::new(transport, Target::topic("front"));
    let root = tracing::info_span!("root");
    let parent: Option<String> = client.call(&Context::new(), "ask", ()).instrument(root.clone()).await.unwrap();
    drop(root);

    eventually(&exporter, 7).await;
    let spans = exporter.get_finished_spans().unwrap();
    let chain = [
        named(&spans, "root", &SpanKind::Internal),
        named(&spans, "front.ask", &SpanKind::Client),
        named(&spans, "front.ask", &SpanKind::Server),
        named(&spans, "back.parent", &SpanKind::Client),
        named(&spans, "back.parent", &SpanKind::Server),
    ];
    for (parent, child) in chain.iter().zip(&chain[1..]) {
        assert_eq!(child.parent_span_id, parent.span_context.span_id(), "{} under {}", child.name, parent.name);
        assert_eq!(child.span_context.trace_id(), parent.span_context.trace_id());
    }
    for (sender, name) in [(chain[1], "publish openstack:front"), (chain[3], "publish openstack:back")] {
        let published = named(&spans, name, &SpanKind::Producer);
        assert_eq!(published.parent_span_id, sender.span_context.span_id(), "{name}");
        assert_eq!(attribute(published, "messaging.system"), "memory");
        assert_eq!(attribute(published, "messaging.operation.type"), "send");
        assert_eq!(Some(attribute(published, "messaging.destination.name").as_str()), name.strip_prefix("publish "));
    }
    let last = chain[3].span_context.clone();
    assert_eq!(parent.unwrap(), format!("00-{}-{}-01", last.trace_id(), last.span_id()));
}
