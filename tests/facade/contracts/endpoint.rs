//! `#[endpoint]`: methods without a contract.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use oxlo::{Context, Failure, HandlerError, RPCClient, RPCServer, State, Target};
use serde_json::{Value, json};

use super::calculator::{Tenant, bus};

#[derive(Default)]
struct Counter {
    count: AtomicU64,
}

#[oxlo::endpoint(version = "1.1", namespace = "counters")]
impl Counter {
    /// Adds and gives the new count.
    #[rpc]
    async fn add(&self, _ctxt: &Context, #[serde(default = "Counter::one")] by: u64) -> Result<u64, Failure> {
        Ok(self.bump(by))
    }

    #[rpc(name = "is-odd", blocking)]
    fn is_odd(&self, ctxt: &Tenant, #[extract] State(offset): State<u64>) -> Result<String, HandlerError> {
        Ok(format!("{} {}", ctxt.project_id, (self.bump(0) + offset) % 2 == 1))
    }

    #[rpc(blocking)]
    fn count(&self, _ctxt: &Context) -> u64 {
        self.bump(0)
    }

    fn bump(&self, by: u64) -> u64 {
        self.count.fetch_add(by, Ordering::Relaxed) + by
    }

    fn one() -> u64 {
        1
    }
}

#[tokio::test]
async fn marked_methods_are_served_and_others_are_not() {
    let transport = bus("endpoint").await;
    let counter = Arc::new(Counter::default());
    let _server = RPCServer::builder(transport.clone(), Target::topic("counter").server("node-1"))
        .endpoint(Counter::shared_endpoint(counter.clone()).with_state(1u64))
        .start()
        .await
        .unwrap();
    let client = RPCClient::new(transport, Target::topic("counter").namespace("counters").version("1.1"));
    let ctxt = Context::new().with("project_id", "p-1");
    assert_eq!(client.call::<u64>(&ctxt, "add", json!({"by": 4})).await.unwrap(), 4);
    assert_eq!(client.call::<u64>(&ctxt, "add", ()).await.unwrap(), 5);
    assert_eq!(client.call::<u64>(&ctxt, "count", ()).await.unwrap(), 5);
    assert_eq!(client.call::<String>(&ctxt, "is-odd", ()).await.unwrap(), "p-1 false");
    for hidden in ["bump", "one", "is_odd", "shared_endpoint"] {
        let error = client.call::<Value>(&ctxt, hidden, json!({"by": 1})).await.unwrap_err();
        assert!(error.is_no_such_method(), "{hidden}: {error}");
    }
    assert_eq!(counter.count.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn a_value_is_an_endpoint_and_a_missing_state_is_named() {
    let transport = bus("endpoint-state").await;
    let error = RPCServer::builder(transport, Target::topic("counter").server("node-1"))
        .endpoint(Counter::default())
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "endpoint counters 1.1: method `is-odd` takes State<u64>; add it to the endpoint with `.with_state(..)`"
    );
}
