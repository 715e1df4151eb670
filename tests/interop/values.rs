//! Values round-trip unchanged, including those that Python sends and JSON forbids.

use std::{collections::BTreeMap, sync::Arc};

use oxlo::{
    Context, Payload, RPCClient, Target, Transport,
    transport::{CallOptions, ListenOptions, Reply, Request, json},
};
use oxlo_test_support::TestVhost;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, TOPIC, ask, call, connect, python_client, python_server, rust_client, with},
    twin::{FALSY, Twin},
};

const BIG: u128 = 1 << 70;

#[derive(Serialize)]
struct Argument<T> {
    value: T,
}

#[derive(Deserialize)]
struct NotANumber {
    nan: f64,
    inf: f64,
    minus: f64,
}

/// Calls with the raw text of arguments, and returns the raw text of the result.
async fn call_raw(client: &Arc<dyn Transport>, method: &str, args: &'static str) -> String {
    let request = Request::new(method, Payload::from_raw(args.into()));
    match client.call(&Target::topic(TOPIC), request, &CallOptions::new()).await.unwrap() {
        Reply::Result(result) => String::from_utf8(result.as_bytes().to_vec()).unwrap(),
        Reply::Failure(failure) => panic!("{failure}"),
    }
}

/// A server that answers each call with the raw text of its argument `value`.
async fn echo_raw(url: &str) -> Arc<dyn Transport> {
    let transport = connect(url).await;
    let mut listener = transport.listen(&Target::topic(TOPIC).server("raw"), &ListenOptions::new()).await.unwrap();
    tokio::spawn(async move {
        while let Ok(delivery) = listener.recv().await {
            delivery.settle.ack();
            let args = String::from_utf8(delivery.message.args.as_bytes().to_vec()).unwrap();
            let mut value = String::new();
            json::raw_members(&args, json::Limits::default(), |_, text| text.clone_into(&mut value)).unwrap();
            let reply = Reply::Result(Payload::from_raw(value.into()));
            delivery.replier.unwrap().reply(reply).await.unwrap();
        }
    });
    transport
}

#[tokio::test]
async fn falsy_results_of_python_arrive_in_rust() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    for (kind, text) in FALSY {
        let value: Value = text.parse().unwrap();
        assert_eq!(ask(&client, "falsy", json!({"kind": kind})).await, value, "{kind}");
        assert_eq!(ask(&client, "echo", json!({"value": value})).await, value, "{kind} as argument");
    }
    let ctxt = Context::new();
    let kind = |kind: &str| json!({"kind": kind});
    assert_eq!(client.call::<i64>(&ctxt, "falsy", kind("zero")).await.unwrap(), 0);
    assert_eq!(client.call::<String>(&ctxt, "falsy", kind("text")).await.unwrap(), "");
    assert!(client.call::<Vec<u8>>(&ctxt, "falsy", kind("list")).await.unwrap().is_empty());
    assert!(client.call::<BTreeMap<String, u8>>(&ctxt, "falsy", kind("object")).await.unwrap().is_empty());
    assert!(!client.call::<bool>(&ctxt, "falsy", kind("false")).await.unwrap());
    client.call::<()>(&ctxt, "falsy", kind("null")).await.unwrap();
    assert_eq!(client.call::<Option<u8>>(&ctxt, "falsy", kind("null")).await.unwrap(), None);
}

#[tokio::test]
async fn falsy_results_of_rust_arrive_in_python() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    for (kind, text) in FALSY {
        let value: Value = text.parse().unwrap();
        assert_eq!(client.ok(call("falsy", json!({"kind": kind}))).await, value, "{kind}");
        assert_eq!(client.ok(call("echo", json!({"value": value}))).await, value, "{kind} as argument");
    }
}

fn context() -> Value {
    json!({
        "user": "al\u{ef}ce \u{2603}", "roles": ["admin", {"deep": [null, 1.5, {"x": []}]}], "is_admin": false, "none": null,
        "\u{e9}\u{1f600}": "key", "empty": "", "a.b-c d": 0,
    })
}

#[tokio::test]
async fn a_context_of_rust_arrives_in_python() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    let ctxt = Context::from_serialize(context()).unwrap();
    let mut seen: Value = client.call(&ctxt, "ctx", ()).await.unwrap();
    assert_eq!(seen.as_object_mut().unwrap().remove("client_timeout"), Some(Value::Null), "Python's server adds it");
    assert_eq!(seen, context());
}

#[tokio::test]
async fn a_context_of_python_arrives_in_rust() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    let seen = client.ok(with(call("ctx", json!({})), json!({"ctxt": context()}))).await;
    assert_eq!(seen, context());
    assert_eq!(client.ok(call("ctx", json!({}))).await, json!({}));
}

const TEXT: &str = "\u{e9}\u{2603}\u{1f600} \"\\/\u{8}\u{c}\n\r\t\u{0}\u{7f}\u{2028}\u{ffff} </script>";

#[tokio::test]
async fn unicode_of_rust_comes_back_from_python() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    assert_eq!(ask(&client, "echo", json!({"value": {TEXT: TEXT}})).await, json!({TEXT: TEXT}));
}

#[tokio::test]
async fn unicode_of_python_comes_back_from_rust() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    assert_eq!(client.ok(call("echo", json!({"value": {TEXT: TEXT}}))).await, json!({TEXT: TEXT}));
}

#[tokio::test]
async fn lone_surrogates_of_python_arrive_in_rust() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let transport = connect(&vhost.url()).await;
    assert_eq!(call_raw(&transport, "surrogate", "{}").await, r#""\ud800""#, "as text it is not touched");
    assert_eq!(call_raw(&transport, "echo", r#"{"value": "\udfff"}"#).await, r#""\udfff""#);
    let client = RPCClient::new(transport, Target::topic(TOPIC));
    assert_eq!(ask(&client, "surrogate", json!({})).await, "\u{fffd}", "no Rust string holds one");
}

#[tokio::test]
async fn lone_surrogates_of_python_pass_through_rust() {
    let vhost = TestVhost::new().await;
    let mut client = python_client(&vhost.url()).await;
    let order = || call("echo", json!({"value": {"$utf16": [0x61, 0xd800, 0x62]}}));
    {
        let _server = echo_raw(&vhost.url()).await;
        assert_eq!(client.ok(order()).await, json!({"$utf16": [0x61, 0xd800, 0x62]}));
    }
    let _server = Twin::start(&vhost.url(), "s1").await;
    let order = with(order(), json!({"server": "s1"}));
    assert_eq!(client.ok(order).await, "a\u{fffd}b", "where a method makes a Rust string of it");
}

#[tokio::test]
async fn nan_and_infinity_of_python_arrive_in_rust() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let transport = connect(&vhost.url()).await;
    let client = RPCClient::new(transport.clone(), Target::topic(TOPIC));
    let all: NotANumber = client.call(&Context::new(), "nan", ()).await.unwrap();
    assert!(all.nan.is_nan() && all.inf == f64::INFINITY && all.minus == f64::NEG_INFINITY);
    let sent = r#"{"value": [NaN, Infinity, -Infinity]}"#;
    assert_eq!(call_raw(&transport, "echo", sent).await, "[NaN, Infinity, -Infinity]", "as argument and as result");
}

#[tokio::test]
async fn nan_and_infinity_of_python_pass_through_rust() {
    let vhost = TestVhost::new().await;
    let mut client = python_client(&vhost.url()).await;
    let all = || json!([{"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}]);
    {
        let _server = echo_raw(&vhost.url()).await;
        assert_eq!(client.ok(call("echo", json!({"value": all()}))).await, all());
    }
    let _server = Twin::start(&vhost.url(), "s1").await;
    for (value, name) in [("nan", "NaN"), ("inf", "inf"), ("-inf", "-inf")] {
        let order = with(call("float_name", json!({"value": {"$float": value}})), json!({"server": "s1"}));
        assert_eq!(client.ok(order).await, name, "where a method takes a float");
    }
}

#[tokio::test]
async fn integers_beyond_64_bit_of_python_arrive_in_rust() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let transport = connect(&vhost.url()).await;
    let client = RPCClient::new(transport.clone(), Target::topic(TOPIC));
    let ctxt = Context::new();
    assert_eq!(client.call::<u128>(&ctxt, "big", ()).await.unwrap(), BIG);
    assert_eq!(client.call::<u128>(&ctxt, "echo", Argument { value: BIG + 1 }).await.unwrap(), BIG + 1);
    let least = Argument { value: i128::MIN };
    assert_eq!(client.call::<i128>(&ctxt, "echo", least).await.unwrap(), i128::MIN);
    let sent = r#"{"value": 123456789012345678901234567890123456789012345678901}"#;
    let back = "123456789012345678901234567890123456789012345678901";
    assert_eq!(call_raw(&transport, "echo", sent).await, back, "as text it is not touched");
}

#[tokio::test]
async fn integers_beyond_64_bit_of_python_come_back_from_rust() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    let big = json!({"$int": (BIG + 1).to_string()});
    assert_eq!(client.ok(call("echo_wide", json!({"value": big}))).await, big);
    assert_eq!(client.ok(call("echo_wide", json!({"value": u64::MAX}))).await, u64::MAX);
}

#[tokio::test]
async fn a_mebibyte_of_rust_arrives_in_python_and_comes_back() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    let value = "\u{e9}x\n\"".repeat(1 << 18);
    assert_eq!(ask(&client, "length", json!({"value": value})).await, 1 << 20);
    assert!(ask(&client, "echo", json!({"value": value})).await == *value);
    assert_eq!(ask(&client, "sized", json!({"length": 1 << 20})).await.as_str().unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn a_mebibyte_of_python_arrives_in_rust_and_comes_back() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    let value = "\u{e9}x\n\"".repeat(1 << 18);
    assert_eq!(client.ok(call("length", json!({"value": value}))).await, 1 << 20);
    assert!(client.ok(call("echo", json!({"value": value}))).await == *value);
    assert_eq!(client.ok(call("sized", json!({"length": 1 << 20}))).await.as_str().unwrap().len(), 1 << 20);
}
