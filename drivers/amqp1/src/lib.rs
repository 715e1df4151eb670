//! AMQP 1.0 for oxlo, by fe2o3-amqp: `amqp://` and `amqps://`, wire-compatible with the AMQP 1.0 driver that Python's
//! oslo.messaging had up to 14.9.
//!
//! Users need only [`Amqp1Driver`]. The files, by what happens in them:
//!
//! | file | holds |
//! |---|---|
//! | `config`, `address`, `error` | the URL's options; addresses on each broker; errors (pure) |
//! | `message`, `oslo_codec` | messages: their sections, and oslo's JSON in them (pure) |
//! | `encoding` | encoded values: written, and read without recursion |
//! | `stream` | the socket under fe2o3-amqp: the guard against invalid frames, channel numbers, batched writes |
//! | `connection`, `sessions` | one incarnation of a connection; its sessions and their links |
//! | `publish` | publishing, with an outcome for each message |
//! | `consume`, `receive`, `resend` | receiving messages, settling them, sending them to their address again |
//! | `management` | declarations on RabbitMQ 4 |
//! | `replies`, `reply_queue` | the replies to the calls of others, and to our own |
//! | `transport` | all of it as one [`Broker`](oxlo_driver_kit::broker::Broker) |
//!
//! `fe2o3_internals` lists what the driver assumes about fe2o3-amqp beyond its documentation.
//!
//! # Brokers
//!
//! The broker says what it is when it opens the connection, and that decides how addresses are written; the option
//! `address_profile` decides instead (`qpid`, `router`, `activemq`, `rabbitmq`, `rabbitmq4`), and `addressing_mode`
//! (`legacy`, `routable`) asks for oslo's own addresses, to meet Python peers that have the same option. On ActiveMQ
//! that is `addressing_mode=legacy&broadcast_prefix=topic://broadcast`, which is what the profile `activemq` comes to.
//!
//! On RabbitMQ 4 queues are declared as they are needed, by its management over AMQP 1.0, and addresses are of version
//! 2: one that nobody serves is noticed at once, and what belongs to one process goes with it or expires after half an
//! hour. On RabbitMQ 3, and on RabbitMQ 4 with `address_profile=rabbitmq` (to meet services that run so), addresses are
//! of version 1 and queues are never deleted: give them a policy that lets them expire, `rabbitmqctl set_policy expire
//! '.*' '{"expires":1800000}' --apply-to queues`.
//!
//! Beside the TTL nothing tells a server how long its caller waits: `absolute-expiry-time`, which the Python driver
//! fills with a time in 1970, is neither written nor read.

#[cfg(feature = "__fuzz")]
#[doc(hidden)]
#[path = "fuzz.rs"]
pub mod __fuzz;
mod address;
mod config;
mod connection;
mod consume;
mod encoding;
mod error;
mod fe2o3_internals;
mod management;
mod message;
mod oslo_codec;
mod publish;
mod receive;
mod replies;
mod reply_queue;
mod resend;
mod sessions;
mod stream;
mod transport;

pub use transport::Amqp1Driver;

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
