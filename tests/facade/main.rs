//! The facade on `memory://`: contracts, middleware, the testing kit, nested calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, missing_docs, unreachable_pub)]

mod contracts;
mod metrics_list;
mod middleware;
mod nested;
mod testing;
