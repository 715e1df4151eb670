//! `#[derive(RemoteError)]`.

use std::sync::Arc;

use oxlo::{CallError, Context, Endpoint, Failure, RPCClient, RPCServer, RemoteError, Target, Transport};
use serde_json::{Value, json};

#[derive(Debug, PartialEq, thiserror::Error, RemoteError)]
#[remote(module = "shop.exceptions")]
enum ShopError {
    #[error("closed")]
    Closed,
    #[error("closed for good")]
    ClosedForGood(),
    #[error("no {item} for {buyer:?}")]
    #[remote(class = "ItemNotFound")]
    NotFound {
        item: String,
        #[remote(name = "for")]
        buyer: Option<String>,
        #[remote(skip)]
        seen: u32,
    },
    #[error("{0} of {1}")]
    Short(u32, u32),
    #[error("{0}")]
    #[remote(module = "builtins", class = "ValueError")]
    Invalid(#[remote(message)] String),
    #[error("{text}")]
    Other {
        #[remote(message)]
        text: String,
        code: i32,
    },
}

#[derive(Debug, PartialEq, thiserror::Error, RemoteError)]
#[error("over quota by {by}")]
#[remote(module = "quota", class = "OverQuota")]
struct Quota {
    by: u64,
}

fn every() -> Vec<ShopError> {
    vec![
        ShopError::Closed,
        ShopError::ClosedForGood(),
        ShopError::NotFound { item: "tea".into(), buyer: Some("al".into()), seen: 0 },
        ShopError::NotFound { item: "tea".into(), buyer: None, seen: 0 },
        ShopError::Short(1, 2),
        ShopError::Invalid("no".into()),
        ShopError::Other { text: "odd".into(), code: 7 },
    ]
}

#[test]
fn every_variant_goes_there_and_back() {
    for error in every() {
        let failure = error.to_failure();
        assert_eq!(failure.message, error.to_string());
        assert_eq!(ShopError::from_failure(&failure).as_ref(), Some(&error), "{failure:?}");
    }
    let quota = Quota { by: 3 };
    assert_eq!(Quota::from_failure(&quota.to_failure()), Some(quota));
}

#[test]
fn failures_are_what_python_re_creates_classes_from() {
    let failure = ShopError::NotFound { item: "tea".into(), buyer: Some("al".into()), seen: 9 }.to_failure();
    assert_eq!((failure.module.as_str(), failure.class.as_str()), ("shop.exceptions", "ItemNotFound"));
    assert_eq!(failure.args, [json!("no tea for Some(\"al\")")]);
    assert_eq!(Value::Object(failure.kwargs), json!({"item": "tea", "for": "al"}));

    let failure = ShopError::Short(1, 2).to_failure();
    assert_eq!((failure.args, failure.kwargs.len()), (vec![json!(1), json!(2)], 0));

    let failure = ShopError::Invalid("no".into()).to_failure();
    assert_eq!((failure.module.as_str(), failure.class.as_str()), ("builtins", "ValueError"));
    assert_eq!(failure.args, [json!("no")]);

    let failure = ShopError::Closed.to_failure();
    assert_eq!(failure.args, [json!("closed")]);
}

#[test]
fn what_does_not_fit_stays_opaque() {
    let good = ShopError::NotFound { item: "tea".into(), buyer: None, seen: 0 }.to_failure();
    let mut without = good.clone();
    without.kwargs.remove("item");
    assert_eq!(ShopError::from_failure(&without), None);
    assert_eq!(ShopError::from_failure(&good.clone().with_kwarg("item", 7)), None);
    let mut optional = good.clone();
    optional.kwargs.remove("for");
    assert!(ShopError::from_failure(&optional).is_some());
    let mut elsewhere = good;
    elsewhere.module = "other.exceptions".into();
    assert_eq!(ShopError::from_failure(&elsewhere), None);
    let python2 = Failure::new("exceptions", "ValueError", "no");
    assert_eq!(ShopError::from_failure(&python2), Some(ShopError::Invalid("no".into())));
}

async fn failing(transport: &Arc<dyn Transport>) -> CallError {
    let endpoint = Endpoint::new("1.0")
        .method("buy", async || Err::<(), _>(ShopError::NotFound { item: "tea".into(), buyer: None, seen: 1 }));
    let server = RPCServer::builder(transport.clone(), Target::topic("shop").server("node-1")).endpoint(endpoint);
    let _server = server.start().await.unwrap();
    let client = RPCClient::new(transport.clone(), Target::topic("shop"));
    client.call::<()>(&Context::new(), "buy", ()).await.unwrap_err()
}

#[tokio::test]
async fn a_registered_type_comes_back_and_another_module_stays_opaque() {
    let transport = oxlo::builder("memory://errors-known")
        .remote_error::<ShopError>()
        .remote_error::<Quota>()
        .connect()
        .await
        .unwrap();
    let error = failing(&transport).await;
    assert_eq!(
        error.downcast_ref::<ShopError>(),
        Some(&ShopError::NotFound { item: "tea".into(), buyer: None, seen: 0 })
    );
    assert!(error.downcast_ref::<Quota>().is_none());

    let transport = oxlo::connect("memory://errors-opaque").await.unwrap();
    match failing(&transport).await {
        CallError::Remote { failure, .. } => {
            assert_eq!((failure.class(), failure.module()), ("ItemNotFound", "shop.exceptions"));
        }
        other => panic!("{other:?}"),
    }
}
