//! oslo.messaging for Rust: versioned RPC and notifications over a message broker, with drivers selected by URL scheme,
//! wire-compatible with Python's oslo.messaging.
//!
//! ```
//! use oxlo::{Args, Context, Endpoint, Failure, RPCClient, RPCServer, Target};
//! use serde_json::json;
//!
//! #[derive(serde::Deserialize)]
//! struct Add {
//!     a: i64,
//!     b: i64,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = oxlo::connect("memory://docs").await?;
//!
//! let calculator = Endpoint::new("1.2")
//!     .method("add", async |_ctxt: Context, Args(args): Args<Add>| Ok::<_, Failure>(args.a + args.b));
//! let server = RPCServer::builder(transport.clone(), Target::topic("calculator").server("node-7"))
//!     .endpoint(calculator)
//!     .start()
//!     .await?;
//!
//! let client = RPCClient::new(transport, Target::topic("calculator").version("1.2"));
//! let sum: i64 = client.call(&Context::new(), "add", json!({"a": 1, "b": 2})).await?;
//! assert_eq!(sum, 3);
//!
//! server.stop();
//! server.wait().await?;
//! # Ok(()) }
//! ```
//!
//! # Drivers
//!
//! | scheme | broker | cargo feature |
//! |---|---|---|
//! | `memory://name` | none: an in-process bus | `memory` (default) |
//! | `rabbit://`, `rabbits://` (TLS), `kombu://` | RabbitMQ, AMQP 0-9-1 | `rabbit` (default) |
//! | `amqp://`, `amqps://` (TLS) | AMQP 1.0: ActiveMQ, RabbitMQ 3 with its plugin, RabbitMQ 4, routers | `amqp1` |
//!
//! Add further drivers with [`registry`] and [`Registry::with`](transport::Registry::with).
//!
//! # Cargo features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `memory` | yes | the driver for `memory://` |
//! | `rabbit` | yes | the driver for `rabbit://`, with TLS by rustls |
//! | `amqp1` | no | the driver for `amqp://`, with TLS by rustls |
//! | `testing` | no | `oxlo::testing`: services under test without a broker; for dev-dependencies |
//! | `opentelemetry` | no | propagation of `tracing-opentelemetry` spans in the request context |
//! | `oslo-metrics` | no | datagrams for the collector of oslo.metrics |
//! | `routing` | no | the notification driver `routing`, with rules in a YAML file |
//! | `tracing-layer` | no | log records as notifications |
//!
//! # Guide
//!
//! The [`guide`] covers concepts, a first service, versions, errors, delivery guarantees, deployment, middleware,
//! telemetry, testing, and the names of [oslo.messaging](guide::from_oslo) and [nameko](guide::from_nameko) with their
//! counterparts.

use std::sync::Arc;

#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(feature = "testing")]
pub mod testing;

pub use oxlo_client::{CallError, MethodError, RPCClient};
pub use oxlo_config::ProcessConfig;
pub use oxlo_macros::{RemoteError, contract, debug_handler, endpoint};
pub use oxlo_server::{
    AckPolicy, Args, Call, Ctxt, Endpoint, Extension, HandlerError, HandlerResult, RPCServer, RunningServer,
    ServeError, ShutdownSignal, State, shutdown_signal,
};
pub use oxlo_transport::{
    ConnectionState, Context, Deadline, Failure, Payload, RemoteError, RequestContext, Retry, Target, Transport,
    TransportBuilder, TransportError, Version,
};

/// Calls in flight, layers of a client, and the failures of servers.
pub mod client {
    pub use oxlo_client::{
        BoxError, CallKind, CallRequest, CallService, PendingCall, PendingMethod, RemoteFailure, RequestInfo,
    };
}

/// Configuration files, beside [`ProcessConfig`].
pub mod config {
    pub use oxlo_config::ProcessConfigError;
}

/// The builder and the report of a server, its layers, and further extractors of handlers.
pub mod server {
    pub use oxlo_server::{
        AbandonedRequest, AccessPolicy, BlockingHandler, BoxError, BuildError, CallService, Cancellation,
        FinishedRequest, FromCall, Handler, HandlerFuture, Method, Outcome, PING_METHOD, RPCServerBuilder, Redelivered,
        ServeReport, States, StopReason, no_such_method,
    };
}

/// What a driver, a transport around another, and their tests need: the rest of the vocabulary.
pub mod transport {
    #[cfg(feature = "oslo-metrics")]
    pub use oxlo_transport::oslo_metrics;
    pub use oxlo_transport::{
        Backoff, CallOptions, Caller, Capabilities, Cause, Credentials, DEFAULT_TIMEOUT, Deferral, Delivery, Driver,
        FromFailure, Host, KnownError, ListenOptions, ListenScope, Listener, NonFinite, OVERLOADED, OptionError,
        PendingReply, QueryReader, REMOTE_SUFFIX, Refusal, Registry, RemoteErrors, Removal, Replier, Reply, ReplySink,
        Request, RequestQueue, SERVER_MODULE, Secret, SendOptions, Serializer, SerializerError, Settings, Settle,
        Settlement, TIMED_OUT, TransportUrl, UrlError, VersionError, Wrap, budget, is_caused_by, jitter, json, limit,
        serialized, text, trace, wrap,
    };
}

/// Used by the code that the macros generate. Not part of the API.
#[doc(hidden)]
pub mod __private {
    pub use oxlo_client::__private::{client, remote, serde};
    pub use oxlo_server::__private::{served, server};
}

/// The in-process broker, with scripted faults and inspection of the bus for tests.
#[cfg(feature = "memory")]
pub use oxlo_driver_memory as memory;
/// The RabbitMQ driver, with typed options for [`TransportBuilder::options`].
#[cfg(feature = "rabbit")]
pub use oxlo_driver_rabbit as rabbit;

/// Notifications and events: the notifier with its drivers, and the listeners. See `docs/notifications.md`.
pub mod notify {
    pub use oxlo_config::NotificationsConfig;
    #[cfg(feature = "tracing-layer")]
    pub use oxlo_notify::LogLayer;
    pub use oxlo_notify::{
        BatchEndpoint, BatchListener, BatchListenerBuilder, Body, BoxError, BuildNotifierError, DriverError,
        EventDispatcher, EventDispatcherBuilder, EventListener, EventListenerBuilder, EventType, ExtractError, Filter,
        FilterError, FromNotification, HandlerError, HandlerFuture, HandlerResult, Incoming, IntoNotificationResult,
        ListenError, ListenReport, Log, Messaging, Metadata, Noop, NotificationDriver, NotificationEndpoint,
        NotificationHandler, NotificationListener, NotificationListenerBuilder, NotificationResult, Notifier,
        NotifierBuilder, NotifierStats, NotifyError, OnError, Overflow, PublisherId, Receipt, Received, Recorder,
        Redaction, RunningEventListener, RunningListener, Subscription, Tries, Unsent,
    };
    #[cfg(feature = "routing")]
    pub use oxlo_notify::{Routing, RoutingError, RoutingProblem};
    pub use oxlo_transport::{Notification, NotificationFormat, Priority, UnknownPriority};

    /// Starts building the transport of notifications from a configuration: as [`configured`](crate::configured), with the
    /// `transport_url` in `[oslo_messaging_notifications]` if it is set.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use oxlo::notify::{self, Notifier};
    ///
    /// let config = oxlo::ProcessConfig::new().file("/etc/nova/nova.conf")?.environment()?;
    /// let transport = notify::configured(&config)?.connect().await?;
    /// let notifier = Notifier::configured("compute.host-1", &transport, &config)?.build()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ProcessConfig::notification_transport`](crate::ProcessConfig::notification_transport).
    pub fn configured(config: &crate::ProcessConfig) -> Result<crate::TransportBuilder, crate::TransportError> {
        config.notification_transport(&crate::registry())
    }
}

/// The drivers of this build, by scheme.
#[must_use]
pub fn registry() -> transport::Registry {
    let registry = transport::Registry::new();
    #[cfg(feature = "memory")]
    let registry = registry.with(oxlo_driver_memory::MemoryDriver);
    #[cfg(not(feature = "memory"))]
    let registry = registry.with_absent("memory", "memory");
    #[cfg(feature = "rabbit")]
    let registry = registry.with(oxlo_driver_rabbit::RabbitDriver);
    #[cfg(not(feature = "rabbit"))]
    let registry =
        registry.with_absent("rabbit", "rabbit").with_absent("rabbits", "rabbit").with_absent("kombu", "rabbit");
    #[cfg(feature = "amqp1")]
    let registry = registry.with(oxlo_driver_amqp1::Amqp1Driver);
    #[cfg(not(feature = "amqp1"))]
    let registry = registry.with_absent("amqp", "amqp1").with_absent("amqps", "amqp1");
    registry
}

/// Connects to the broker at `url`, with default [`Settings`](transport::Settings).
///
/// The first connection is attempted once on every host of the URL; a connection that is lost later is reconnected
/// automatically. Use [`builder`] and [`TransportBuilder::connect_retry`] to wait for a broker that is not available yet.
///
/// # Errors
///
/// [`TransportError::InvalidUrl`] and `UnknownScheme` for the URL, `InvalidOption` and `Config` for its options,
/// `Refused` for credentials, virtual host, TLS or protocol, `Unreachable` if no host answers.
pub async fn connect(url: impl Into<String>) -> Result<Arc<dyn Transport>, TransportError> {
    builder(url).connect().await
}

/// Starts building a transport from a configuration: oslo-style INI files and environment variables.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = oxlo::ProcessConfig::new().file("/etc/nova/nova.conf")?.environment()?;
/// let transport = oxlo::configured(&config)?.connect().await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`TransportError::InvalidUrl`] and `UnknownScheme`, and `Config` for invalid options. Errors in the section of the driver
/// are returned by [`TransportBuilder::connect`].
pub fn configured(config: &ProcessConfig) -> Result<TransportBuilder, TransportError> {
    config.transport(&registry())
}

/// Starts building a transport for `url`, with options beyond the URL: allowed remote modules, exchange, timeouts, limits.
#[must_use]
pub fn builder(url: impl Into<String>) -> TransportBuilder {
    registry().transport(url)
}

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
