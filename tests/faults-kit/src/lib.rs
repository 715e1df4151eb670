//! Shared by both fault suites, `tests/faults` on `rabbit://` and `tests/faults_amqp1` on `amqp://`.
//!
//! * [`Stage`]: a server and a caller, each on its own transport, whose actions are recorded; closing it checks for leaks
//!   and checks the history against the invariants.
//! * [`Caller`]: makes the calls and casts, one by one or as [`Traffic`].
//! * [`child`]: the same parts as processes that can be killed.
//! * [`rows`]: rows of the fault matrix that both suites run; the differences are parameters.
//!
//! Brokers, proxies, certificates and the checker are in `oxlo-test-support`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, clippy::must_use_candidate)]
#![allow(clippy::result_large_err, reason = "a method of the service fails with a Failure")]
#![allow(clippy::missing_errors_doc, reason = "calls fail as those of RPCClient do")]

mod caller;
pub mod child;
pub mod rows;
mod service;
mod stage;

use std::time::Duration;

pub use caller::{Caller, Traffic};
pub use service::{leave_queue, service};
pub use stage::{Stage, pending_calls, ran, state};

/// The topic of the service.
pub const TOPIC: &str = "service";
/// Time limit for everything that takes moments unless something is broken.
pub const SOON: Duration = Duration::from_secs(20);
/// One second.
pub const SECOND: Duration = Duration::from_secs(1);
