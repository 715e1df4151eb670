//! The vocabulary of oxlo and the [`Transport`] trait.
//!
//! This crate depends on no broker. A driver implements [`Transport`] and [`Driver`]; a client or a server holds an
//! `Arc<dyn Transport>` and does not depend on the broker behind it.
//!
//! | module | contents |
//! |---|---|
//! | [`target`], [`version`], [`context`], [`payload`], [`message`], [`failure`] | messages and their parts |
//! | [`deadline`] | the time at which a caller stops waiting |
//! | [`options`], [`error`], [`text`] | options of an operation, its errors, and the text of errors |
//! | [`transport`], [`listener`], [`registry`], [`url`], [`settings`] | transports, and how to create one |
//! | `oslo_metrics` (cargo feature `oslo-metrics`) | datagrams for oslo.metrics |
//! | [`json`] | a bounded, lenient JSON decoder and a strict encoder |
//! | [`backoff`], [`budget`] | delays between attempts, and the memory budget of a listener |
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `opentelemetry` | no | the trace of a `tracing-opentelemetry` span travels in the request context |
//! | `oslo-metrics` | no | datagrams for the collector of oslo.metrics |

pub mod backoff;
pub mod budget;
pub mod context;
pub mod deadline;
pub mod error;
pub mod failure;
pub mod json;
pub mod limit;
pub mod listener;
pub mod message;
pub mod options;
#[cfg(feature = "oslo-metrics")]
pub mod oslo_metrics;
pub mod payload;
mod pending_reply;
pub mod registry;
pub mod request_context;
pub mod request_queue;
pub mod serializer;
pub mod settings;
pub mod target;
pub mod text;
pub mod trace;
pub mod transport;
pub mod url;
pub mod version;
pub mod wrap;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use crate::{
    context::Context,
    deadline::Deadline,
    error::TransportError,
    failure::Failure,
    listener::{Deferral, Delivery, Listener, Replier, Settle, Settlement},
    message::{Notification, Priority, Reply, Request},
    options::{CallOptions, ListenOptions, ListenScope, Retry, SendOptions},
    payload::Payload,
    pending_reply::PendingReply,
    registry::{Driver, Registry, TransportBuilder},
    request_context::RequestContext,
    request_queue::{Removal, RequestQueue},
    serializer::{Serializer, SerializerError, serialized},
    settings::Settings,
    target::Target,
    transport::{Capabilities, ConnectionState, Transport},
    url::TransportUrl,
    version::Version,
};

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
