//! A method's failure, as the caller in the other language sees it.

use oxlo::{Args, CallError, Context, Endpoint, Failure, RPCClient, RPCServer, State, Target};
use oxlo_test_support::TestVhost;
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, TOPIC, call, client_on, python_client, python_server, rust_client, with},
    twin::{Boom, Twin},
};

fn kind(kind: &str) -> Value {
    json!({"kind": kind, "message": "bad"})
}

async fn failed(client: &RPCClient, kind_of: &str) -> CallError {
    client.call::<Value>(&Context::new(), "fail", kind(kind_of)).await.unwrap_err()
}

#[tokio::test]
async fn builtin_errors_of_python_arrive_in_rust() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    let cases = [
        ("value", "ValueError", "('bad', 42)", json!(["bad", 42])),
        ("key", "KeyError", "'bad'", json!(["bad"])),
        ("type", "TypeError", "bad", json!(["bad"])),
        ("unicode", "ValueError", "\u{e9} \u{2603} \u{1f600} bad", json!(["\u{e9} \u{2603} \u{1f600} bad"])),
        ("no_args", "ValueError", "", json!([])),
        ("falsy", "ValueError", "(0, '', [], {}, False, None)", json!([0, "", [], {}, false, null])),
    ];
    for (kind, class, message, args) in cases {
        let error = failed(&client, kind).await;
        assert!(error.may_have_run() && !error.is_retryable(), "{error:?}");
        let remote = error.remote_failure().unwrap();
        assert_eq!((remote.module(), remote.class()), ("builtins", class));
        assert!(remote.is_allowed());
        assert_eq!((remote.message(), Value::from(remote.args())), (message, args), "{kind}");
        assert!(remote.kwargs().is_empty());
        assert!(remote.traceback().concat().contains("in fail"), "{:?}", remote.traceback());
    }
    let expected = client.call::<()>(&Context::new(), "fail_expected", ()).await.unwrap_err();
    assert_eq!(expected.remote_failure().unwrap().message(), "expected");
}

#[tokio::test]
async fn builtin_errors_of_rust_arrive_in_python() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    // Python itself appends the (empty) traceback to the first argument of builtin exceptions.
    let cases = [
        ("value", "ValueError", json!(["('bad', 42)\n", 42])),
        ("key", "KeyError", json!(["'bad'\n"])),
        ("type", "TypeError", json!(["bad\n"])),
        ("unicode", "ValueError", json!(["\u{e9} \u{2603} \u{1f600} bad\n"])),
        ("falsy", "ValueError", json!(["(0, '', [], {}, False, None)\n", "", [], {}, false, null])),
    ];
    for (name, class, args) in cases {
        let error = client.error(call("fail", kind(name))).await;
        assert_eq!((&error["class"], &error["module"]), (&json!(class), &json!("builtins")), "{name}");
        assert_eq!(error["args"], args, "{name}");
    }
    assert_eq!(client.error(call("fail", kind("no_args"))).await["class"], "ValueError");
}

#[tokio::test]
async fn a_custom_error_of_python_is_opaque_in_rust_unless_allowed() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    for (name, class, module) in
        [("boom", "Boom", "interop_errors"), ("plain", "Plain", "interop_errors"), ("local", "LocalError", "__main__")]
    {
        let error = failed(&client, name).await;
        assert_eq!(error.to_string(), format!("call `fail` on t: Remote error: {class} bad"));
        let CallError::Remote { failure, .. } = error else { panic!("{error:?}") };
        assert!(!failure.is_allowed());
        assert_eq!((failure.class(), failure.module(), failure.message()), (class, module, "bad"));
        assert!(failure.traceback().concat().contains("Traceback (most recent call last)"));
    }
}

#[tokio::test]
async fn a_custom_error_of_python_arrives_in_rust_where_its_module_is_allowed() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let transport = oxlo::builder(vhost.url()).allow_remote_module("interop_errors").connect().await.unwrap();
    let error = failed(&client_on(&transport), "boom").await;
    let remote = error.remote_failure().unwrap();
    assert_eq!((remote.class(), remote.module()), ("Boom", "interop_errors"));
    assert_eq!(Value::from(remote.args()), json!(["bad"]));
    assert_eq!(Value::from(remote.kwargs().clone()), json!({"code": 7, "detail": "d"}));
    assert!(remote.downcast_ref::<Boom>().is_none(), "no type is registered for it");
    let local = failed(&client_on(&transport), "local").await;
    assert!(
        local.remote_failure().is_some_and(|failure| !failure.is_allowed()),
        "one module is allowed, not all: {local:?}"
    );
}

#[tokio::test]
async fn a_custom_error_of_python_arrives_in_rust_as_the_registered_type() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let transport = oxlo::builder(vhost.url()).remote_error::<Boom>().connect().await.unwrap();
    let client = client_on(&transport);
    let error = failed(&client, "boom").await;
    assert_eq!(error.remote_failure().unwrap().class(), "Boom");
    let boom: Boom = error.downcast().unwrap();
    assert_eq!(boom, Boom { message: "bad".into(), code: 7, detail: "d".into() });
    let plain = failed(&client, "plain").await;
    assert_eq!(plain.remote_failure().unwrap().class(), "Plain");
    assert!(plain.downcast::<Boom>().is_err());
    // Its arguments do not fit the type (`detail` is missing), so it stays a generic remote error.
    let chained = client.call::<()>(&Context::new(), "fail_chained", ()).await.unwrap_err();
    assert!(chained.downcast_ref::<Boom>().is_none());
    assert_eq!(chained.remote_failure().unwrap().kwargs()["code"], 8);
}

#[tokio::test]
async fn a_typed_error_of_rust_arrives_in_python_as_its_class() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    let allowed = with(call("fail", kind("boom")), json!({"allowed_remote_exmods": ["interop_errors"]}));
    let error = client.error(allowed).await;
    assert_eq!((&error["class"], &error["module"]), (&json!("Boom_Remote"), &json!("interop_errors_Remote")));
    assert_eq!((&error["args"], &error["kwargs"]), (&json!(["bad"]), &json!({"code": 7, "detail": "d"})));
    let opaque = client.error(call("fail", kind("boom"))).await;
    assert_eq!((&opaque["class"], &opaque["exc_type"]), (&json!("RemoteError"), &json!("Boom")));
    assert_eq!(opaque["value"], "bad");
}

/// A server that forwards its call to the Python server, and passes failures on by `?`.
async fn middle(url: &str, exmods: &[&str]) -> oxlo::RunningServer {
    let builder = exmods.iter().fold(oxlo::builder(url), |builder, module| builder.allow_remote_module(*module));
    let transport = builder.connect().await.unwrap();
    let behind = client_on(&transport);
    let forward = async |ctxt: Context, State(behind): State<RPCClient>, Args(args): Args<Value>| {
        let result: Value = behind.call(&ctxt, "fail", args).await.map_err(Failure::from)?;
        Ok::<_, Failure>(result)
    };
    RPCServer::builder(transport, Target::topic("middle").server("m1"))
        .endpoint(Endpoint::new("1.0").with_state(behind).method("forward", forward))
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_error_passed_on_by_rust_keeps_its_class_without_suffix() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (_server, mut client) = tokio::join!(python_server(&url, "s1"), python_client(&url));
    let _middle = middle(&url, &["interop_errors"]).await;
    let forward = |name: &str| {
        let keys = json!({"topic": "middle", "allowed_remote_exmods": ["interop_errors"]});
        with(call("forward", kind(name)), keys)
    };
    let boom = client.error(forward("boom")).await;
    assert_eq!((&boom["class"], &boom["module"]), (&json!("Boom_Remote"), &json!("interop_errors_Remote")));
    assert_eq!((&boom["args"], &boom["kwargs"]), (&json!(["bad"]), &json!({"code": 7, "detail": "d"})));
    assert!(boom["str"].as_str().unwrap().contains("in fail"), "the traceback of the server that raised: {boom}");
    let value = client.error(forward("value")).await;
    assert_eq!((&value["class"], &value["module"]), (&json!("ValueError"), &json!("builtins")));
    assert_eq!(value["args"][1], 42);
}

#[tokio::test]
async fn an_opaque_error_passed_on_by_rust_does_not_look_like_its_own() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (_server, mut client) = tokio::join!(python_server(&url, "s1"), python_client(&url));
    let _middle = middle(&url, &[]).await;
    let order = || with(call("forward", kind("boom")), json!({"topic": "middle"}));
    let opaque = client.error(order()).await;
    assert_eq!((&opaque["class"], &opaque["exc_type"]), (&json!("RemoteError"), &json!("RemoteError")));
    let allowed = json!({"allowed_remote_exmods": ["oslo_messaging.rpc.client"]});
    let rebuilt = client.error(with(order(), allowed)).await;
    assert_eq!(rebuilt["class"], "RemoteError_Remote", "{rebuilt}");
    assert_eq!((&rebuilt["exc_type"], &rebuilt["value"]), (&json!("Boom"), &json!("bad")));
}

#[tokio::test]
async fn a_result_without_json_form_is_an_error_in_python() {
    let vhost = TestVhost::new().await;
    let transport = crate::fixture::connect(&vhost.url()).await;
    let endpoint = Endpoint::new("1.0")
        .method("unserialisable", async || Ok::<_, Failure>(std::collections::HashMap::from([(vec![1], 2)])))
        .method("panics", async || {
            if std::hint::black_box(true) {
                panic!("a secret of the server");
            }
            Ok::<_, Failure>(())
        });
    let _server =
        RPCServer::builder(transport, Target::topic(TOPIC).server("s1")).endpoint(endpoint).start().await.unwrap();
    let mut client = python_client(&vhost.url()).await;
    assert_eq!(client.error(call("unserialisable", json!({}))).await["class"], "TypeError");
    let panicked = client.error(call("panics", json!({}))).await;
    assert_eq!(panicked["class"], "RuntimeError");
    assert!(!panicked.to_string().contains("secret"), "{panicked}");
}
