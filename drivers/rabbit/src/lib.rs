//! AMQP 0-9-1 for oxlo, by lapin: `rabbit://`, wire-compatible with Python's oslo.messaging.
//!
//! Users need only [`RabbitDriver`]. The files, by what happens in them:
//!
//! | file | holds |
//! |---|---|
//! | `config`, `topology`, `properties`, `error` | the URL's options; names and declarations; properties of messages; errors (pure) |
//! | `stream` | the socket under lapin: dialling, TLS, the guard against hostile headers |
//! | `connection` | a supervised connection |
//! | `declare`, `publish`, `pump`, `returns` | sending, and knowing what became of it |
//! | `consume`, `acks`, `duplicates`, `request`, `notification` | taking messages, settling and answering them |
//! | `reply_queue` | the replies to our own calls |
//! | `transport` | all of it as one [`Transport`](oxlo_transport::Transport) |
//!
//! lapin logs a returned message with its body at level `warn`; keep its target (`lapin`) at `error` in production.

mod acks;
mod config;
mod connection;
mod consume;
mod declare;
mod duplicates;
mod error;
mod notification;
mod properties;
mod publish;
mod pump;
mod reply_queue;
mod request;
mod returns;
mod stream;
mod topology;
mod transport;

pub use transport::RabbitDriver;
