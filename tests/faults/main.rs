//! The fault matrix of `docs/reliability.md`: each test has its row's number, and ends with the history checker.
#![allow(clippy::result_large_err, reason = "a method of the service fails with a Failure")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc, clippy::cast_possible_truncation)]

mod admin;
mod away;
mod broker;
mod child;
mod cluster;
mod connect;
mod hostile;
mod limits;
mod memory;
mod mismatch;
mod network;
mod process;
mod refused;
mod replies;
mod sabotage;
mod scene;
mod surroundings;
