//! The Python collector of oslo.metrics, fed by oxlo and by oslo.messaging: both must yield the same metrics.

use std::{collections::BTreeMap, time::Duration};

use oxlo::{
    Args, CallError, Context, Endpoint, Failure, ProcessConfig, RPCClient, RPCServer, RunningServer, Target,
    TransportError, transport::oslo_metrics::OsloMetricsOptions,
};
use oxlo_test_support::{PythonPeer, TestVhost, eventually};
use serde::Deserialize;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// The collector, and the folder of its socket.
struct Collector {
    peer: PythonPeer,
    folder: tempfile::TempDir,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Sample {
    fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == format!("oslo_messaging_{name}")
            && labels.iter().all(|(key, value)| self.labels.get(*key).is_some_and(|found| found == value))
    }
}

impl Collector {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket").display().to_string();
        let mut peer = PythonPeer::spawn("metrics_collector.py", &["--socket", &socket]);
        peer.expect_ready().await;
        Self { peer, folder }
    }

    fn socket(&self) -> String {
        self.folder.path().join("socket").display().to_string()
    }

    /// All samples, once the one of this name and with these labels has this value.
    async fn shows(&mut self, name: &str, labels: &[(&str, &str)], value: f64) -> Vec<Sample> {
        let what = format!("{name} {labels:?} is {value}");
        eventually(
            SOON,
            &what,
            async || {
                let mut answer = self.peer.request(json!({"op": "samples"})).await;
                serde_json::from_value::<Vec<Sample>>(answer["ok"].take()).unwrap()
            },
            |samples| samples.iter().any(|sample| sample.is(name, labels) && sample.value == value),
        )
        .await
    }
}

/// The value of the only sample of this name with these labels.
fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let found: Vec<_> = samples.iter().filter(|sample| sample.is(name, labels)).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?} in {samples:#?}");
    found[0].value
}

async fn serve(transport: &std::sync::Arc<dyn oxlo::Transport>) -> RunningServer {
    #[derive(Deserialize)]
    struct One {
        value: Value,
    }
    let endpoint = Endpoint::new("1.2")
        .namespace("shop")
        .method("echo", async |Args(it): Args<One>| Ok::<_, Failure>(it.value))
        .method("fail", async || Err::<(), _>(Failure::builtin("KeyError", "no")))
        .method("pause", async || {
            tokio::time::sleep(Duration::from_millis(600)).await;
            Ok::<_, Failure>(())
        });
    let target = Target::topic("t").server("s1");
    RPCServer::builder(transport.clone(), target).endpoint(endpoint).start().await.unwrap()
}

#[tokio::test]
async fn the_collector_counts_and_times_calls_and_casts_of_both_sides() {
    let mut collector = Collector::start().await;
    let metrics = OsloMetricsOptions::new().socket(collector.socket()).process_name("shop").start().unwrap();
    let transport = oxlo::builder("memory://oslo-metrics").oslo_metrics(metrics.clone()).connect().await.unwrap();
    let _server = serve(&transport).await;
    let client = RPCClient::new(transport, Target::topic("t").namespace("shop").version("1.1"));
    for number in 0..3 {
        client.call::<i64>(&Context::new(), "echo", json!({"value": number})).await.unwrap();
    }
    client.call::<()>(&Context::new(), "pause", ()).await.unwrap();
    client.call::<()>(&Context::new(), "fail", ()).await.unwrap_err();
    client.call::<()>(&Context::new(), "nothing", ()).await.unwrap_err();
    client.prepare().fanout(true).cast(&Context::new(), "pause", ()).await.unwrap();
    let short = client.prepare().timeout(Duration::from_millis(300));
    let late = short.call::<()>(&Context::new(), "pause", ()).await.unwrap_err();
    assert!(matches!(late, CallError::Transport { error: TransportError::TimedOut { .. }, .. }), "{late}");
    let flushed = metrics.clone();
    assert!(tokio::task::spawn_blocking(move || flushed.flush(SOON)).await.unwrap());

    let samples = collector.shows("rpc_server_invocation_end_total", &[("method", "pause")], 3.0).await;
    let called = |method: &'static str| [("call_type", "call"), ("method", method)];
    let of_client = |name: &str, method| value(&samples, &format!("rpc_client_{name}"), &called(method));
    assert_eq!(of_client("invocation_start_total", "echo"), 3.0);
    assert_eq!(of_client("invocation_end_total", "echo"), 3.0);
    assert_eq!(of_client("processing_seconds_count", "echo"), 3.0);
    assert_eq!(of_client("invocation_start_total", "pause"), 2.0);
    assert_eq!(of_client("invocation_end_total", "pause"), 1.0);
    let took = of_client("processing_seconds_sum", "pause");
    assert!((0.6..30.0).contains(&took), "{took}");
    for (method, exception) in [("fail", "KeyError"), ("nothing", "RemoteError"), ("pause", "MessagingTimeout")] {
        let labels = [("method", method), ("exception", exception)];
        assert_eq!(value(&samples, "rpc_client_exception_total", &labels), 1.0, "{method}");
    }
    let cast = [("call_type", "cast"), ("method", "pause"), ("fanout", "True")];
    assert_eq!(value(&samples, "rpc_client_invocation_end_total", &cast), 1.0);
    let every = samples.iter().find(|it| it.is("rpc_client_invocation_start_total", &called("echo"))).unwrap();
    let labels: Vec<_> = every.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let wanted = [
        ("call_type", "call"),
        ("exchange", "None"),
        ("fanout", "None"),
        ("method", "echo"),
        ("namespace", "shop"),
        ("process", "shop"),
        ("server", "None"),
        ("timeout", "None"),
        ("topic", "t"),
        ("version", "1.1"),
    ];
    assert_eq!(labels, wanted);

    let served = [("topic", "t"), ("server", "s1"), ("namespace", "shop"), ("version", "1.2"), ("endpoint", "None")];
    let of_server = |name: &str, method| {
        let labels: Vec<_> = served.into_iter().chain([("method", method), ("process", "shop")]).collect();
        value(&samples, &format!("rpc_server_{name}"), &labels)
    };
    assert_eq!(of_server("invocation_start_total", "echo"), 3.0);
    assert_eq!(of_server("processing_seconds_count", "echo"), 3.0);
    assert!((0.9..90.0).contains(&of_server("processing_seconds_sum", "pause")));
    assert_eq!(of_server("exception_total", "fail"), 1.0);
    assert!(!samples.iter().any(|it| it.is("rpc_server_invocation_start_total", &[("method", "nothing")])));
    assert_eq!(metrics.dropped(), 0);
}

/// The metrics that dashboards query exist for callers of both languages.
#[tokio::test]
async fn a_call_of_rust_and_one_of_python_are_the_same_to_the_collector() {
    let mut collector = Collector::start().await;
    let vhost = TestVhost::new().await;
    let (url, socket) = (vhost.url(), collector.socket());
    let ini = format!(
        "[DEFAULT]\ntransport_url = {url}\n[oslo_messaging_metrics]\nmetrics_enabled = true\n\
         metrics_socket_file = {socket}\nmetrics_process_name = rust\n"
    );
    let config = ProcessConfig::new().text(&ini, "shop.conf").unwrap();
    let _server = serve(&oxlo::connect(url.as_str()).await.unwrap()).await;
    let client = oxlo::configured(&config).unwrap().connect().await.unwrap();
    let client = RPCClient::new(client, Target::topic("t").namespace("shop")).timeout(SOON);
    let socket = format!("metrics_socket_file={socket}");
    let mut python = PythonPeer::spawn(
        "client.py",
        &[
            ["--url", &url].as_slice(),
            &["--set", "[oslo_messaging_metrics]", "--set", "metrics_enabled=true", "--set", &socket],
            &["--set", "metrics_process_name=python"],
        ]
        .concat(),
    );
    python.expect_ready().await;
    let order = |op: &str, method: &str| json!({"op": op, "topic": "t", "namespace": "shop", "method": method});
    for server in [None, Some("s1")] {
        let client = match server {
            Some(server) => client.prepare().server(server),
            None => client.prepare(),
        };
        let mut echo = order("call", "echo");
        echo["args"] = json!({"value": 1});
        let mut pause = order("cast", "pause");
        if let Some(server) = server {
            echo["server"] = server.into();
            pause["server"] = server.into();
        }
        assert_eq!(python.request(echo).await, json!({"ok": 1}));
        assert_eq!(python.request(pause).await, json!({"ok": null}));
        assert_eq!(client.call::<i64>(&Context::new(), "echo", json!({"value": 1})).await.unwrap(), 1);
        client.cast(&Context::new(), "pause", ()).await.unwrap();
    }
    assert!(python.request(order("call", "fail")).await["error"].is_object());
    client.call::<()>(&Context::new(), "fail", ()).await.unwrap_err();
    assert!(python.request(order("fanout", "pause")).await["error"].is_null());
    client.prepare().fanout(true).cast(&Context::new(), "pause", ()).await.unwrap();

    // Each side's last datagram arrives last.
    let last = [("fanout", "True"), ("process", "python")];
    collector.shows("rpc_client_invocation_end_total", &last, 1.0).await;
    let last = [("fanout", "True"), ("process", "rust")];
    let samples = collector.shows("rpc_client_invocation_end_total", &last, 1.0).await;
    let of = |process: &str| {
        let mut own: Vec<_> = samples.iter().filter(|sample| sample.labels["process"] == process).cloned().collect();
        for sample in &mut own {
            sample.labels.remove("process");
            if sample.name.ends_with("_sum") {
                assert!(sample.value > 0.0);
                sample.value = 0.0;
            }
        }
        own.sort_by_key(|sample| format!("{sample:?}"));
        own
    };
    assert!(of("rust").len() > 15, "{samples:#?}");
    assert_eq!(of("rust"), of("python"));
}
