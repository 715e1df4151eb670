//! The effect of `#[serde(..)]` on an argument, on both sides.

use std::collections::{BTreeMap, HashMap};

use oxlo::{Context, HandlerError, RPCServer, RunningServer, Target, Transport};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::calculator::bus;

type Labels = BTreeMap<String, i64>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub limit: Option<u32>,
    #[serde(rename = "from", default)]
    pub marker: String,
}

/// Encoded as a string, as some Python services do.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&value.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

mod optional_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|it| it.to_string()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|it| it.parse().map_err(D::Error::custom)).transpose()
    }
}

#[oxlo::contract(version = "1.2")]
pub trait Store {
    async fn map(&self, ctxt: &Context, a: i64, #[serde(flatten)] rest: HashMap<String, i64>) -> Value;

    async fn alias_of_map(&self, ctxt: &Context, #[serde(flatten)] rest: Labels) -> Value;

    async fn page(&self, ctxt: &Context, #[serde(rename = "class")] kind: &str, #[serde(flatten)] page: Page) -> Value;

    async fn borrowed_page(&self, ctxt: &Context, #[serde(flatten)] page: &Page) -> Value;

    async fn named(
        &self,
        ctxt: &Context,
        #[serde(rename = "type", alias = "kind")] what: String,
        #[serde(default = "two")] factor: i64,
        #[serde(default)] words: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] note: Option<String>,
        plain: Option<i64>,
    ) -> Value;

    async fn with(
        &self,
        ctxt: &Context,
        #[serde(with = "as_text")] a: i64,
        #[rpc(name = "bee")]
        #[serde(serialize_with = "as_text::serialize", deserialize_with = "as_text::deserialize")]
        b: i64,
        #[rpc(since = "1.1")]
        #[serde(with = "optional_text")]
        c: Option<i64>,
    ) -> Value;

    async fn risky(&self, ctxt: &Context, expected: bool) -> Result<i64, HandlerError>;
}

fn two() -> i64 {
    2
}

struct Shelf;

impl Store for Shelf {
    async fn map(&self, _ctxt: &Context, a: i64, rest: HashMap<String, i64>) -> Value {
        json!([a, rest])
    }

    async fn alias_of_map(&self, _ctxt: &Context, rest: Labels) -> Value {
        json!(rest)
    }

    async fn page(&self, _ctxt: &Context, kind: &str, page: Page) -> Value {
        json!([kind, page])
    }

    async fn borrowed_page(&self, _ctxt: &Context, page: &Page) -> Value {
        json!(page)
    }

    async fn named(
        &self,
        _ctxt: &Context,
        what: String,
        factor: i64,
        words: Vec<String>,
        note: Option<String>,
        plain: Option<i64>,
    ) -> Value {
        json!([what, factor, words, note, plain])
    }

    async fn with(&self, _ctxt: &Context, a: i64, b: i64, c: Option<i64>) -> Value {
        json!([a, b, c])
    }

    async fn risky(&self, _ctxt: &Context, expected: bool) -> Result<i64, HandlerError> {
        let failure = oxlo::Failure::builtin("KeyError", "no such thing");
        if expected { Err(HandlerError::expected(failure)) } else { Err(failure.into()) }
    }
}

async fn pair(transport: std::sync::Arc<dyn Transport>, topic: &str) -> (RunningServer, StoreClient) {
    let server = RPCServer::builder(transport.clone(), Target::topic(topic).server("one"))
        .endpoint(StoreEndpoint::new(Shelf))
        .start()
        .await
        .unwrap();
    (server, StoreClient::new(transport, Target::topic(topic)))
}

/// The arguments of the generated client arrive, and so do hand-written ones of a Python client; unknown arguments are
/// refused.
async fn flattened_arguments_travel(transport: std::sync::Arc<dyn Transport>, topic: &str) {
    let (_server, client) = pair(transport, topic).await;
    let ctxt = Context::new();
    let rest = HashMap::from([("x".to_owned(), 4)]);
    assert_eq!(client.map(&ctxt, 1, rest).await.unwrap(), json!([1, {"x": 4}]));
    assert_eq!(client.alias_of_map(&ctxt, Labels::from([("y".to_owned(), 5)])).await.unwrap(), json!({"y": 5}));
    let page = || Page { limit: Some(3), marker: "m".into() };
    assert_eq!(client.page(&ctxt, "disk", page()).await.unwrap(), json!(["disk", {"limit": 3, "from": "m"}]));
    assert_eq!(client.borrowed_page(&ctxt, &page()).await.unwrap(), json!({"limit": 3, "from": "m"}));

    let rpc = client.rpc();
    let by_hand: Value = rpc.call(&ctxt, "map", json!({"a": 1, "x": 2, "y": 3})).await.unwrap();
    assert_eq!(by_hand, json!([1, {"x": 2, "y": 3}]));
    let by_hand: Value = rpc.call(&ctxt, "page", json!({"class": "disk", "from": "m"})).await.unwrap();
    assert_eq!(by_hand, json!(["disk", {"limit": null, "from": "m"}]));
    let error = rpc.call::<Value>(&ctxt, "page", json!({"class": "disk", "form": "m"})).await.unwrap_err();
    assert!(
        error.to_string().contains("page() got an unexpected argument 'form'; it takes class, limit, from"),
        "{error}"
    );
    let error = rpc.call::<Value>(&ctxt, "borrowed_page", json!({"other": 1})).await.unwrap_err();
    assert!(error.to_string().contains("an unexpected argument 'other'"), "{error}");
}

#[tokio::test]
async fn flattened_arguments_travel_on_memory() {
    flattened_arguments_travel(bus("arguments-flatten").await, "store").await;
}

#[cfg(feature = "brokers")]
#[tokio::test]
async fn flattened_arguments_travel_on_rabbit() {
    let vhost = oxlo_test_support::TestVhost::new().await;
    let transport = oxlo::connect(vhost.url()).await.unwrap();
    flattened_arguments_travel(transport.clone(), "store").await;
    transport.close().await;
}

#[tokio::test]
async fn names_and_defaults_are_those_of_the_attributes() {
    let (_server, client) = pair(bus("arguments-names").await, "store").await;
    let ctxt = Context::new();
    let sent = client.named(&ctxt, "disk".into(), 3, vec!["a".into()], Some("n".into()), Some(1)).await.unwrap();
    assert_eq!(sent, json!(["disk", 3, ["a"], "n", 1]));
    let absent = client.named(&ctxt, "disk".into(), 3, vec![], None, None).await.unwrap();
    assert_eq!(absent, json!(["disk", 3, [], null, null]));

    let rpc = client.rpc();
    for name in ["type", "kind"] {
        let defaults: Value = rpc.call(&ctxt, "named", json!({name: "disk"})).await.unwrap();
        assert_eq!(defaults, json!(["disk", 2, [], null, null]), "{name}");
    }
    let error = rpc.call::<Value>(&ctxt, "named", json!({"what": "disk"})).await.unwrap_err();
    assert!(error.to_string().contains("unexpected argument 'what'"), "{error}");
}

#[tokio::test]
async fn functions_write_and_read_arguments() {
    let (_server, client) = pair(bus("arguments-with").await, "store").await;
    let ctxt = Context::new();
    assert_eq!(client.with(&ctxt, 1, 2, Some(3)).await.unwrap(), json!([1, 2, 3]));
    assert_eq!(client.with(&ctxt, 1, 2, None).await.unwrap(), json!([1, 2, null]));
    let by_hand: Value = client.rpc().call(&ctxt, "with", json!({"a": "1", "bee": "2"})).await.unwrap();
    assert_eq!(by_hand, json!([1, 2, null]), "older clients do not send what came later");
    let error = client.rpc().call::<Value>(&ctxt, "with", json!({"a": 1, "bee": "2"})).await.unwrap_err();
    assert!(!error.is_no_such_method() && error.to_string().contains("with()"), "{error}");
}

#[tokio::test]
async fn a_contract_may_fail_with_a_handler_error() {
    let (_server, client) = pair(bus("arguments-handler-error").await, "store").await;
    for expected in [true, false] {
        let error = client.risky(&Context::new(), expected).await.unwrap_err();
        let Some(HandlerError::Failure(failure)) = error.failed() else { panic!("{error}") };
        assert_eq!((failure.class.as_str(), failure.message.as_str()), ("KeyError", "no such thing"));
        assert!(error.may_have_run());
    }
}
