//! Contracts, endpoints and typed errors through the facade, on `memory://`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod arguments;
mod calculator;
mod endpoint;
mod errors;
mod hygiene;
mod refusals;
mod rolling_upgrade;
mod typed;
