//! The vocabulary of oxlo and the [`Transport`] trait.
//!
//! This crate knows no broker. A driver implements [`Transport`] and [`Driver`]; a client or a server holds an
//! `Arc<dyn Transport>` and never learns which broker carries its messages.
//!
//! | module | holds |
//! |---|---|
//! | [`target`], [`version`], [`context`], [`payload`], [`message`], [`failure`] | what is said |
//! | [`deadline`] | when a caller stops waiting |
//! | [`events`] | what publish-subscribe calls things on a broker |
//! | [`options`], [`error`], [`text`] | how it is sent, how that fails, and what its errors are made of |
//! | [`transport`], [`listener`], [`registry`], [`url`], [`settings`] | who carries it |
//! | `oslo_metrics` (cargo feature `oslo-metrics`) | the datagrams of oslo.metrics |
//! | [`json`] | a bounded JSON reader and a strict writer |
//! | [`backoff`], [`budget`] | delays between attempts, and the memory that a listener may hold |

pub mod backoff;
pub mod budget;
pub mod context;
pub mod deadline;
pub mod error;
pub mod events;
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
