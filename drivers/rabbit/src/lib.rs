//! AMQP 0-9-1 for oxlo, by lapin: `rabbit://`, wire-compatible with Python's oslo.messaging.
//!
//! Users need only [`RabbitDriver`], and [`RabbitOptions`] to set options by their types. The files, by what happens in them:
//!
//! | file | holds |
//! |---|---|
//! | `config`, `options`, `builder` | the URL's options, the list of them all, setting them by their types |
//! | `topology`, `properties`, `codec`, `error` | names and declarations; properties of messages; reading them; errors (pure) |
//! | `names` | stable names of queues, held by a socket |
//! | `stream` | the socket under lapin: the guard against hostile headers, messages and confirms |
//! | `connection`, `channels` | the session: one incarnation of a connection, and its channels |
//! | `declare`, `publish`, `confirms` | declaring and publishing, and the outcome of it |
//! | `consume`, `settling`, `acks`, `resend` | taking messages, settling them, sending them to their queue again |
//! | `replies`, `reply_queue` | the replies to the calls of others, and to our own |
//! | `transport` | all of it as one [`Broker`](oxlo_driver_kit::broker::Broker) |

#[cfg(feature = "__fuzz")]
#[doc(hidden)]
#[path = "fuzz.rs"]
pub mod __fuzz;
mod acks;
mod blame;
mod builder;
mod channels;
mod codec;
mod config;
mod confirms;
mod connection;
mod consume;
mod declare;
mod error;
mod lane;
mod listeners;
mod names;
mod options;
mod properties;
mod publish;
mod received;
mod replies;
mod reply_queue;
mod resend;
mod sabotage;
mod salvage;
mod self_check;
mod settling;
mod stream;
mod topology;
mod transport;

pub use builder::{Compression, DeclareMismatch, FailoverStrategy, LoginMethod, RabbitOptions, TlsVersion};
pub use options::options_table;
use oxlo_driver_kit::lateness;
pub use transport::RabbitDriver;
