//! The RPC client of oxlo: call, cast, start, prepare.
//!
//! An [`RPCClient`] runs methods on the servers of a [`Target`](oxlo_transport::Target). A [`call`](RPCClient::call) waits for the result, a
//! [`cast`](RPCClient::cast) does not, [`start`](RPCClient::start) keeps several calls in flight, and
//! [`prepare`](RPCClient::prepare) derives a client with another target or other options. Errors are [`CallError`]s,
//! which tell whether the method [may have run](CallError::may_have_run) and whether a retry is sensible.
//!
//! The client is independent of the broker: it takes an `Arc<dyn Transport>`.
//!
//! ```
//! use std::time::Duration;
//!
//! use oxlo_transport::{Context, Target};
//! use oxlo_client::RPCClient;
//! use serde_json::json;
//! # use oxlo_driver_memory::MemoryDriver;
//! # use oxlo_transport::{Payload, Registry, Reply};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let transport = Registry::new().with(MemoryDriver).transport("memory://lib").connect().await?;
//! # let mut listener = transport.listen(&Target::topic("calculator").server("node-7"), &Default::default()).await?;
//! # tokio::spawn(async move {
//! #     while let Ok(delivery) = listener.recv().await {
//! #         delivery.settle.ack();
//! #         let args: std::collections::BTreeMap<String, i64> = delivery.message.args.decode().unwrap_or_default();
//! #         let sum = Payload::encode(&args.values().sum::<i64>()).expect("a number");
//! #         if let Some(replier) = delivery.replier { let _ = replier.reply(Reply::Result(sum)).await; }
//! #     }
//! # });
//!
//! let client = RPCClient::new(transport, Target::topic("calculator").version("1.2"));
//! let ctxt = Context::new().with("request_id", "req-1");
//!
//! let sum: i64 = client.call(&ctxt, "add", json!({"a": 1, "b": 2})).await?;
//! assert_eq!(sum, 3);
//!
//! client.prepare().fanout(true).cast(&ctxt, "reload", json!({"force": true})).await?;
//!
//! let on_one_server = client.prepare().server("node-7").timeout(Duration::from_secs(5));
//! let sum: i64 = on_one_server.call(&ctxt, "add", json!({"a": 3, "b": 4})).await?;
//! assert_eq!(sum, 7);
//! # Ok(()) }
//! ```
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `opentelemetry` | no | the trace of a `tracing-opentelemetry` span travels in the request context |
//! | `oslo-metrics` | no | datagrams for the collector of oslo.metrics |

mod contract;
mod error;
mod listeners;
mod middleware;
#[cfg(feature = "oslo-metrics")]
mod oslo_metrics;
mod pending;
mod prepare;
mod remote_failure;
mod reply;
mod request_info;
mod routing;
mod rpc_client;
mod telemetry;
mod validate;

pub use oxlo_macros::{RemoteErrorOfClient as RemoteError, contract_of_client as contract};
pub use oxlo_transport::RemoteError;

pub use crate::{
    contract::{MethodError, PendingMethod},
    error::CallError,
    middleware::{BoxError, CallRequest, CallService},
    pending::PendingCall,
    remote_failure::RemoteFailure,
    request_info::{CallKind, RequestInfo},
    rpc_client::RPCClient,
};

/// Used by the code that the macros generate. Not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use oxlo_transport::__private as remote;
    pub use serde;

    pub use crate::contract::private as client;
}

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
