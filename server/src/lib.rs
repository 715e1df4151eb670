//! oxlo's RPC server: endpoints, versions, dispatch.
//!
//! ```no_run
//! # async fn example(transport: std::sync::Arc<dyn oxlo_transport::Transport>) -> Result<(), oxlo_server::ServeError> {
//! use oxlo_server::{Args, Endpoint, RPCServer};
//! use oxlo_transport::{Context, Failure, Target};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Divide {
//!     a: i64,
//!     b: i64,
//! }
//!
//! let calculator = Endpoint::new("1.2").method("divide", async |_ctxt: Context, Args(it): Args<Divide>| {
//!     it.a.checked_div(it.b).ok_or_else(|| Failure::builtin("ZeroDivisionError", "division by zero"))
//! });
//!
//! let report = RPCServer::builder(transport, Target::topic("calculator").server("node-7"))
//!     .endpoint(calculator)
//!     .serve_until(tokio::signal::ctrl_c())
//!     .await?;
//! println!("handled {} requests", report.handled);
//! # Ok(())
//! # }
//! ```
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `opentelemetry` | no | the trace of a `tracing-opentelemetry` span travels in the request context |
//! | `oslo-metrics` | no | datagrams for the collector of oslo.metrics |

#[doc(hidden)]
pub mod contract;

mod builder;
mod call;
#[doc(hidden)]
pub mod debug_handler;
mod endpoint;
mod error;
mod extract;
mod failures;
mod flatten;
mod handler;
mod heartbeat;
mod invoke;
mod layer;
mod log;
mod name;
mod outcome;
mod ping;
mod policy;
mod refusal;
mod report;
mod requests;
mod response;
mod result;
mod routes;
mod running;
mod server;
mod states;
mod telemetry;

pub use oxlo_macros::{
    RemoteErrorOfServer as RemoteError, contract_of_server as contract, debug_handler_of_server as debug_handler,
    endpoint_of_server as endpoint,
};
pub use oxlo_serving::{Redelivered, ShutdownSignal, StopReason, shutdown_signal};
pub use oxlo_transport::RemoteError;

pub use crate::{
    builder::RPCServerBuilder,
    call::{Call, Cancellation},
    endpoint::Endpoint,
    error::{BuildError, ServeError},
    extract::{Args, Ctxt, Extension, FromCall, Method, State},
    handler::{BlockingHandler, Handler, HandlerFuture},
    layer::{BoxError, CallService},
    outcome::{FinishedRequest, Outcome},
    ping::PING_METHOD,
    policy::{AccessPolicy, AckPolicy},
    report::{AbandonedRequest, ServeReport},
    result::{HandlerError, HandlerResult},
    routes::no_such_method,
    running::RunningServer,
    server::RPCServer,
    states::States,
};

/// Used by the code that the macros generate. Not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use oxlo_transport::__private as remote;
    pub use serde;

    pub use crate::{contract as server, debug_handler as served};
}

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
