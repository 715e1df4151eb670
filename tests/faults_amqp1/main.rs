//! The rows of the fault matrix of `docs/reliability.md` that make sense over AMQP 1.0, on real brokers; each under the
//! row's number, and ending with the history checker where calls are made.
#![allow(clippy::result_large_err, reason = "a method of the service fails with a Failure")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, clippy::cast_possible_truncation)]

mod admin;
mod broker;
#[path = "../faults/child.rs"]
#[allow(dead_code, reason = "it is shared with the fault tests of rabbit://")]
mod child;
mod connect;
#[path = "../faults/kit.rs"]
#[allow(dead_code, reason = "it is shared with the fault tests of rabbit://")]
mod kit;
mod network;
mod process;
mod stage;
