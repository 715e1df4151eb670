//! oxlo's RPC client: call, cast, prepare.
//!
//! An [`RPCClient`] asks the servers of a [`Target`] to run a method. A [`call`](RPCClient::call) waits for its result,
//! a [`cast`](RPCClient::cast) does not, [`start`](RPCClient::start) lets several calls be on their way at once, and
//! [`prepare`](RPCClient::prepare) derives a client that goes elsewhere or waits differently. What goes wrong is a
//! [`CallError`], whose variants go by phase, because a caller's next question is whether the method
//! [may have run](CallError::may_have_run).
//!
//! The client knows no broker: it is given an `Arc<dyn Transport>`.
//!
//! ```
//! use std::time::Duration;
//!
//! use oxlo_client::{Context, RPCClient, Target};
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

#[doc(hidden)]
pub mod able;
mod answers;
mod check;
mod contract;
mod error;
mod failure;
mod listeners;
mod middleware;
#[cfg(feature = "oslo-metrics")]
mod oslo_metrics;
mod outcome;
mod pending;
mod prepare;
mod remote;
mod routing;
mod rpc_client;
mod site;
mod telemetry;

pub use crate::{
    contract::{MethodError, PendingMethod},
    error::CallError,
    middleware::{BoxError, CallRequest, CallService},
    pending::PendingCall,
    remote::Remote,
    rpc_client::RPCClient,
    site::{CallKind, CallSite},
};
pub use oxlo_macros::{RemoteErrorOfClient as RemoteError, contract_of_client as contract};
pub use oxlo_transport::{Context, Deadline, Retry, Target, settings::RemoteError};

/// What the attributes' code calls. No part of the API.
#[doc(hidden)]
pub mod __private {
    pub use oxlo_transport::__private as remote;
    pub use serde;

    pub use crate::{able, contract::private as client};
}
