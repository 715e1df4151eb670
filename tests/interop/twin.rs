//! The counterpart of `server.py`: the same endpoints and methods on oxlo.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use oxlo::{Args, Context, Endpoint, Failure, RPCServer, RemoteError, RunningServer, State, Target, Transport};
use oxlo_test_support::eventually;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fixture::{SOON, TOPIC, connect};

/// `interop_errors.Boom`, which both sides know.
#[derive(Debug, PartialEq)]
pub(crate) struct Boom {
    pub(crate) message: String,
    pub(crate) code: i64,
    pub(crate) detail: String,
}

impl std::fmt::Display for Boom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Boom {}

impl RemoteError for Boom {
    const MODULE: &'static str = "interop_errors";
    const CLASSES: &'static [&'static str] = &["Boom"];

    fn to_failure(&self) -> Failure {
        Failure::new(Self::MODULE, "Boom", &self.message)
            .with_kwarg("code", self.code)
            .with_kwarg("detail", self.detail.as_str())
    }

    fn from_failure(failure: &Failure) -> Option<Self> {
        Some(Self {
            message: failure.message.clone(),
            code: failure.kwargs.get("code")?.as_i64()?,
            detail: failure.kwargs.get("detail")?.as_str()?.to_owned(),
        })
    }
}

/// A running server and the casts it received.
pub(crate) struct Twin {
    pub(crate) transport: Arc<dyn Transport>,
    me: Me,
    running: RunningServer,
}

impl Twin {
    /// Serves [`TOPIC`] under `name`, on a transport of its own.
    pub(crate) async fn start(url: &str, name: &str) -> Self {
        Self::start_on(connect(url).await, name).await
    }

    pub(crate) async fn start_on(transport: Arc<dyn Transport>, name: &str) -> Self {
        let me = Me { name: name.into(), notes: Arc::default(), slow: Arc::default() };
        let running = RPCServer::builder(transport.clone(), Target::topic(TOPIC).server(name))
            .endpoint(base(me.clone()))
            .endpoint(math())
            .endpoint(math_two())
            .start()
            .await
            .unwrap();
        Self { transport, me, running }
    }

    /// The casts it has run, sorted.
    pub(crate) fn seen(&self) -> Vec<i64> {
        let mut seen = self.me.notes.lock().unwrap().clone();
        seen.sort_unstable();
        seen
    }

    /// Waits until it has run exactly these casts.
    pub(crate) async fn eventually_saw(&self, notes: &[i64]) {
        let what = format!("{} has run the casts {notes:?}", self.me.name);
        eventually(SOON, &what, async || self.seen(), |seen| seen == notes).await;
    }

    /// Waits until a call of `slow` runs.
    pub(crate) async fn eventually_slow(&self) {
        eventually(SOON, "`slow` runs", async || self.me.slow.load(Ordering::Relaxed), |begun| *begun > 0).await;
    }

    /// Stops gracefully.
    pub(crate) async fn end(self) {
        self.running.stop();
        self.running.wait().await.unwrap();
        self.transport.close().await;
    }
}

#[derive(Clone)]
struct Me {
    name: Arc<str>,
    notes: Arc<Mutex<Vec<i64>>>,
    /// How many calls of `slow` have begun.
    slow: Arc<AtomicUsize>,
}

#[derive(Deserialize)]
struct One {
    value: Value,
}

#[derive(Deserialize)]
struct Wide {
    value: u128,
}

#[derive(Deserialize)]
struct Float {
    value: f64,
}

#[derive(Deserialize)]
struct Text {
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Two {
    a: i64,
    b: i64,
}

#[derive(Deserialize)]
struct Factors {
    factors: Vec<i64>,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
    #[serde(default = "failed")]
    message: String,
}

fn failed() -> String {
    "failed".to_owned()
}

#[derive(Deserialize)]
struct Slow {
    seconds: f64,
}

#[derive(Deserialize)]
struct Length {
    length: usize,
}

#[derive(Deserialize)]
struct Note {
    x: i64,
}

/// The endpoint in no namespace, version 1.2.
fn base(me: Me) -> Endpoint {
    Endpoint::new("1.2")
        .with_state(me)
        .method("echo", async |Args(it): Args<One>| Ok::<_, Failure>(it.value))
        .method("echo_wide", async |Args(it): Args<Wide>| Ok::<_, Failure>(it.value))
        .method("float_name", async |Args(it): Args<Float>| Ok::<_, Failure>(it.value.to_string()))
        .method("add", async |Args(it): Args<Two>| Ok::<_, Failure>(it.a + it.b))
        .method("ctx", async |ctxt: Context| Ok::<_, Failure>(ctxt))
        .method("no_arguments", async || Ok::<_, Failure>("none"))
        .method("fail", async |Args(it): Args<Kind>| Err::<(), _>(failure(&it.kind, &it.message)))
        .method("slow", async |State(me): State<Me>, Args(it): Args<Slow>| {
            me.slow.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs_f64(it.seconds)).await;
            Ok::<_, Failure>("slow")
        })
        .method("falsy", async |Args(it): Args<Kind>| Ok::<_, Failure>(falsy(&it.kind)))
        .method("sized", async |Args(it): Args<Length>| Ok::<_, Failure>("x".repeat(it.length)))
        .method("length", async |Args(it): Args<Text>| Ok::<_, Failure>(it.value.chars().count()))
        .method("whoami", async |State(me): State<Me>| Ok::<_, Failure>(me.name.to_string()))
        .method("cast_note", async |State(me): State<Me>, Args(it): Args<Note>| {
            me.notes.lock().unwrap().push(it.x);
            Ok::<_, Failure>(())
        })
        .method("seen", async |State(me): State<Me>| Ok::<_, Failure>(me.notes.lock().unwrap().clone()))
}

/// The endpoint in namespace `math`, version 1.3, also reachable by the namespace it had before.
fn math() -> Endpoint {
    Endpoint::new("1.3")
        .namespace("math")
        .accept_namespace("arithmetic")
        .method("multiply", async |Args(it): Args<Two>| Ok::<_, Failure>(it.a * it.b))
        .method("whereami", async || Ok::<_, Failure>("math"))
}

/// Version 2.1 of the same namespace, beside the old one.
fn math_two() -> Endpoint {
    Endpoint::new("2.1")
        .namespace("math")
        .method("multiply", async |Args(it): Args<Factors>| Ok::<_, Failure>(it.factors.iter().product::<i64>()))
        .method("whereami", async || Ok::<_, Failure>("math2"))
}

fn failure(kind: &str, message: &str) -> Failure {
    match kind {
        "value" => Failure::builtin("ValueError", format!("('{message}', 42)")).with_args([json!(message), json!(42)]),
        "key" => Failure::builtin("KeyError", format!("'{message}'")).with_args([json!(message)]),
        "type" => Failure::builtin("TypeError", message),
        "runtime" => Failure::builtin("RuntimeError", message),
        "unicode" => Failure::builtin("ValueError", format!("\u{e9} \u{2603} \u{1f600} {message}")),
        "no_args" => Failure::builtin("ValueError", "").with_args([]),
        "boom" => Boom { message: message.to_owned(), code: 7, detail: "d".to_owned() }.into(),
        "plain" => Failure::new("interop_errors", "Plain", message),
        "local" => Failure::new("__main__", "LocalError", message),
        "falsy" => Failure::builtin("ValueError", "(0, '', [], {}, False, None)").with_args([
            json!(0),
            json!(""),
            json!([]),
            json!({}),
            json!(false),
            Value::Null,
        ]),
        other => panic!("no kind {other}"),
    }
}

fn falsy(kind: &str) -> Value {
    FALSY.iter().find(|(name, _)| *name == kind).map(|(_, text)| text.parse().unwrap()).unwrap()
}

/// The results of `falsy`, by their kind, as JSON texts.
pub(crate) const FALSY: [(&str, &str); 7] = [
    ("zero", "0"),
    ("zero_float", "0.0"),
    ("text", "\"\""),
    ("list", "[]"),
    ("object", "{}"),
    ("false", "false"),
    ("null", "null"),
];
