//! Rows of the fault matrix that both suites run; each suite passes the differences.

pub mod admin;
pub mod away;
pub mod broker;
pub mod connect;
pub mod network;
pub mod process;
