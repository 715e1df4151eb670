//! The test harness: real RabbitMQ nodes, vhosts on a shared node, Python peers, and a TCP proxy that injects faults.
//!
//! Everything started here ends with the test: on drop, on panic, and by the kernel's parent-death signal when the test process is
//! killed. The system's own services are left alone: nodes run on leased ports in their own temporary folder with their own epmd and cookie.
//!
//! Functions of this crate panic instead of returning errors, with a message that says what to install or what the broker logged:
//! a test whose requirements are missing must fail.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::missing_panics_doc)]

mod admin;
mod amqp1;
mod authority;
mod broker;
mod builder;
mod captured;
mod cluster;
mod control;
mod folder;
mod footprint;
mod history;
mod installation;
mod lag;
mod mute;
mod node;
mod ports;
mod process;
mod proxy;
mod pump;
mod python;
mod rerun;
mod vhost;
mod wait;

pub use admin::{BindingInfo, ConnectionInfo, ExchangeInfo, QueueInfo, VhostAdmin, without_default_type, without_ids};
pub use amqp1::{Amqp1Broker, Amqp1Product};
pub use authority::{Authority, Validity};
pub use broker::Broker;
pub use builder::{BrokerBuilder, TlsMaterial};
pub use captured::{CapturedLog, LogLine};
pub use cluster::Cluster;
pub use control::Control;
pub use footprint::{Footprint, io_threads, peak_resident, resident};
pub use history::{Event, History, Outcome, Record, Rules, Summary};
pub use installation::RabbitVersion;
pub use lag::Lag;
pub use mute::MutePeer;
pub use ports::PortLease;
pub use proxy::{Direction, FaultProxy, Hangup, Mode};
pub use python::PythonPeer;
pub use rerun::{runs_alone, verdict};
pub use vhost::{SharedBroker, TestVhost};
pub use wait::{eventually, port_opens, settled};
