//! Bad input: what a served contract refuses, and how a client reads what does not fit.

use oxlo::{CallError, Context, Endpoint, Failure, RPCServer, Target};
use serde_json::{Value, json};

use crate::calculator::{bus, pair};

/// The class and the text that a request with these arguments ends with.
async fn refusal(name: &str, ctxt: &Context, method: &str, args: Value) -> (String, String) {
    let (_abacus, _server, client) = pair(name).await;
    let error = client.rpc().call::<Value>(ctxt, method, args).await.unwrap_err();
    let remote = error.remote().expect("a failure of the method");
    (remote.original_class().to_owned(), remote.message().to_owned())
}

#[tokio::test]
async fn an_unknown_argument_names_itself() {
    let (class, text) = refusal("unknown", &Context::new(), "add", json!({"a": 1, "b": 2, "carry": 3})).await;
    assert_eq!(class, "TypeError");
    assert_eq!(text, "add() got an unexpected argument 'carry'; it takes a, b");
}

#[tokio::test]
async fn so_it_does_where_a_method_takes_none() {
    let (class, text) = refusal("none", &Context::new(), "nothing", json!({"x": 1})).await;
    assert_eq!(class, "TypeError");
    assert_eq!(text, "nothing() got an unexpected argument 'x'; it takes none");
}

#[tokio::test]
async fn a_missing_argument_is_named() {
    let (class, text) = refusal("missing", &Context::new(), "divide", json!({"dividend": 1})).await;
    assert_eq!(class, "TypeError");
    assert!(text.starts_with("divide(): ") && text.contains("\"divisor\" is missing"), "{text}");
}

#[tokio::test]
async fn a_context_that_does_not_fit_is_a_type_error() {
    let (class, text) = refusal("ctxt", &Context::new(), "whoami", json!({})).await;
    assert_eq!(class, "TypeError");
    assert!(text.starts_with("whoami(): its context does not fit: ") && text.contains("`project_id`"), "{text}");
}

#[tokio::test]
async fn a_result_of_another_type_names_method_and_place() {
    #[oxlo::contract(version = "1.0", namespace = "math", client)]
    trait Wrong {
        #[rpc(name = "joinAll")]
        async fn join(&self, ctxt: &Context, words: Vec<String>) -> Vec<u8>;
    }

    let (_abacus, _server, client) = pair("decode").await;
    let wrong = WrongClient::over(client.into_rpc());
    let error = wrong.join(&Context::new(), vec!["a".into()]).await.unwrap_err();
    assert!(matches!(error, CallError::Decode { .. }), "{error}");
    assert!(error.to_string().starts_with("call `joinAll` on calculator"), "{error}");
}

#[tokio::test]
async fn the_place_is_a_path_through_the_json() {
    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Disk {
        size: u64,
    }

    #[oxlo::contract(version = "1.0", client)]
    trait Disks {
        async fn list(&self, ctxt: &Context) -> Vec<Disk>;
    }

    let transport = bus("path").await;
    let endpoint =
        Endpoint::new("1.0").method("list", async || Ok::<_, Failure>(json!([{"size": 1}, {"size": "SECRET"}])));
    let _server =
        RPCServer::builder(transport.clone(), Target::topic("disks").server("a")).endpoint(endpoint).start().await;
    let error = DisksClient::new(transport, Target::topic("disks")).list(&Context::new()).await.unwrap_err();
    assert!(matches!(&error, CallError::Decode { path, .. } if &**path == "[1].size"), "{error:?}");
    let told = error.to_string();
    assert!(told.starts_with("call `list` on disks") && told.ends_with(" at `[1].size`"), "{told}");
    assert!(!told.contains("SECRET"), "{told}");
}
