//! What callers get: results, failures, refusals, and what handlers are given.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fake::{Fake, target};
use oxlo_server::{Args, Endpoint, HandlerError, Method, RPCServer, Redelivered, RunningServer, State};
use oxlo_transport::{Context, Deadline, Failure, Payload, RemoteError, Reply, Settings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    a: i64,
    b: i64,
}

async fn serve(endpoint: Endpoint) -> (Arc<Fake>, RunningServer) {
    let fake = Fake::new();
    let server = RPCServer::builder(fake.clone(), target()).endpoint(endpoint).start().await.unwrap();
    (fake, server)
}

#[tokio::test]
async fn a_result_and_the_report() {
    let (fake, server) =
        serve(Endpoint::new("1.0").method("add", async |Args(it): Args<Add>| Ok::<_, Failure>(it.a + it.b))).await;
    let call = fake.request("add", json!({"a": 2, "b": 3})).send();
    assert_eq!(call.result::<i64>().await, 5);
    assert_eq!(call.story().order, ["ack", "reply"], "oslo acknowledges first");
    let cast = fake.request("add", json!({"a": 2, "b": 3})).cast().send();
    cast.settled().await;
    server.stop();
    let report = server.wait().await.unwrap();
    assert_eq!((report.handled, report.failed), (2, 0));
    assert_eq!(server.wait().await.unwrap(), report, "asking again says the same");
}

#[tokio::test]
async fn falsy_results_stay_themselves() {
    let (fake, _server) =
        serve(Endpoint::new("1.0").method("echo", async |Args(it): Args<Value>| Ok::<_, Failure>(it["v"].clone())))
            .await;
    for value in [json!(0), json!(""), json!([]), json!({}), json!(false), Value::Null] {
        let sent = fake.request("echo", json!({"v": value})).send();
        assert_eq!(sent.result::<Value>().await, value);
    }
    let nothing = Endpoint::new("1.0").method("nothing", async || Ok::<_, Failure>(()));
    let (fake, _server) = serve(nothing).await;
    assert_eq!(fake.request("nothing", json!({})).send().reply().await, Reply::Result(Payload::null()));
}

#[derive(Debug, thiserror::Error)]
#[error("boom {code}")]
struct Boom {
    code: i64,
}

impl RemoteError for Boom {
    const MODULE: &'static str = "acme.errors";
    const CLASSES: &'static [&'static str] = &["Boom"];

    fn to_failure(&self) -> Failure {
        Failure::new(Self::MODULE, "Boom", self.to_string()).with_kwarg("code", self.code)
    }

    fn from_failure(_: &Failure) -> Option<Self> {
        None
    }
}

#[tokio::test]
async fn failures_travel_whole() {
    let endpoint = Endpoint::new("1.0")
        .method("typed", async || Err::<(), _>(Boom { code: 7 }))
        .method("plain", async || {
            Err::<(), _>(Failure::builtin("ValueError", "bad").with_args([json!("bad"), json!(42)]))
        })
        .method("mixed", async || -> Result<(), HandlerError> {
            Err(Boom { code: 8 })?;
            Ok(())
        })
        .method("passed_on", async || Err::<(), _>(Failure::new("nova.exception_Remote", "Gone_Remote", "gone")));
    let (fake, server) = serve(endpoint).await;
    let typed = fake.request("typed", json!({})).send().failure().await;
    assert_eq!(typed, Failure::new("acme.errors", "Boom", "boom 7").with_kwarg("code", 7));
    let plain = fake.request("plain", json!({})).send().failure().await;
    assert_eq!((plain.class.as_str(), plain.args), ("ValueError", vec![json!("bad"), json!(42)]));
    assert_eq!(fake.request("mixed", json!({})).send().failure().await.kwargs["code"], 8);
    let passed_on = fake.request("passed_on", json!({})).send().failure().await;
    assert_eq!((passed_on.module.as_str(), passed_on.class.as_str()), ("nova.exception", "Gone"));
    server.stop();
    let report = server.wait().await.unwrap();
    assert_eq!((report.handled, report.failed), (4, 4));
}

#[tokio::test]
async fn a_panic_is_a_failure_and_the_server_goes_on() {
    let endpoint = Endpoint::new("1.0")
        .method("soon", |Args(_): Args<Value>| {
            assert!(std::hint::black_box(false), "secret one");
            async { Ok::<(), Failure>(()) }
        })
        .method("later", async |Args(_): Args<Value>| {
            tokio::task::yield_now().await;
            if std::hint::black_box(true) {
                panic!("secret two");
            }
            Ok::<(), Failure>(())
        })
        .blocking_method("blocking", |Args(_): Args<Value>| -> Result<(), HandlerError> { panic!("secret three") })
        .method("fine", async || Ok::<_, Failure>(1));
    let (fake, _server) = serve(endpoint).await;
    for method in ["soon", "later", "blocking"] {
        let failure = fake.request(method, json!({})).send().failure().await;
        assert_eq!((failure.module.as_str(), failure.class.as_str()), ("builtins", "RuntimeError"));
        assert_eq!(failure.message, format!("{method}() panicked in the server"));
    }
    assert_eq!(fake.request("fine", json!({})).send().result::<i64>().await, 1);
}

#[tokio::test]
async fn a_result_without_json_form_is_a_failure() {
    struct Unwilling;
    impl Serialize for Unwilling {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let endpoint = Endpoint::new("1.0")
        .method("keys", async || Ok::<_, Failure>(BTreeMap::from([(vec![1, 2], 3)])))
        .method("unwilling", async || Ok::<_, Failure>(Unwilling));
    let (fake, _server) = serve(endpoint).await;
    let keys = fake.request("keys", json!({})).send().failure().await;
    assert_eq!((keys.module.as_str(), keys.class.as_str()), ("builtins", "TypeError"));
    assert!(keys.message.starts_with("the result of keys() has no JSON form"), "{}", keys.message);
    let unwilling = fake.request("unwilling", json!({})).send().failure().await;
    assert!(unwilling.message.ends_with("not today"), "{}", unwilling.message);
}

#[tokio::test]
async fn a_result_that_cannot_be_sent_is_a_failure() {
    let mut settings = Settings::default();
    settings.max_message_size = 1000;
    let fake = Fake::with(settings);
    let endpoint = Endpoint::new("1.0").method("long", async || Ok::<_, Failure>("x".repeat(1000)));
    let _server = RPCServer::builder(fake.clone(), target()).endpoint(endpoint).start().await.unwrap();
    let failure = fake.request("long", json!({})).send().failure().await;
    assert_eq!(failure.message, "the result of long() has 1002 bytes, the limit is 1000");
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_a_type_error_that_says_why() {
    let endpoint = Endpoint::new("1.0")
        .method("add", async |_: Context, Args(it): Args<Add>| Ok::<_, Failure>(it.a + it.b))
        .method("reload", async || Ok::<_, Failure>(()));
    let (fake, _server) = serve(endpoint).await;
    let cases = [
        ("add", json!({"a": 1}), "add(): ", "argument 'b' is missing"),
        ("add", json!({"a": 1, "b": 2, "c": 3}), "add() got ", "an unexpected argument 'c'; it takes a, b"),
        (
            "add",
            json!({"a": 1, "b": "hunter2"}),
            "add(): argument 'b': ",
            "expected an integer from -9223372036854775808 to 9223372036854775807, got a string",
        ),
        ("reload", json!({"force": true}), "reload() got ", "an unexpected argument 'force'; it takes none"),
    ];
    for (method, args, start, named) in cases {
        let failure = fake.request(method, &args).send().failure().await;
        assert_eq!((failure.module.as_str(), failure.class.as_str()), ("builtins", "TypeError"), "{args}");
        assert!(failure.message.starts_with(start) && failure.message.contains(named), "{}", failure.message);
        assert!(!failure.message.contains("hunter2"), "{}", failure.message);
        assert!(failure.is_refusal());
    }
    let list = fake.request("add", json!({})).raw_args("[1, 2]").send().failure().await;
    assert_eq!(
        (list.class.as_str(), list.message.as_str()),
        ("TypeError", "add(): its arguments are not a JSON object")
    );
    let empty = fake.request("reload", json!({})).raw_args(" { } ").send();
    assert_eq!(empty.result::<Value>().await, Value::Null);
}

/// Only what was decided before the method ran is a refusal, also if the method passes one on.
#[tokio::test]
async fn a_failure_of_the_method_is_no_refusal() {
    let endpoint = Endpoint::new("1.0")
        .method("own", async || Err::<(), _>(Failure::builtin("TypeError", "no")))
        .method("passed_on", async || Err::<(), _>(Failure::builtin("TypeError", "no").with_refused(true)))
        .method("refused", async || {
            Err::<(), _>(HandlerError::refused(Failure::new("shop.errors", "Closed", "come back at nine")))
        });
    let (fake, _server) = serve(endpoint).await;
    for (method, refused) in [("own", false), ("passed_on", false), ("refused", true)] {
        assert_eq!(fake.request(method, json!({})).send().failure().await.is_refusal(), refused, "{method}");
    }
}

#[tokio::test]
async fn a_result_that_is_not_finite_is_refused_by_its_path() {
    let endpoint =
        || Endpoint::new("1.0").method("load", async || Ok::<_, Failure>([("cores", [0.5, f64::NEG_INFINITY])]));
    let (fake, _server) = serve(endpoint()).await;
    let failure = fake.request("load", json!({})).send().failure().await;
    assert_eq!((failure.class.as_str(), failure.is_refusal()), ("TypeError", false));
    let text = "the result of load() has no JSON form: `[0][1][1]` is -Infinity, ";
    assert!(failure.message.starts_with(text), "{}", failure.message);

    let mut settings = Settings::default();
    settings.non_finite = oxlo_transport::NonFinite::AsPython;
    let fake = Fake::with(settings);
    let _server = RPCServer::builder(fake.clone(), target()).endpoint(endpoint()).start().await.unwrap();
    let result = fake.request("load", json!({})).send().result::<[(String, [f64; 2]); 1]>().await;
    assert_eq!(result, [("cores".to_owned(), [0.5, f64::NEG_INFINITY])]);
}

#[tokio::test]
async fn refusals_are_those_of_a_python_server() {
    let endpoint = Endpoint::new("1.2").namespace("math").method("echo", async || Ok::<_, Failure>(()));
    let (fake, server) = serve(endpoint).await;
    let module = "oslo_messaging.rpc.dispatcher";
    let no_such = fake.request("nosuch", json!({})).namespace("math").version("1.1").send().failure().await;
    let said = |failure: &Failure| (failure.class.clone(), failure.args.clone(), failure.message.clone());
    let refusal = |class: &str, text: &str, offered: &str| {
        let failure = Failure::new(module, class, text);
        (failure.class.clone(), failure.args.clone(), format!("{text}; {offered}"))
    };
    let text = "Endpoint does not support RPC method nosuch";
    assert_eq!(said(&no_such), refusal("NoSuchMethod", text, "methods: echo"));
    let text = "Endpoint does not support RPC version 2.0. Attempted method: echo";
    let unsupported = fake.request("echo", json!({})).namespace("math").version("2.0").send().failure().await;
    assert_eq!(said(&unsupported), refusal("UnsupportedVersion", text, "offered: endpoint math 1.2"));
    let text = "Endpoint does not support RPC version 1.0. Attempted method: echo";
    let elsewhere = fake.request("echo", json!({})).send().failure().await;
    let offered = "the request has no namespace, and every endpoint has one; offered: endpoint math 1.2";
    assert_eq!(said(&elsewhere), refusal("UnsupportedVersion", text, offered));
    assert!([no_such, unsupported, elsewhere].iter().all(Failure::is_refusal));
    let null = fake.request("echo", json!({})).namespace("math").version("None").send().failure().await;
    let text = "Endpoint does not support RPC version None. Attempted method: echo; offered: endpoint math 1.2";
    assert_eq!(null.message, text);
    let unnamed = fake.request("", json!({})).send().failure().await;
    assert_eq!(unnamed.class, "TypeError");
    let cast = fake.request("nosuch", json!({})).namespace("math").cast().send();
    cast.settled().await;
    server.stop();
    let report = server.wait().await.unwrap();
    assert_eq!((report.handled, report.failed), (6, 6));
}

#[tokio::test]
async fn handlers_are_given_what_they_ask_for() {
    let calls = Arc::new(AtomicU64::new(0));
    let captured = calls.clone();
    let endpoint = Endpoint::new("1.0")
        .with_state(Arc::new(String::from("shared")))
        .method(
            "all",
            async |ctxt: Context,
                   Method(name): Method,
                   Deadline(deadline): Deadline,
                   Redelivered(again): Redelivered,
                   State(state): State<Arc<String>>,
                   raw: Payload| {
                let user = ctxt.get_str("user").unwrap_or_default().to_owned();
                let seen = json!({
                    "user": user, "name": &*name, "late": deadline.is_some(), "again": again,
                    "state": *state, "raw": raw.len(),
                });
                Ok::<_, Failure>(seen)
            },
        )
        .method("count", move || {
            let calls = captured.clone();
            async move { Ok::<_, Failure>(calls.fetch_add(1, Ordering::Relaxed) + 1) }
        })
        .blocking_method("hash", |ctxt: Context, Args(it): Args<Add>| {
            std::thread::sleep(Duration::from_millis(1));
            Ok::<_, HandlerError>((ctxt.len(), it.a * it.b))
        });
    let (fake, _server) = serve(endpoint).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let all = fake.request("all", json!({"x": 1})).deadline(deadline).redelivered().send();
    let expected = json!({"user": "alice", "name": "all", "late": true, "again": true, "state": "shared", "raw": 7});
    assert_eq!(all.result::<Value>().await, expected);
    assert_eq!(fake.request("count", json!({})).send().result::<u64>().await, 1);
    assert_eq!(fake.request("count", json!({})).send().result::<u64>().await, 2);
    assert_eq!(fake.request("hash", json!({"a": 6, "b": 7})).send().result::<(usize, i64)>().await, (1, 42));
}

#[tokio::test]
async fn the_ping_answers_when_it_is_on() {
    let fake = Fake::new();
    let _server = RPCServer::builder(fake.clone(), target()).ping(true).start().await.unwrap();
    let pong = fake.request(oxlo_server::PING_METHOD, json!({"anything": [1]})).version("9.3").send();
    assert_eq!(pong.result::<String>().await, "pong");
    let (fake, _server) = serve(Endpoint::new("1.0")).await;
    assert_eq!(fake.request(oxlo_server::PING_METHOD, json!({})).send().failure().await.class, "NoSuchMethod");
}
