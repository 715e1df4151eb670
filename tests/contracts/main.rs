//! Contracts, endpoints and typed errors through the facade, on `memory://`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod calculator;
mod endpoint;
mod errors;
mod refusals;
mod rolling_upgrade;
mod typed;
