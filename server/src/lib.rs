//! oxlo's RPC server: endpoints, versions, dispatch.
//!
//! ```no_run
//! # async fn example(transport: std::sync::Arc<dyn oxlo_transport::Transport>) -> Result<(), oxlo_server::ServeError> {
//! use oxlo_server::{Args, Context, Endpoint, Failure, RPCServer, Target};
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
//! | module | holds |
//! |---|---|
//! | [`endpoint`], [`handler`], [`extract`], [`layer`], [`outcome`] | methods, what they take and what they give |
//! | [`server`], [`policy`], [`running`], [`report`], [`error`] | serving them, and how that ends |
//! | [`notifications`] | listeners for notifications and events |
//!
//! Metrics, by the `metrics` facade, all labelled with `topic`; a recorder has to be installed before the server
//! starts. `method` is the name of a registered method or `(unknown)`.
//!
//! | metric | labels | meaning |
//! |---|---|---|
//! | `oxlo_server_requests_total` | `method`, `outcome`: `result`, `failure`, `requeue`, `ignore`, `abandoned`, `expected_failure` | requests that ended |
//! | `oxlo_server_request_duration_seconds` | `method` | how long handlers ran |
//! | `oxlo_server_requests_in_flight` | | handlers that run at the moment |
//! | `oxlo_server_requests_expired_total` | | requests dropped because their caller had given up |
//! | `oxlo_server_replies_lost_total` | | replies that could not be delivered, without those that wait for their queue |
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `opentelemetry` | no | the trace of a `tracing-opentelemetry` span travels in the request context |
//! | `oslo-metrics` | no | datagrams for the collector of oslo.metrics |

pub mod call;
#[doc(hidden)]
pub mod contract;
pub mod endpoint;
pub mod error;
pub mod extract;
pub mod handler;
pub mod layer;
pub mod notifications;
pub mod outcome;
pub mod policy;
pub mod report;
pub mod running;
pub mod server;
pub mod states;

mod aside;
mod control;
#[doc(hidden)]
pub mod debug_handler;
mod dispatch;
mod flatten;
mod heartbeat;
mod log;
mod name;
mod oversight;
mod ping;
mod process;
mod refusal;
mod requeue;
mod run;
mod signals;
mod stall;
mod telemetry;
mod workers;

pub use crate::{
    call::{Call, Cancellation},
    dispatch::no_such_method,
    endpoint::Endpoint,
    error::{BuildError, ServeError},
    extract::{Args, Ctxt, Deadline, Extension, FromCall, Method, Redelivered, State},
    handler::{BlockingHandler, Handler},
    layer::{BoxError, CallService},
    outcome::{Answer, HandlerError},
    ping::PING_METHOD,
    policy::{AccessPolicy, AckPolicy},
    report::{Abandoned, Ended, Ran, ServeReport},
    running::RunningServer,
    server::{RPCServer, RPCServerBuilder},
    signals::{ShutdownSignal, shutdown_signal},
    states::States,
    telemetry::Ending,
};
pub use oxlo_macros::{
    RemoteErrorOfServer as RemoteError, contract_of_server as contract, debug_handler_of_server as debug_handler,
    endpoint_of_server as endpoint,
};
pub use oxlo_transport::{Context, Failure, Payload, Target, Version, settings::RemoteError};

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
