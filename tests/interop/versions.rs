//! Namespaces and versions: which requests are served, and how the others are refused.

use oxlo::{CallError, Context, RPCClient};
use oxlo_test_support::TestVhost;
use serde_json::{Value, json};

use crate::{
    fixture::{Ask, call, python_client, python_server, rust_client, with},
    twin::Twin,
};

/// Namespace, version, method, and the outcome: a result, or the class of the refusal.
const CASES: [(Option<&str>, Option<&str>, &str, &str); 19] = [
    // missing version, equal, lower minor, higher minor, other major
    (None, None, "no_arguments", "none"),
    (None, Some("1.2"), "no_arguments", "none"),
    (None, Some("1.0"), "no_arguments", "none"),
    (None, Some("1.1.9"), "no_arguments", "none"),
    (None, Some("1.3"), "no_arguments", "UnsupportedVersion"),
    (None, Some("1.2.1"), "no_arguments", "UnsupportedVersion"),
    (None, Some("2.0"), "no_arguments", "UnsupportedVersion"),
    (None, Some("0.9"), "no_arguments", "UnsupportedVersion"),
    // the same in a namespace, which two endpoints share
    (Some("math"), None, "whereami", "math"),
    (Some("math"), Some("1.3"), "whereami", "math"),
    (Some("math"), Some("1.4"), "whereami", "UnsupportedVersion"),
    (Some("math"), Some("2.1"), "whereami", "math2"),
    (Some("math"), Some("2.2"), "whereami", "UnsupportedVersion"),
    (Some("arithmetic"), Some("1.0"), "whereami", "math"),
    (Some("arithmetic"), Some("2.0"), "whereami", "UnsupportedVersion"),
    // null namespace against namespace, and the empty one, which is a namespace too
    (Some("math"), Some("1.0"), "no_arguments", "NoSuchMethod"),
    (None, Some("1.0"), "whereami", "NoSuchMethod"),
    (Some(""), Some("1.0"), "no_arguments", "UnsupportedVersion"),
    (Some("nowhere"), Some("1.0"), "whereami", "UnsupportedVersion"),
];

fn expected_value(class: &str, version: Option<&str>, method: &str) -> String {
    match class {
        "NoSuchMethod" => format!("Endpoint does not support RPC method {method}"),
        _ => format!("Endpoint does not support RPC version {}. Attempted method: {method}", version.unwrap_or("1.0")),
    }
}

fn at(client: &RPCClient, namespace: Option<&str>, version: Option<&str>) -> RPCClient {
    let client = client.prepare();
    let client = match namespace {
        Some(namespace) => client.namespace(namespace),
        None => client.without_namespace(),
    };
    match version {
        Some(version) => client.version(version),
        None => client.without_version(),
    }
}

#[tokio::test]
async fn rust_asks_python_for_namespaces_and_versions() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await;
    for (namespace, version, method, expected) in CASES {
        let case = format!("{namespace:?} {version:?} {method}");
        let outcome = at(&client, namespace, version).call::<String>(&Context::new(), method, ()).await;
        match outcome {
            Ok(result) => assert_eq!(result, expected, "{case}"),
            Err(CallError::Remote { failure, .. }) => {
                let dispatcher = "oslo_messaging.rpc.dispatcher";
                assert_eq!((failure.class(), failure.module()), (expected, dispatcher), "{case}");
                assert_eq!(failure.message(), expected_value(expected, version, method), "{case}");
            }
            Err(other) => panic!("{case}: {other:?}"),
        }
    }
    let error = at(&client, None, Some("9.0")).call::<()>(&Context::new(), "echo", ()).await.unwrap_err();
    assert!(error.is_unsupported_version() && !error.may_have_run());
    let error = client.call::<()>(&Context::new(), "nothing", ()).await.unwrap_err();
    assert!(error.is_no_such_method() && !error.may_have_run());
}

#[tokio::test]
async fn python_asks_rust_for_namespaces_and_versions() {
    let vhost = TestVhost::new().await;
    let _server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    for (namespace, version, method, expected) in CASES {
        let case = format!("{namespace:?} {version:?} {method}");
        let order = with(call(method, json!({})), json!({"namespace": namespace, "version": version}));
        let answer = client.request(order).await;
        if answer.get("ok").is_some() {
            assert_eq!(answer["ok"], expected, "{case}");
        } else {
            let error = &answer["error"];
            assert_eq!((&error["class"], &error["exc_type"]), (&json!("RemoteError"), &json!(expected)), "{case}");
            // oslo's text, then what is offered.
            let value = error["value"].as_str().unwrap();
            assert_eq!(value.split(';').next(), Some(&*expected_value(expected, version, method)), "{case}");
            assert!(value.contains("; "), "{case}: {value}");
        }
    }
}

#[tokio::test]
async fn rust_refuses_what_is_above_the_version_cap() {
    let vhost = TestVhost::new().await;
    let mut server = python_server(&vhost.url(), "s1").await;
    let client = rust_client(&vhost.url()).await.version_cap("1.1");
    for version in [Some("1.2"), Some("2.0"), Some("0.9"), None] {
        let refused = at(&client, None, version).cast(&Context::new(), "cast_note", json!({"x": 1})).await;
        assert!(matches!(refused, Err(CallError::VersionCap { .. })), "{version:?}: {refused:?}");
        let refused = at(&client, None, version).call::<()>(&Context::new(), "cast_note", json!({"x": 1})).await;
        assert!(matches!(refused, Err(CallError::VersionCap { .. })), "{version:?}: {refused:?}");
    }
    let allowed: String = at(&client, None, Some("1.1")).call(&Context::new(), "no_arguments", ()).await.unwrap();
    assert_eq!(allowed, "none");
    assert_eq!(server.ok(json!({"op": "seen"})).await, json!([]), "nothing of the rest was sent");
}

#[tokio::test]
async fn python_refuses_what_is_above_the_version_cap() {
    let vhost = TestVhost::new().await;
    let server = Twin::start(&vhost.url(), "s1").await;
    let mut client = python_client(&vhost.url()).await;
    for version in [json!("1.2"), json!("2.0"), Value::Null] {
        let order = with(call("cast_note", json!({"x": 1})), json!({"version": version, "version_cap": "1.1"}));
        assert_eq!(client.error(order).await["class"], "RPCVersionCapError", "{version}");
    }
    let order = with(call("no_arguments", json!({})), json!({"version": "1.1", "version_cap": "1.1"}));
    assert_eq!(client.ok(order).await, "none");
    assert!(server.seen().is_empty());
}

/// Both clients answer the same to every pair of version and cap.
#[tokio::test]
async fn both_clients_agree_on_what_they_can_send() {
    let vhost = TestVhost::new().await;
    let client = rust_client(&vhost.url()).await;
    let mut python = python_client(&vhost.url()).await;
    for cap in ["1.0", "1.4", "1.4.2", "2.0", "0.3"] {
        for version in ["1.0", "1.3", "1.4", "1.4.1", "1.4.3", "1.5", "2.0", "2.1", "0.3", "0.2"] {
            let order = json!({"op": "can_send_version", "version": version, "version_cap": cap});
            let ours = client.prepare().version_cap(cap).can_send_version(Some(version));
            assert_eq!(python.ok(order).await, ours, "version {version} under cap {cap}");
        }
    }
}
