//! Builds a server.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use oxlo_serving::Limits;
use oxlo_transport::{ListenScope, Payload, Target, Transport, TransportError};
use tokio::{sync::Semaphore, time::Instant};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    call::Call,
    endpoint::Endpoint,
    error::{BuildError, ServeError},
    layer::{BoxError, CallService},
    outcome::{FinishedRequest, Observer},
    policy::AckPolicy,
    report::ServeReport,
    routes::RouteTable,
    running::RunningServer,
    server::RPCServer,
};

/// How many requests run at a time by default: oslo's `executor_thread_pool_size`.
const DEFAULT_CONCURRENCY: usize = 64;

const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Builds an [`RPCServer`]; see [`RPCServer::builder`].
#[must_use = "a builder does nothing until it serves"]
pub struct RPCServerBuilder {
    transport: Arc<dyn Transport>,
    target: Target,
    endpoints: Vec<Endpoint>,
    ping: bool,
    concurrency: usize,
    prefetch: Option<u16>,
    grace: Duration,
    policy: AckPolicy,
    scope: ListenScope,
    limits: Limits,
    redelivery_limit: Option<u32>,
    observer: Option<Observer>,
    layers: Option<CallService>,
}

impl fmt::Debug for RPCServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RPCServerBuilder")
            .field("target", &self.target)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl RPCServerBuilder {
    pub(crate) fn new(transport: Arc<dyn Transport>, target: Target) -> Self {
        Self {
            transport,
            target,
            endpoints: Vec::new(),
            ping: false,
            concurrency: DEFAULT_CONCURRENCY,
            prefetch: None,
            grace: DEFAULT_GRACE,
            policy: AckPolicy::default(),
            scope: ListenScope::default(),
            limits: Limits::default(),
            redelivery_limit: None,
            observer: None,
            layers: None,
        }
    }

    /// Adds an endpoint. A request is served by the first endpoint that offers its namespace, version and method.
    pub fn endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Wraps the handlers of all endpoints in a layer: any `tower` layer whose service takes a [`Call`] and gives a
    /// [`Payload`]. The last layer that was added sees a request first. Requests that no endpoint serves pass no layer.
    ///
    /// The caller receives the error of a layer: a [`HandlerError`](crate::HandlerError) or a
    /// [`Failure`](oxlo_transport::Failure) unchanged; load shedding, and a timeout before the method started, as
    /// [`Failure::overloaded`](oxlo_transport::Failure::overloaded); a timeout of a method that ran as
    /// [`Failure::timed_out`](oxlo_transport::Failure::timed_out); any other error as a `RuntimeError` with its text. A layer
    /// that waits holds a slot of the [`concurrency`](Self::concurrency).
    ///
    /// A layer whose service is not `Clone`, such as tower's `RateLimitLayer`, needs tower's `buffer` above it:
    /// `ServiceBuilder::new().buffer(64).rate_limit(10, second)`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oxlo_server::{BoxError, Call, Endpoint, RPCServer};
    /// use oxlo_transport::{Failure, Target};
    /// use tower::{filter::FilterLayer, timeout::TimeoutLayer};
    /// # async fn example(transport: std::sync::Arc<dyn oxlo_transport::Transport>) -> Result<(), oxlo_server::BuildError> {
    ///
    /// fn with_project(call: Call) -> Result<Call, BoxError> {
    ///     match call.request.context.get_str("project_id") {
    ///         Some(_) => Ok(call),
    ///         None => Err(Failure::builtin("PermissionError", "the context has no project_id").into()),
    ///     }
    /// }
    ///
    /// let server = RPCServer::builder(transport, Target::topic("calculator").server("node-7"))
    ///     .endpoint(Endpoint::new("1.0").method("ping", async || Ok::<_, Failure>("pong")))
    ///     .layer(TimeoutLayer::new(Duration::from_secs(5)))
    ///     .layer(FilterLayer::new(with_project))
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<CallService>,
        L::Service: Service<Call, Response = Payload> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<BoxError>,
        <L::Service as Service<Call>>::Future: Send + 'static,
    {
        self.layers = Some(CallService::layered(self.layers.take(), &layer));
        self
    }

    /// Sets how many requests run at a time. Default 64, oslo's `executor_thread_pool_size`; at least 1.
    ///
    /// Four times as many replies may be in flight beside them: a reply that the broker accepts slowly holds a handler's
    /// slot only beyond that number.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Sets how many requests the broker delivers before the first of them is acknowledged. Default twice the
    /// concurrency, so that the next request is available when a handler ends; at least 1.
    ///
    /// Under [`AckPolicy::AfterReply`] running requests count, so a value below the concurrency limits it.
    pub fn prefetch(mut self, requests: u16) -> Self {
        self.prefetch = Some(requests);
        self
    }

    /// Sets the grace period: how long methods may go on when the server stops. Default 30 s. Then they are dropped, and
    /// replies and acknowledgements have 5 s to leave.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets when requests are acknowledged. Default [`AckPolicy::BeforeDispatch`].
    pub fn ack_policy(mut self, policy: AckPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Stops the server gracefully when it has taken this many requests; at least 1. Further requests that were fetched
    /// return to the broker. [`ServeReport::taken`] reports how many were taken.
    pub fn max_requests(mut self, requests: u64) -> Self {
        self.limits.messages = Some(requests);
        self
    }

    /// Stops the server gracefully at this time.
    pub fn until(mut self, deadline: Instant) -> Self {
        self.limits.until = Some(deadline);
        self
    }

    /// Sets which requests of the topic are taken. Default [`ListenScope::Server`]: those for the topic, for this server by
    /// name, and for all servers.
    pub fn scope(mut self, scope: ListenScope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets how often a request may be redelivered before it is given up, so that a request that crashes its servers ends:
    /// its caller receives a `RuntimeError`, and the broker drops the request, or moves it to the dead-letter exchange of
    /// its queue. Default: no limit for redeliveries because a server ended. Needs [`AckPolicy::AfterReply`].
    ///
    /// Requests that a handler [requeues](crate::HandlerError::Requeue) count too, and without this setting are limited to
    /// 100 redeliveries. Where the broker does not count (RabbitMQ's classic queues), each redelivery costs a message and
    /// moves the request to the end of its queue.
    pub fn redelivery_limit(mut self, redeliveries: u32) -> Self {
        self.redelivery_limit = Some(redeliveries);
        self
    }

    /// Calls `observer` for every request that was dispatched and ended, before its reply is sent; for tests, audits and
    /// statistics. It must not block. A second observer replaces the first.
    pub fn observe(mut self, observer: impl Fn(FinishedRequest) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Sets whether the method [`oslo_rpc_server_ping`](crate::PING_METHOD) returns `"pong"`, in the null namespace, for
    /// any version and any arguments. Default `false`, oslo's `rpc_ping_enabled`. The method of an endpoint takes
    /// precedence.
    pub fn ping(mut self, enabled: bool) -> Self {
        self.ping = enabled;
        self
    }

    /// Builds the server, without contacting the broker.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: no endpoint, a target without topic or server or with fanout, a malformed
    /// version, two methods of one name in an endpoint, a method that an earlier endpoint hides, a missing state, an
    /// option out of range.
    pub fn build(self) -> Result<RPCServer, BuildError> {
        if self.target.fanout {
            let reason = format!(
                "`{}` is a fanout target, which is for clients; a server takes fanout casts anyway, so leave it out",
                self.target
            );
            return Err(BuildError::Target(TransportError::InvalidTarget { reason }));
        }
        let topic = match &self.scope {
            ListenScope::Queue(queue) => Ok(&queue.topic),
            ListenScope::Topic => self.target.require_topic(),
            _ => self.target.require_topic_and_server().map(|(topic, _)| topic),
        }
        .map_err(BuildError::Target)?;
        if self.limits.messages == Some(0) {
            let reason = "0 would take no request; set 1 or more, or leave it out for no limit";
            return Err(BuildError::Option { option: "max_requests", reason: reason.into() });
        }
        if self.redelivery_limit.is_some() && self.policy != AckPolicy::AfterReply {
            let reason =
                "requests are redelivered only under AckPolicy::AfterReply; set ack_policy(AckPolicy::AfterReply)";
            return Err(BuildError::Option { option: "redelivery_limit", reason: reason.into() });
        }
        if self.concurrency == 0 || self.concurrency > Semaphore::MAX_PERMITS {
            let reason =
                format!("{} is out of range; at least 1, which runs one request after the other", self.concurrency);
            return Err(BuildError::Option { option: "concurrency", reason });
        }
        let prefetch =
            self.prefetch.unwrap_or_else(|| u16::try_from(self.concurrency.saturating_mul(2)).unwrap_or(u16::MAX));
        if prefetch == 0 {
            let reason = "0 would fetch the whole queue into memory; leave it out for twice the concurrency";
            return Err(BuildError::Option { option: "prefetch", reason: reason.into() });
        }
        Ok(RPCServer {
            topic: topic.clone(),
            routes: Arc::new(RouteTable::new(self.endpoints, self.ping)?),
            transport: self.transport,
            target: self.target,
            concurrency: self.concurrency,
            prefetch,
            grace: self.grace,
            policy: self.policy,
            scope: self.scope,
            limits: self.limits,
            redelivery_limit: self.redelivery_limit,
            observer: self.observer,
            layers: self.layers,
        })
    }

    /// Builds and [serves until the process is asked to end](RPCServer::serve_until_signalled).
    ///
    /// # Errors
    ///
    /// [`ServeError::Build`], or as [`RPCServer::serve_until_signalled`].
    pub async fn serve_until_signalled(self) -> Result<ServeReport, ServeError> {
        self.build()?.serve_until_signalled().await
    }

    /// Builds and [starts](RPCServer::start).
    ///
    /// # Errors
    ///
    /// [`ServeError::Build`], or as [`RPCServer::start`].
    pub async fn start(self) -> Result<RunningServer, ServeError> {
        self.build()?.start().await
    }

    /// Builds and [serves until the transport is closed](RPCServer::serve).
    ///
    /// # Errors
    ///
    /// [`ServeError::Build`], or as [`RPCServer::serve`].
    pub async fn serve(self) -> Result<ServeReport, ServeError> {
        self.build()?.serve().await
    }

    /// Builds and [serves until `shutdown` resolves](RPCServer::serve_until).
    ///
    /// # Errors
    ///
    /// [`ServeError::Build`], or as [`RPCServer::serve_until`].
    ///
    /// # Cancel safety
    ///
    /// As [`RPCServer::serve_until`].
    pub async fn serve_until(self, shutdown: impl Future) -> Result<ServeReport, ServeError> {
        self.build()?.serve_until(shutdown).await
    }
}
