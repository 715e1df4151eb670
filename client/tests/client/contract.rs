//! The requests that a contract's client sends, with `oxlo-client` as the only crate.

use oxlo_client::{CallError, MethodError, RemoteError};
use oxlo_transport::{Context, Failure, Target};
use serde::Serialize;
use serde_json::json;

use crate::fake::{Fake, ctxt};

#[derive(Debug, PartialEq, thiserror::Error, RemoteError)]
#[remote(module = "store.exceptions")]
#[error("no {key}")]
struct NotFound {
    key: String,
}

#[oxlo_client::contract(version = "1.3", namespace = "store")]
trait Store {
    async fn get(
        &self,
        ctxt: &Context,
        key: &str,
        #[rpc(since = "1.3")] newest: Option<bool>,
        #[rpc(since = "1.2", droppable, name = "trace-id")] trace: Option<u8>,
    ) -> Result<i64, NotFound>;

    #[rpc(since = "1.1", cast, fanout, name = "dropAll")]
    async fn drop_all(&self, ctxt: &Tenant);
}

#[derive(Serialize)]
struct Tenant {
    project_id: &'static str,
}

fn store(fake: &std::sync::Arc<Fake>) -> StoreClient {
    StoreClient::new(fake.clone(), Target::topic("store"))
}

#[tokio::test]
async fn a_request_names_the_lowest_version_it_needs() {
    let fake = Fake::new();
    let open = store(&fake);
    for (cap, newest, trace, version, args) in [
        (None, None, None, "1.0", r#"{"key":"k"}"#),
        (None, None, Some(1), "1.2", r#"{"key":"k","trace-id":1}"#),
        (None, Some(true), None, "1.3", r#"{"key":"k","newest":true}"#),
        (None, Some(true), Some(1), "1.3", r#"{"key":"k","newest":true,"trace-id":1}"#),
        (Some("1.1"), None, Some(1), "1.0", r#"{"key":"k"}"#),
        (Some("1.2"), None, Some(1), "1.2", r#"{"key":"k","trace-id":1}"#),
    ] {
        let client = match cap {
            Some(cap) => open.prepare(|it| it.version_cap(cap)),
            None => open.clone(),
        };
        fake.answers(&json!(7));
        assert_eq!(client.get(&ctxt(), "k", newest, trace).await.unwrap(), 7);
        let handed = fake.only();
        assert_eq!((handed.request.version.as_deref(), handed.args()), (Some(version), args), "cap {cap:?}");
        assert_eq!(handed.request.namespace.as_deref(), Some("store"));
    }
    let capped = open.prepare(|it| it.version_cap("1.2"));
    let error = capped.get(&ctxt(), "k", Some(true), None).await.unwrap_err();
    assert!(matches!(error, MethodError::Call(CallError::VersionCap { .. })), "{error}");
    assert!(fake.handed().is_empty());
}

#[tokio::test]
async fn a_custom_context_is_sent_as_an_object() {
    let fake = Fake::new();
    store(&fake).drop_all(&Tenant { project_id: "p-1" }).await.unwrap();
    let handed = fake.only();
    assert_eq!(handed.request.context, Context::new().with("project_id", "p-1"));
    assert_eq!((&*handed.request.method, handed.request.version.as_deref()), ("dropAll", Some("1.1")));
    assert!(handed.to.fanout);
}

#[tokio::test]
async fn only_the_declared_error_is_recognised() {
    let fake = Fake::new();
    fake.fails(NotFound { key: "k".into() }.to_failure());
    let error = store(&fake).get(&ctxt(), "k", None, None).await.unwrap_err();
    assert_eq!(error.failed(), Some(&NotFound { key: "k".into() }));

    fake.fails(Failure::new("store.exceptions", "NotFound", "no k"));
    let error = store(&fake).get(&ctxt(), "k", None, None).await.unwrap_err();
    assert!(matches!(error.call(), Some(CallError::Remote { .. })), "without its arguments it is opaque: {error}");

    fake.fails(Failure::new("other.exceptions", "NotFound", "no k").with_kwarg("key", "k"));
    let error = store(&fake).start_get(&ctxt(), "k", None, None).await.unwrap().await.unwrap_err();
    assert!(matches!(error.call(), Some(CallError::Remote { .. })), "{error}");
}
