//! Rows of the fault matrix that both suites run; the row's own test says what differs.

pub mod admin;
pub mod away;
pub mod broker;
pub mod connect;
pub mod network;
pub mod process;
