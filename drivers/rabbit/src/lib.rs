//! AMQP 0-9-1 for oxlo, by lapin: `rabbit://`, wire-compatible with Python's oslo.messaging.
//!
//! Users need only [`RabbitDriver`], and [`RabbitOptions`] to set options by their types. The files, by what happens in
//! them:
//!
//! | file | holds |
//! |---|---|
//! | `config`, `options`, `builder` | the URL's options, the list of them all, setting them by their types |
//! | `topology`, `queue_name`, `properties`, `error` | names and declarations; properties and bodies of messages; errors (pure) |
//! | `oslo_codec` | oslo's messages in those bodies (pure) |
//! | `connection` | the session: one incarnation of a connection |
//! | `control` | the control plane, by lapin: handshake, channels, declarations |
//! | `stream` | the data plane on the socket under lapin: frames, guard, per-channel receivers |
//! | `publish`, `acks`, `settling` | the data plane above it: publishing with confirms, acknowledgements |
//! | `consume`, `self_check`, `resend` | receiving messages, checking their bindings, sending them to their queue again |
//! | `replies`, `reply_queue` | the replies to the calls of others, and to our own |
//! | `transport` | all of it as one [`Broker`](oxlo_driver_kit::broker::Broker) |
//!
//! # The border to lapin
//!
//! lapin is the control plane: handshake, channels, declarations, consumers, heartbeats. The data plane, messages with
//! their confirms, returns and acknowledgements, is the driver's own, on the same socket. `stream` and the pure modules
//! name no type of lapin; `lapin_internals` lists what the driver assumes about lapin beyond its documentation.

#[cfg(feature = "__fuzz")]
#[doc(hidden)]
#[path = "fuzz.rs"]
pub mod __fuzz;
mod acks;
mod builder;
mod config;
mod connection;
mod consume;
mod control;
mod error;
mod lapin_internals;
mod listeners;
mod options;
mod oslo_codec;
mod properties;
mod publish;
mod queue_name;
mod replies;
mod reply_queue;
mod resend;
mod sabotage;
mod self_check;
mod settling;
mod stream;
mod topology;
mod transport;

pub use builder::{Compression, DeclareMismatch, FailoverStrategy, LoginMethod, RabbitOptions, TlsVersion};
pub use options::options_table;
use oxlo_driver_kit::lateness;
pub use transport::RabbitDriver;

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
