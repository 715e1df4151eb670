//! The client, on a transport that records what it is handed, and on `memory://`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake;

mod contract;
mod error_table;
mod errors;
mod flight;
mod memory;
mod passing_on;
mod prepare;
mod refusals;
mod remote;
mod routing;
mod version_cap;
