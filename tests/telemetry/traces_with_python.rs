//! One trace across oxlo and Python's oslo.messaging with tracing enabled, on RabbitMQ.

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use opentelemetry::trace::{SpanId, SpanKind, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use oxlo::{Args, Context, Endpoint, Failure, RPCClient, RPCServer, RunningServer, State, Target, Transport};
use oxlo_test_support::{PythonPeer, TestVhost, eventually, own_process};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{Instrument, subscriber::NoSubscriber};
use tracing_subscriber::layer::SubscriberExt;

const SOON: Duration = Duration::from_secs(30);

/// One exporter for the process: whether spans are enabled is a global setting.
static EXPORTER: LazyLock<InMemorySpanExporter> = LazyLock::new(|| {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    exporter
});

/// A finished span of either language.
#[derive(Clone, Debug, PartialEq)]
struct Span {
    side: &'static str,
    name: String,
    kind: String,
    trace: String,
    span: String,
    parent: Option<String>,
}

impl Span {
    fn of_rust(data: &SpanData) -> Self {
        Self {
            side: "rust",
            name: data.name.to_string(),
            kind: format!("{:?}", data.span_kind).to_uppercase(),
            trace: data.span_context.trace_id().to_string(),
            span: data.span_context.span_id().to_string(),
            parent: (data.parent_span_id != SpanId::INVALID).then(|| data.parent_span_id.to_string()),
        }
    }

    fn of_python(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        Self {
            side: "python",
            name: text("name"),
            kind: text("kind"),
            trace: text("trace"),
            span: text("span"),
            parent: value["parent"].as_str().map(str::to_owned),
        }
    }
}

/// The spans of this process on the request's path, without those of the driver.
fn of_rust() -> Vec<Span> {
    let spans = EXPORTER.get_finished_spans().unwrap();
    let way = |span: &&SpanData| {
        matches!(span.span_kind, SpanKind::Client | SpanKind::Server) && span.name != "connect" || span.name == "root"
    };
    spans.iter().filter(way).map(Span::of_rust).collect()
}

/// Waits until the spans of all processes in the root's trace are `chain`, from caller to callee, each the parent of the
/// next.
async fn assert_chain(peers: &mut [&mut PythonPeer], rust_trace: Option<&str>, chain: &[(&str, &str, &str)]) {
    let what = format!("the spans are {chain:?}");
    let mut spans = eventually(
        SOON,
        &what,
        async || {
            let mut all = of_rust();
            for peer in &mut *peers {
                let spans = ok(peer, json!({"op": "spans"})).await;
                all.extend(spans.as_array().unwrap().iter().map(Span::of_python));
            }
            let trace = match rust_trace {
                Some(trace) => trace.to_owned(),
                None => all.iter().find(|span| span.side == "python" && span.name == "root").unwrap().trace.clone(),
            };
            all.retain(|span| span.side == "python" || span.trace == trace);
            all
        },
        |spans| spans.len() >= chain.len(),
    )
    .await;
    let traces: HashSet<_> = spans.iter().map(|span| &*span.trace).collect();
    assert_eq!(traces.len(), 1, "{spans:#?}");
    let mut parent = None;
    for (side, name, kind) in chain {
        let at = spans.iter().position(|span| span.parent == parent);
        let found = at.map(|at| spans.swap_remove(at)).unwrap_or_else(|| panic!("{name} under {parent:?}: {spans:#?}"));
        assert_eq!((found.side, &*found.name, &*found.kind), (*side, *name, *kind));
        parent = Some(found.span);
    }
    assert!(spans.is_empty(), "{spans:#?}");
}

async fn ok(peer: &mut PythonPeer, order: Value) -> Value {
    let mut answer = peer.request(order.clone()).await;
    assert!(answer.get("ok").is_some(), "{order} was answered by {answer}");
    answer["ok"].take()
}

/// A program of tests/peers that is ready; `options` are separated by spaces.
async fn python(program: &str, url: &str, options: &str) -> PythonPeer {
    let arguments: Vec<&str> = ["--url", url].into_iter().chain(options.split_whitespace()).collect();
    let mut peer = PythonPeer::spawn(program, &arguments);
    peer.expect_ready().await;
    peer
}

#[derive(Deserialize)]
struct Relay {
    via: Vec<String>,
}

/// The counterpart of `traced.py`'s server.
async fn relay(transport: &Arc<dyn Transport>, topic: &str) -> RunningServer {
    let next = RPCClient::new(transport.clone(), Target::topic("none")).timeout(SOON);
    let endpoint = Endpoint::new("1.0")
        .with_state(next)
        .method("relay", async |ctxt: Context, State(next): State<RPCClient>, Args(it): Args<Relay>| {
            let Some((first, others)) = it.via.split_first() else {
                return Ok::<_, Failure>(serde_json::to_value(ctxt).unwrap());
            };
            let next = next.prepare().topic(first.as_str());
            next.call(&ctxt, "relay", json!({"via": others})).await.map_err(Failure::from)
        })
        .method("note", async || Ok::<_, Failure>(()));
    let target = Target::topic(topic).server("rust-1");
    RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await.unwrap()
}

/// A vhost with an oxlo server that relays under the topic `rust`.
struct Scene {
    transport: Arc<dyn Transport>,
    url: String,
    _relay: RunningServer,
    _vhost: TestVhost,
}

impl Scene {
    async fn start() -> Self {
        LazyLock::force(&EXPORTER);
        let vhost = TestVhost::new().await;
        let url = vhost.url();
        let transport = oxlo::connect(url.as_str()).await.unwrap();
        let relay = relay(&transport, "rust").await;
        Self { transport, url, _relay: relay, _vhost: vhost }
    }

    /// A client of the Python server.
    fn client(&self) -> RPCClient {
        RPCClient::new(self.transport.clone(), Target::topic("python")).timeout(SOON)
    }

    /// A Python client.
    async fn python_client(&self) -> PythonPeer {
        python("traced.py", &self.url, "").await
    }

    /// A Python server that relays under the topic `python`.
    async fn python_server(&self) -> PythonPeer {
        python("traced.py", &self.url, "--topic python --serve p1").await
    }
}

/// The trace and span ids in a context's `traceparent`.
fn traceparent(ctxt: &Value) -> (String, String) {
    let mut parts = ctxt["traceparent"].as_str().unwrap_or_else(|| panic!("{ctxt}")).split('-').skip(1);
    (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned())
}

#[tokio::test]
async fn from_python_by_rust_to_python() {
    own_process!(from_python_by_rust_to_python);
    let scene = Scene::start().await;
    let (mut client, mut server) = tokio::join!(scene.python_client(), scene.python_server());
    let ctxt = ok(&mut client, json!({"op": "relay", "via": ["rust", "python"]})).await;
    let chain = [
        ("python", "root", "INTERNAL"),
        ("python", "rust.relay", "PRODUCER"),
        ("rust", "rust.relay", "SERVER"),
        ("rust", "python.relay", "CLIENT"),
        ("python", "relay receive", "CONSUMER"),
    ];
    assert_chain(&mut [&mut client, &mut server], None, &chain).await;
    let (trace, span) = traceparent(&ctxt);
    assert!(of_rust().iter().any(|it| (&it.trace, &it.span, &*it.kind) == (&trace, &span, "CLIENT")), "{ctxt}");
}

#[tokio::test]
async fn from_rust_by_python_to_rust() {
    own_process!(from_rust_by_python_to_rust);
    let scene = Scene::start().await;
    let mut middle = scene.python_server().await;
    let client = scene.client();
    let root = tracing::info_span!("root");
    let empty = Context::new();
    let relayed = client.call::<Value>(&empty, "relay", json!({"via": ["rust"]}));
    let ctxt = relayed.instrument(root.clone()).await.unwrap();
    drop(root);
    let (trace, _) = traceparent(&ctxt);
    let chain = [
        ("rust", "root", "INTERNAL"),
        ("rust", "python.relay", "CLIENT"),
        ("python", "relay receive", "CONSUMER"),
        ("python", "rust.relay", "PRODUCER"),
        ("rust", "rust.relay", "SERVER"),
    ];
    assert_chain(&mut [&mut middle], Some(&trace), &chain).await;
}

#[tokio::test]
async fn casts_carry_the_trace_both_ways() {
    own_process!(casts_carry_the_trace_both_ways);
    let scene = Scene::start().await;
    let mut peer = scene.python_client().await;
    ok(&mut peer, json!({"op": "cast", "topic": "rust"})).await;
    let chain = [("python", "root", "INTERNAL"), ("python", "rust.note", "PRODUCER"), ("rust", "rust.note", "SERVER")];
    assert_chain(&mut [&mut peer], None, &chain).await;

    let mut server = scene.python_server().await;
    scene.client().cast(&Context::new(), "note", ()).await.unwrap();
    let sent = eventually(
        SOON,
        "the cast's span has ended",
        async || of_rust().into_iter().find(|span| span.name == "python.note"),
        Option::is_some,
    );
    let sent = sent.await.unwrap();
    let chain = [("rust", "python.note", "CLIENT"), ("python", "note receive", "CONSUMER")];
    assert_chain(&mut [&mut server], Some(&sent.trace), &chain).await;
}

/// A service without tracing passes its context on, and the trace with it.
#[tokio::test]
async fn a_rust_server_without_a_layer_leaves_the_trace_to_its_neighbours() {
    own_process!(a_rust_server_without_a_layer_leaves_the_trace_to_its_neighbours);
    let _none = tracing::subscriber::set_default(NoSubscriber::default());
    let scene = Scene::start().await;
    let (mut client, mut server) = tokio::join!(scene.python_client(), scene.python_server());
    ok(&mut client, json!({"op": "relay", "via": ["rust", "python"]})).await;
    let chain =
        [("python", "root", "INTERNAL"), ("python", "rust.relay", "PRODUCER"), ("python", "relay receive", "CONSUMER")];
    assert_chain(&mut [&mut client, &mut server], None, &chain).await;
}

/// With tracing off on both sides nothing is added to what callers send.
#[tokio::test]
async fn without_tracing_the_context_on_the_wire_is_the_callers() {
    own_process!(without_tracing_the_context_on_the_wire_is_the_callers);
    let _none = tracing::subscriber::set_default(NoSubscriber::default());
    let scene = Scene::start().await;
    let url = &scene.url;
    let (mut client, _python) = tokio::join!(python("client.py", url, ""), python("server.py", url, "--topic python"));
    let order = json!({"op": "call", "topic": "rust", "method": "relay", "args": {"via": []}, "ctxt": {"user": "u"}});
    assert_eq!(ok(&mut client, order).await, json!({"user": "u"}));
    let ctxt = Context::new().with("user", "u");
    let seen = scene.client().call::<Value>(&ctxt, "ctx", ()).await.unwrap();
    // Python's server adds the first key itself, also for callers in Python.
    assert_eq!(seen, json!({"client_timeout": null, "user": "u"}));
}
