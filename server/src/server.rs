//! The server: what it is built from, and the ways to run it.

use std::{
    fmt,
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use oxlo_transport::{ListenOptions, ListenScope, Payload, Target, Transport, TransportError};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument;

use crate::{
    aside::due,
    call::Call,
    control::{Bounds, Command},
    dispatch::Dispatcher,
    endpoint::Endpoint,
    error::{BuildError, ServeError},
    layer::{BoxError, CallService},
    name::NameGuard,
    oversight::Oversight,
    policy::AckPolicy,
    process::{Observer, Shared},
    report::{Ran, ServeReport},
    run::Run,
    running::{self, RunningServer},
    signals,
    telemetry::Telemetry,
};

/// How many requests run at the same time unless told otherwise: oslo's `executor_thread_pool_size`.
const DEFAULT_CONCURRENCY: usize = 64;

const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Replies that may be on their way, as a multiple of the concurrency: enough that a pause of the broker does not stop
/// the handlers, few enough that memory stays bounded.
const REPLIES_PER_SLOT: usize = 4;

/// A server of one topic under one name: it takes the requests for the topic, those for this server by name, and those
/// for all servers of the topic.
///
/// It is built once and can be run again after it ended; several servers, also of several topics, can share one
/// transport. Cloning is cheap.
#[derive(Clone)]
pub struct RPCServer {
    transport: Arc<dyn Transport>,
    target: Target,
    topic: Arc<str>,
    dispatcher: Arc<Dispatcher>,
    concurrency: usize,
    prefetch: u16,
    grace: Duration,
    policy: AckPolicy,
    scope: ListenScope,
    bounds: Bounds,
    redelivery_limit: Option<u32>,
    observer: Option<Observer>,
    layers: Option<CallService>,
}

impl RPCServer {
    /// Starts to build a server. The target needs a topic and a server; its exchange is that of the transport unless
    /// it names one. Namespaces and versions are those of the endpoints.
    pub fn builder(transport: Arc<dyn Transport>, target: Target) -> RPCServerBuilder {
        RPCServerBuilder {
            transport,
            target,
            endpoints: Vec::new(),
            ping: false,
            concurrency: DEFAULT_CONCURRENCY,
            prefetch: None,
            grace: DEFAULT_GRACE,
            policy: AckPolicy::default(),
            scope: ListenScope::default(),
            bounds: Bounds::default(),
            redelivery_limit: None,
            observer: None,
            layers: None,
        }
    }

    /// Subscribes, and serves on a task of its own. When this returns, requests are being taken.
    ///
    /// # Errors
    ///
    /// [`ServeError::Listen`] if the broker cannot be listened on, [`ServeError::Build`] with
    /// [`BuildError::NameTaken`] if another server of this process has the topic and the name on this transport.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the subscription.
    pub async fn start(&self) -> Result<RunningServer, ServeError> {
        let (stop, force) = (CancellationToken::new(), CancellationToken::new());
        let (commands, inbox) = mpsc::unbounded_channel();
        let run = self.subscribe(inbox, &stop, force.clone()).await?;
        let ready = run.ready.subscribe();
        let (ended, end) = watch::channel(None);
        let (token, target) = (stop.clone(), self.target.to_string());
        let serve = async move {
            let end = run.until(token.cancelled()).await;
            ended.send_replace(Some(outcome(target, end)));
        };
        tokio::spawn(serve.in_current_span());
        let itself = running::itself(&self.target, &self.scope);
        let topic = running::topic(&self.target, &self.scope);
        let ends_itself = self.bounds.requests.is_some() || self.bounds.until.is_some();
        let oversight = Oversight::new(format!("server {}", self.name()), ends_itself);
        Ok(RunningServer {
            transport: self.transport.clone(),
            itself,
            topic,
            stop,
            force,
            commands,
            ready,
            end,
            oversight,
        })
    }

    /// Serves until the transport is closed.
    ///
    /// # Errors
    ///
    /// [`ServeError::Listen`] if the broker cannot be listened on, [`ServeError::Receive`] if the listener fails for
    /// good; lost connections come back by themselves and are no such failure.
    ///
    /// # Cancel safety
    ///
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve(&self) -> Result<ServeReport, ServeError> {
        self.serve_until(pending::<()>()).await
    }

    /// Serves until `shutdown` resolves, whatever it resolves to, or the transport is closed. Then nothing more is
    /// taken, what runs may finish within the grace, replies and acknowledgements leave, and the report says what was
    /// abandoned.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is the abrupt end: handlers are dropped where they wait, their callers get no reply, and
    /// under [`AckPolicy::AfterReply`] their requests go back to the broker.
    pub async fn serve_until(&self, shutdown: impl Future) -> Result<ServeReport, ServeError> {
        self.serve_until_forced(shutdown, pending::<()>()).await
    }

    /// Serves as [`serve_until`](Self::serve_until) does, and ends at once when `force` resolves: no grace for what
    /// still runs, which the report names.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    ///
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve_until_forced(
        &self,
        shutdown: impl Future,
        force: impl Future,
    ) -> Result<ServeReport, ServeError> {
        let (_, inbox) = mpsc::unbounded_channel();
        let (stop, forced) = (CancellationToken::new(), CancellationToken::new());
        let run = self.subscribe(inbox, &stop, forced.clone()).await?;
        let told = async {
            shutdown.await;
            stop.cancel();
        };
        let told_again = async {
            force.await;
            forced.cancel();
            stop.cancel();
            pending::<()>().await;
        };
        let serving = Box::pin(run.until(stop.cancelled()));
        tokio::select! {
            biased;
            end = serving => outcome(self.target.to_string(), end),
            () = async { tokio::join!(told, told_again); } => Err(ServeError::Cancelled),
        }
    }

    /// Serves until the process is asked to end, by SIGINT or SIGTERM (elsewhere by Ctrl-C), as
    /// [`shutdown_signal`](crate::shutdown_signal) says: the first time in order, as
    /// [`serve_until`](Self::serve_until), the second time at once.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve), and [`ServeError::Signals`] if signals cannot be listened to.
    ///
    /// # Cancel safety
    ///
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve_until_signalled(&self) -> Result<ServeReport, ServeError> {
        let signal = signals::shutdown_signal().map_err(|error| ServeError::Signals { source: Arc::new(error) })?;
        let again = signal.again();
        self.serve_until_forced(signal, again).await
    }

    /// What serves, for logs: `inventory as inventory-1`.
    fn name(&self) -> String {
        match (&self.scope, &self.target.server) {
            (ListenScope::Queue(queue), _) => queue.to_string(),
            (ListenScope::Topic, _) | (_, None) => self.topic.to_string(),
            (_, Some(server)) => format!("{} as {server}", self.topic),
        }
    }

    async fn subscribe(
        &self,
        commands: mpsc::UnboundedReceiver<Command>,
        stop: &CancellationToken,
        force: CancellationToken,
    ) -> Result<Run, ServeError> {
        let name = NameGuard::take(&self.transport, &self.target, &self.scope, stop)?;
        let options = ListenOptions::new()
            .with_prefetch(self.bounds.prefetch(self.prefetch, 0))
            .with_scope(self.scope.clone())
            .with_count_redeliveries(self.redelivery_limit.is_some())
            .with_deferrable(self.policy == AckPolicy::AfterReply);
        let listener = self
            .transport
            .listen(&self.target, &options)
            .await
            .map_err(|source| ServeError::Listen { target: self.target.to_string(), source })?;
        let listener = due(listener, &options);
        let ready = watch::Sender::new(listener.is_subscribed());
        let shared = Arc::new(Shared {
            dispatcher: self.dispatcher.clone(),
            topic: self.topic.clone(),
            name: self.name().into(),
            policy: self.policy,
            redelivery_limit: self.redelivery_limit,
            observer: self.observer.clone(),
            layers: self.layers.clone(),
            replies: Semaphore::new(self.concurrency.saturating_mul(REPLIES_PER_SLOT).min(Semaphore::MAX_PERMITS)),
            max_message_size: self.transport.settings().max_message_size,
            non_finite: self.transport.settings().non_finite,
            stopping: CancellationToken::new(),
            abandon: CancellationToken::new(),
            telemetry: Telemetry::new(&self.target, &self.topic, &self.dispatcher, self.transport.settings()),
        });
        Ok(Run {
            shared,
            transport: self.transport.clone(),
            target: self.target.clone(),
            options: options.with_prefetch(self.prefetch),
            listener: Some(listener),
            retired: Vec::new(),
            concurrency: self.concurrency,
            grace: self.grace,
            bounds: self.bounds,
            commands,
            ready,
            force,
            _name: name,
        })
    }
}

fn outcome(
    target: String,
    end: Result<ServeReport, (oxlo_transport::TransportError, Box<ServeReport>)>,
) -> Result<ServeReport, ServeError> {
    end.map_err(|(source, report)| ServeError::Receive { target, source, report })
}

impl fmt::Debug for RPCServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RPCServer")
            .field("target", &self.target)
            .field("dispatcher", &self.dispatcher)
            .field("concurrency", &self.concurrency)
            .field("prefetch", &self.prefetch)
            .field("grace", &self.grace)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// Sets what a server is made of.
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
    bounds: Bounds,
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
    /// Adds an endpoint. They are asked in this order, and the first that offers namespace, version and method serves.
    pub fn endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Wraps the handlers of all endpoints in a layer: any `tower` layer whose service takes a [`Call`] and gives a
    /// [`Payload`]. The last added sees a request first. Requests that no endpoint serves pass no layer.
    ///
    /// What a layer fails with goes to the caller: a [`HandlerError`](crate::HandlerError) or a
    /// [`Failure`](crate::Failure) as it is; load shedding, and a timeout before the method began, as
    /// [`Failure::overloaded`](crate::Failure::overloaded); a timeout of a method that ran as
    /// [`Failure::timed_out`](crate::Failure::timed_out); any other error as a `RuntimeError` with its text. A layer
    /// that waits holds one of the [`concurrency`](Self::concurrency)'s places.
    ///
    /// A layer whose service is not `Clone`, such as tower's `RateLimitLayer`, goes under tower's `buffer`:
    /// `ServiceBuilder::new().buffer(64).rate_limit(10, second)`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oxlo_server::{BoxError, Call, Endpoint, Failure, RPCServer, Target};
    /// use tower::{filter::FilterLayer, timeout::TimeoutLayer};
    /// # async fn example(transport: std::sync::Arc<dyn oxlo_transport::Transport>) -> Result<(), oxlo_server::BuildError> {
    ///
    /// fn with_project(call: Call) -> Result<Call, BoxError> {
    ///     match call.request.context.get_str("project_id") {
    ///         Some(_) => Ok(call),
    ///         None => Err(Failure::builtin("PermissionError", "the context names no project_id").into()),
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

    /// Sets how many requests run at the same time. Default 64, oslo's `executor_thread_pool_size`; at least 1.
    ///
    /// Beside them, four times as many replies may be on their way: a reply that the broker takes slowly holds no
    /// handler's place until that many do.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// Sets how many requests the broker hands out before the first of them is acknowledged. Default twice the
    /// concurrency, so that the next ones are here when a handler ends; at least 1.
    ///
    /// Under [`AckPolicy::AfterReply`] the requests that run count, so that a value below the concurrency bounds it.
    pub fn prefetch(mut self, requests: u16) -> Self {
        self.prefetch = Some(requests);
        self
    }

    /// Sets how long methods may go on when the server stops. Default 30 s. After it they are dropped where they wait;
    /// replies and acknowledgements then get 5 s to leave.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets when requests are acknowledged. Default [`AckPolicy::BeforeDispatch`].
    pub fn ack_policy(mut self, policy: AckPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Ends the server when it has taken this many requests; at least 1. No more than that are held at a time, what came
    /// beyond goes back, and what runs is finished as at a graceful stop. [`ServeReport::taken`] says how many it were.
    pub fn max_requests(mut self, requests: u64) -> Self {
        self.bounds.requests = Some(requests);
        self
    }

    /// Ends the server at this moment, as at a graceful stop.
    pub fn until(mut self, deadline: Instant) -> Self {
        self.bounds.until = Some(deadline);
        self
    }

    /// Sets which of the service's requests are taken. Default [`ListenScope::Server`]: those for the topic, for this
    /// server by name, and for all servers.
    pub fn scope(mut self, scope: ListenScope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets how often a request may come back before it is given up, which ends a request that kills its servers: its
    /// caller gets a `RuntimeError`, and the broker drops it, or moves it to the dead-letter exchange that its queue has.
    /// Default: no limit for what comes back because a server ended. Needs [`AckPolicy::AfterReply`].
    ///
    /// What a handler gives back by [`Requeue`](crate::HandlerError::Requeue) counts as well, and has a limit of 100 without
    /// this. Where the broker does not
    /// count (RabbitMQ's classic queues), each redelivery costs a message, and puts the request at the end of its queue.
    pub fn redelivery_limit(mut self, redeliveries: u32) -> Self {
        self.redelivery_limit = Some(redeliveries);
        self
    }

    /// Has `observer` told of every request that was dispatched and ended, before its reply leaves; for tests, audits and
    /// statistics. It must not block. A second one replaces the first.
    pub fn observe(mut self, observer: impl Fn(Ran) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Sets whether the method [`oslo_rpc_server_ping`](crate::PING_METHOD) answers `"pong"`, in the null namespace,
    /// for any version and any arguments. Default `false`, oslo's `rpc_ping_enabled`. An endpoint that defines the
    /// method keeps it.
    pub fn ping(mut self, enabled: bool) -> Self {
        self.ping = enabled;
        self
    }

    /// Builds the server, without touching the broker.
    ///
    /// # Errors
    ///
    /// [`BuildError`] names what is wrong: no endpoint, a target without topic or server or with fanout, a malformed
    /// version, two methods of one name in an endpoint, a method that an earlier endpoint hides, a missing state, an
    /// option out of range.
    pub fn build(self) -> Result<RPCServer, BuildError> {
        if self.target.fanout {
            let reason = format!(
                "`{}` is a fanout target, which is for clients; a server takes fanout casts beside all others: leave it out",
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
        if self.bounds.requests == Some(0) {
            let reason = "a server that takes no request does nothing; give it 1 or more, or leave it out";
            return Err(BuildError::Option { option: "max_requests", reason: reason.into() });
        }
        if self.redelivery_limit.is_some() && self.policy != AckPolicy::AfterReply {
            let reason =
                "nothing comes back unless the server acknowledges late; add ack_policy(AckPolicy::AfterReply)";
            return Err(BuildError::Option { option: "redelivery_limit", reason: reason.into() });
        }
        if self.concurrency == 0 || self.concurrency > Semaphore::MAX_PERMITS {
            let reason = format!("{} is out of range; 1 runs one request after the other", self.concurrency);
            return Err(BuildError::Option { option: "concurrency", reason });
        }
        let prefetch =
            self.prefetch.unwrap_or_else(|| u16::try_from(self.concurrency.saturating_mul(2)).unwrap_or(u16::MAX));
        if prefetch == 0 {
            let reason = "0 would take everything that is queued into memory; leave it out for twice the concurrency";
            return Err(BuildError::Option { option: "prefetch", reason: reason.into() });
        }
        Ok(RPCServer {
            topic: topic.clone(),
            dispatcher: Arc::new(Dispatcher::new(self.endpoints, self.ping)?),
            transport: self.transport,
            target: self.target,
            concurrency: self.concurrency,
            prefetch,
            grace: self.grace,
            policy: self.policy,
            scope: self.scope,
            bounds: self.bounds,
            redelivery_limit: self.redelivery_limit,
            observer: self.observer,
            layers: self.layers,
        })
    }

    /// Builds and [serves](RPCServer::serve_until_signalled) until the process is asked to end.
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

    /// Builds and [serves](RPCServer::serve) until the transport is closed.
    ///
    /// # Errors
    ///
    /// [`ServeError::Build`], or as [`RPCServer::serve`].
    pub async fn serve(self) -> Result<ServeReport, ServeError> {
        self.build()?.serve().await
    }

    /// Builds and [serves](RPCServer::serve_until) until `shutdown` resolves.
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
