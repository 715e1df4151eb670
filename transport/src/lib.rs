//! The vocabulary of oxlo and the [`Transport`] trait.
//!
//! This crate depends on no broker. A driver implements [`Transport`] and [`Driver`]; a client or a server holds an
//! `Arc<dyn Transport>` and does not depend on the broker behind it.
//!
//! The root has the vocabulary, the traits, options and errors. Modules hold what fewer users need:
//!
//! | module | contents |
//! |---|---|
//! | [`json`] | a bounded, lenient JSON decoder and a strict encoder |
//! | [`text`], [`limit`] | foreign text in errors and logs: escaped, bounded, rate limited |
//! | [`trace`] | the W3C trace context in a request's context |
//! | [`budget`] | the memory budget of a listener |
//! | `oslo_metrics` (cargo feature `oslo-metrics`) | datagrams for oslo.metrics |
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `opentelemetry` | no | the trace of a `tracing-opentelemetry` span travels in the request context |
//! | `oslo-metrics` | no | datagrams for the collector of oslo.metrics |

mod backoff;
pub mod budget;
mod context;
mod deadline;
mod error;
mod failure;
pub mod json;
pub mod limit;
mod listener;
mod message;
mod options;
#[cfg(feature = "oslo-metrics")]
pub mod oslo_metrics;
mod payload;
mod pending_reply;
mod registry;
mod request_context;
mod request_queue;
mod serializer;
mod settings;
mod target;
pub mod text;
pub mod trace;
mod transport;
mod url;
mod version;
mod wrap;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;

pub use crate::{
    backoff::{Backoff, jitter},
    context::Context,
    deadline::Deadline,
    error::{Cause, Refusal, TransportError, is_caused_by},
    failure::{Failure, OVERLOADED, REMOTE_SUFFIX, SERVER_MODULE, TIMED_OUT},
    listener::{Caller, Deferral, Delivery, Listener, Replier, ReplySink, Settle, Settlement},
    message::{Notification, NotificationFormat, Priority, Reply, Request, UnknownPriority},
    options::{CallOptions, DEFAULT_TIMEOUT, ListenOptions, ListenScope, Retry, SendOptions},
    payload::Payload,
    pending_reply::PendingReply,
    registry::{Driver, Registry, TransportBuilder},
    request_context::RequestContext,
    request_queue::{Removal, RequestQueue},
    serializer::{Serializer, SerializerError, serialized},
    settings::{FromFailure, KnownError, NonFinite, RemoteError, RemoteErrors, Settings},
    target::Target,
    transport::{Capabilities, ConnectionState, Transport},
    url::{Credentials, Host, OptionError, QueryReader, Secret, TransportUrl, UrlError},
    version::{Version, VersionError},
    wrap::{Wrap, wrap},
};

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
