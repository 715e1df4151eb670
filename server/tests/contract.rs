//! Contracts and endpoints with `oxlo-server` as the only crate.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod fake;

use fake::{Fake, target};
use oxlo_server::{Method, RPCServer, RemoteError};
use oxlo_transport::{Context, Failure, Reply};
use serde_json::json;

#[derive(Debug, thiserror::Error, RemoteError)]
#[remote(module = "acme.errors")]
enum Acme {
    #[error("no {key}")]
    NotFound { key: String },
}

#[oxlo_server::contract(version = "1.1")]
trait Store {
    async fn get(&self, ctxt: &Context, key: &str) -> Result<String, Acme>;
}

struct Empty;

impl Store for Empty {
    async fn get(&self, _ctxt: &Context, key: &str) -> Result<String, Acme> {
        Err(Acme::NotFound { key: key.to_owned() })
    }
}

#[oxlo_server::endpoint(version = "2.0")]
impl Empty {
    #[rpc]
    async fn name(&self, _: &Context, #[extract] Method(name): Method) -> String {
        name.to_string()
    }
}

#[tokio::test]
async fn both_are_served() {
    let fake = Fake::new();
    let _server = RPCServer::builder(fake.clone(), target())
        .endpoint(StoreEndpoint::new(Empty))
        .endpoint(Empty)
        .start()
        .await
        .unwrap();
    let expected = Failure::new("acme.errors", "NotFound", "no k").with_kwarg("key", "k");
    assert_eq!(fake.request("get", json!({"key": "k"})).send().reply().await, Reply::Failure(Box::new(expected)));
    assert_eq!(fake.request("name", json!({})).version("2.0").send().result::<String>().await, "name");
}
