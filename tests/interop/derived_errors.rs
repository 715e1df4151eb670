//! `#[derive(RemoteError)]` with the matching classes of `interop_errors.py`.

use std::sync::Arc;

use oxlo::{
    CallError, Context, Endpoint, Failure, MethodError, RPCClient, RPCServer, RemoteError, RunningServer, Target,
    Transport,
};
use oxlo_test_support::TestVhost;
use serde_json::{Value, json};

use crate::fixture::{Ask, SOON, TOPIC, call, client_on, connect, python_client, python_server, with};

const MODULE: &str = "interop_errors";

#[derive(Clone, Debug, PartialEq, thiserror::Error, RemoteError)]
#[remote(module = "interop_errors")]
enum ShopError {
    #[error("no {item} for {buyer}")]
    NotFound {
        item: String,
        #[remote(name = "for")]
        buyer: String,
    },
    #[error("{text}")]
    #[remote(class = "Boom")]
    Broken {
        #[remote(message)]
        text: String,
        code: i64,
        detail: Option<String>,
    },
    #[error("{0}")]
    Plain(#[remote(message)] String),
    #[error("{0} of {1}")]
    Short(u32, u32),
    #[error("{0}")]
    #[remote(module = "builtins", class = "KeyError")]
    Unknown(#[remote(message)] String),
}

fn every() -> [(&'static str, ShopError); 5] {
    [
        ("not_found", ShopError::NotFound { item: "tea".into(), buyer: "al".into() }),
        ("boom", ShopError::Broken { text: "tea".into(), code: 7, detail: Some("d".into()) }),
        ("plain", ShopError::Plain("tea".into())),
        ("short", ShopError::Short(1, 2)),
        ("key", ShopError::Unknown("tea".into())),
    ]
}

fn kind(kind: &str) -> Value {
    json!({"kind": kind, "message": "tea"})
}

async fn failed(client: &RPCClient, kind_of: &str) -> CallError {
    client.call::<Value>(&Context::new(), "fail", kind(kind_of)).await.unwrap_err()
}

#[tokio::test]
async fn what_python_raises_arrives_as_the_variant() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let transport = oxlo::builder(vhost.url()).remote_error::<ShopError>().connect().await.unwrap();
    let client = client_on(&transport);
    for (name, wanted) in every() {
        let error = failed(&client, name).await;
        // What Python's text is of its own KeyError; the variant's own text would be taken for the message.
        let wanted = if name == "key" { ShopError::Unknown("'tea'".into()) } else { wanted };
        assert_eq!(error.downcast_ref::<ShopError>(), Some(&wanted), "{name}: {error:?}");
        assert!(error.may_have_run(), "{name}");
    }
    // A keyword argument that the variant can do without.
    let chained = client.call::<()>(&Context::new(), "fail_chained", ()).await.unwrap_err();
    let wanted = ShopError::Broken { text: "outer".into(), code: 8, detail: None };
    assert_eq!(chained.downcast::<ShopError>().unwrap(), wanted);
    // An unknown class, or one of another module, does not become a variant.
    for name in ["value", "local"] {
        assert!(failed(&client, name).await.downcast_ref::<ShopError>().is_none(), "{name}");
    }
}

#[tokio::test]
async fn what_python_raises_is_opaque_where_the_type_is_not_registered() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = client_on(&connect(&vhost.url()).await);
    let classes = [("not_found", "NotFound"), ("boom", "Boom"), ("plain", "Plain"), ("short", "Short")];
    for (name, class) in classes {
        match failed(&client, name).await {
            CallError::Remote { failure, .. } => assert_eq!((failure.class(), failure.module()), (class, MODULE)),
            other => panic!("{name}: {other:?}"),
        }
    }
}

async fn failing(transport: &Arc<dyn Transport>) -> RunningServer {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    let endpoint = Endpoint::new("1.2").method("fail", async |oxlo::Args(it): oxlo::Args<Kind>| {
        let found = every().into_iter().find(|(name, _)| *name == it.kind);
        found.map_or(Ok(()), |(_, error)| Err::<(), _>(error))
    });
    RPCServer::builder(transport.clone(), Target::topic(TOPIC).server("s1")).endpoint(endpoint).start().await.unwrap()
}

#[tokio::test]
async fn a_variant_arrives_in_python_as_the_class_it_knows() {
    let vhost = TestVhost::new().await;
    let _server = failing(&connect(&vhost.url()).await).await;
    let mut client = python_client(&vhost.url()).await;
    let cases = [
        ("not_found", "NotFound", json!(["no tea for al"]), json!({"item": "tea", "for": "al"})),
        ("boom", "Boom", json!(["tea"]), json!({"code": 7, "detail": "d"})),
        ("plain", "Plain", json!(["tea"]), json!({})),
        ("short", "Short", json!([1, 2]), json!({})),
    ];
    for (name, class, args, kwargs) in cases {
        let allowed = with(call("fail", kind(name)), json!({"allowed_remote_exmods": [MODULE]}));
        let error = client.error(allowed).await;
        assert_eq!(
            (&error["class"], &error["module"]),
            (&json!(format!("{class}_Remote")), &json!("interop_errors_Remote"))
        );
        assert_eq!(error["bases"][0], format!("{MODULE}.{class}"), "`except {class}` catches it: {error}");
        assert_eq!((&error["args"], &error["kwargs"]), (&args, &kwargs), "{name}");

        let opaque = client.error(call("fail", kind(name))).await;
        assert_eq!((&opaque["class"], &opaque["exc_type"]), (&json!("RemoteError"), &json!(class)), "{name}");
    }
    // Built-in classes are always allowed.
    let error = client.error(call("fail", kind("key"))).await;
    assert_eq!((&error["class"], &error["module"]), (&json!("KeyError"), &json!("builtins")));
}

/// The methods of `server.py`, and its twin, that fail.
#[oxlo::contract(version = "1.2")]
trait Failing {
    async fn fail(&self, ctxt: &Context, kind: String, message: String) -> Result<(), ShopError>;
}

struct Twin;

impl Failing for Twin {
    async fn fail(&self, _: &Context, kind: String, _: String) -> Result<(), ShopError> {
        every().into_iter().find(|(name, _)| *name == kind).map_or(Ok(()), |(_, error)| Err(error))
    }
}

#[tokio::test]
async fn a_contract_over_python_has_its_errors_typed_without_registering_them() {
    let vhost = TestVhost::new().await;
    let _server = python_server(&vhost.url(), "s1").await;
    let client = FailingClient::over(client_on(&connect(&vhost.url()).await));
    for (name, wanted) in every().into_iter().take(4) {
        let error = client.fail(&Context::new(), name.into(), "tea".into()).await.unwrap_err();
        assert_eq!(error.failed(), Some(&wanted), "{name}: {error:?}");
    }
    let other = client.fail(&Context::new(), "local".into(), "tea".into()).await.unwrap_err();
    assert!(matches!(other, MethodError::Call(CallError::Remote { .. })), "{other:?}");
}

#[tokio::test]
async fn a_contract_of_rust_raises_the_class_that_python_knows() {
    let vhost = TestVhost::new().await;
    let transport = connect(&vhost.url()).await;
    let server = RPCServer::builder(transport, Target::topic(TOPIC).server("s1"));
    let _server = server.endpoint(FailingEndpoint::new(Twin)).start().await.unwrap();
    let mut client = python_client(&vhost.url()).await;
    let allowed = with(call("fail", kind("not_found")), json!({"allowed_remote_exmods": [MODULE]}));
    let error = client.error(allowed).await;
    assert_eq!((&error["class"], &error["bases"][0]), (&json!("NotFound_Remote"), &json!("interop_errors.NotFound")));
    assert_eq!(error["kwargs"], json!({"item": "tea", "for": "al"}));
}

/// From Python through Rust to Python and back: `?` in the middle passes the raised class on.
#[tokio::test]
async fn a_variant_that_is_passed_on_is_the_class_that_was_raised() {
    let vhost = TestVhost::new().await;
    let url = vhost.url();
    let (_server, mut client) = tokio::join!(python_server(&url, "s1"), python_client(&url));
    let transport = connect(&url).await;
    let behind = FailingClient::over(RPCClient::new(transport.clone(), Target::topic(TOPIC)).timeout(SOON));
    let endpoint = Endpoint::new("1.0").with_state(behind).method(
        "forward",
        async |ctxt: Context, oxlo::State(behind): oxlo::State<FailingClient>| {
            Ok::<_, Failure>(behind.fail(&ctxt, "not_found".into(), "tea".into()).await?)
        },
    );
    let middle = RPCServer::builder(transport, Target::topic("middle").server("m1")).endpoint(endpoint);
    let _middle = middle.start().await.unwrap();
    let keys = json!({"topic": "middle", "allowed_remote_exmods": [MODULE]});
    let error = client.error(with(call("forward", json!({})), keys)).await;
    assert_eq!((&error["class"], &error["kwargs"]), (&json!("NotFound_Remote"), &json!({"item": "tea", "for": "al"})));
}
