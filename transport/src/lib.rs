//! The vocabulary of oxlo, the [`Transport`] trait, and the components that drivers share.
//!
//! This crate depends on no broker. A driver implements [`Transport`] and [`Driver`]; a client or a server holds an
//! `Arc<dyn Transport>` and does not depend on the broker behind it.
//!
//! | module | contents |
//! |---|---|
//! | [`target`], [`version`], [`context`], [`payload`], [`message`], [`failure`] | messages and their parts |
//! | [`deadline`] | the time at which a caller stops waiting |
//! | [`events`] | names of exchanges, topics and pools for publish-subscribe |
//! | [`options`], [`error`], [`text`] | options of an operation, its errors, and the text of errors |
//! | [`transport`], [`listener`], [`registry`], [`url`], [`settings`] | transports, and how to create one |
//! | [`process_config`] | INI files and environment variables |
//! | `oslo_metrics` (cargo feature `oslo-metrics`) | datagrams for oslo.metrics |
//! | [`wire`] | oslo.messaging's JSON, as pure functions |
//! | [`parts`] | pending calls, duplicate filter, backoff, supervision |

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
pub mod deadline;
pub mod error;
pub mod events;
pub mod failure;
pub mod limit;
pub mod listener;
pub mod message;
pub mod options;
#[cfg(feature = "oslo-metrics")]
pub mod oslo_metrics;
pub mod parts;
pub mod payload;
pub mod process_config;
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
pub mod wire;
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
    process_config::{NotificationsConfig, ProcessConfig, ProcessConfigError},
    registry::{Driver, Registry, TransportBuilder},
    request_context::RequestContext,
    request_queue::{Removal, RequestQueue},
    serializer::{Serializer, SerializerError, serialized},
    settings::Settings,
    target::Target,
    transport::{Capabilities, ConnectionState, PendingReply, Transport},
    url::TransportUrl,
    version::Version,
};
