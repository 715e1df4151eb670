//! The server, and the ways to run it.

use std::{
    fmt,
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use oxlo_serving::{Failed, Limits, Run, RunOptions, Shutdown, Source, due};
use oxlo_transport::{ListenOptions, ListenScope, Listener, Request, Target, Transport, TransportError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    builder::RPCServerBuilder,
    error::ServeError,
    layer::CallService,
    name::NameGuard,
    outcome::Observer,
    policy::AckPolicy,
    report::ServeReport,
    requests::Requests,
    routes::RouteTable,
    running::{self, RunningServer},
    telemetry::Telemetry,
};

/// Replies that may be in flight, as a multiple of the concurrency: enough that a pause of the broker does not stop the
/// handlers, few enough that memory stays bounded.
const REPLIES_PER_SLOT: usize = 4;

/// A server of one topic under one name: it takes the requests for the topic, those for this server by name, and those
/// for all servers of the topic.
///
/// It is built once and can run again after it ended; several servers, also of several topics, can share one transport.
/// Cloning is cheap.
#[derive(Clone)]
pub struct RPCServer {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) target: Target,
    pub(crate) topic: Arc<str>,
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) concurrency: usize,
    pub(crate) prefetch: u16,
    pub(crate) grace: Duration,
    pub(crate) policy: AckPolicy,
    pub(crate) scope: ListenScope,
    pub(crate) limits: Limits,
    pub(crate) redelivery_limit: Option<u32>,
    pub(crate) observer: Option<Observer>,
    pub(crate) layers: Option<CallService>,
}

impl RPCServer {
    /// Starts to build a server. The target needs a topic and a server; without an exchange it is in that of the
    /// transport. Namespaces and versions are those of the endpoints.
    pub fn builder(transport: Arc<dyn Transport>, target: Target) -> RPCServerBuilder {
        RPCServerBuilder::new(transport, target)
    }

    /// Subscribes, and serves on a task of its own. The server takes requests when this returns.
    ///
    /// # Errors
    ///
    /// [`ServeError::Listen`] if the subscription fails, [`ServeError::Build`] with
    /// [`BuildError::NameTaken`](crate::BuildError::NameTaken) if another server of this process has the topic and the
    /// name on this transport.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the subscription.
    pub async fn start(&self) -> Result<RunningServer, ServeError> {
        let (run, name) = self.subscribe().await?;
        let target = self.target.to_string();
        let handle = run.spawn(format!("server {}", self.name()), move |end| {
            drop(name);
            served(target, end)
        });
        Ok(RunningServer {
            transport: self.transport.clone(),
            itself: running::itself(&self.target, &self.scope),
            topic: running::topic(&self.target, &self.scope),
            run: handle,
        })
    }

    /// Serves until the transport is closed.
    ///
    /// # Errors
    ///
    /// [`ServeError::Listen`] if the subscription fails, [`ServeError::Receive`] if the listener fails permanently; lost
    /// connections are restored and are no such failure.
    ///
    /// # Cancel safety
    ///
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve(&self) -> Result<ServeReport, ServeError> {
        self.serve_until(pending::<()>()).await
    }

    /// Serves until `shutdown` resolves, with any value, or the transport is closed. Then the server takes no more
    /// requests, waits for running methods within the grace period, sends replies and acknowledgements, and reports what
    /// was abandoned.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is the abrupt end: handlers are dropped, their callers receive no reply, and under
    /// [`AckPolicy::AfterReply`] their requests return to the broker.
    pub async fn serve_until(&self, shutdown: impl Future) -> Result<ServeReport, ServeError> {
        self.serve_until_forced(shutdown, pending::<()>()).await
    }

    /// Serves as [`serve_until`](Self::serve_until) does, and stops at once when `force` resolves, without a grace period
    /// for running methods, which the report names.
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
        let (run, _name) = self.subscribe().await?;
        served(self.target.to_string(), run.until(shutdown, force).await)
    }

    /// Serves until the process is asked to end, by SIGINT or SIGTERM (elsewhere by Ctrl-C), as
    /// [`shutdown_signal`](crate::shutdown_signal) describes: the first signal stops gracefully, as
    /// [`serve_until`](Self::serve_until), the second one at once.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve), and [`ServeError::Signals`] if the signal handlers cannot be installed.
    ///
    /// # Cancel safety
    ///
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve_until_signalled(&self) -> Result<ServeReport, ServeError> {
        let signal =
            oxlo_serving::shutdown_signal().map_err(|error| ServeError::Signals { source: Arc::new(error) })?;
        let again = signal.again();
        self.serve_until_forced(signal, again).await
    }

    /// The server's name in logs: `inventory as inventory-1`.
    fn name(&self) -> String {
        match (&self.scope, &self.target.server) {
            (ListenScope::Queue(queue), _) => queue.to_string(),
            (ListenScope::Topic, _) | (_, None) => self.topic.to_string(),
            (_, Some(server)) => format!("{} as {server}", self.topic),
        }
    }

    async fn subscribe(&self) -> Result<(Run<Requests>, Option<NameGuard>), ServeError> {
        let stop = CancellationToken::new();
        let guard = NameGuard::take(&self.transport, &self.target, &self.scope, &stop)?;
        let source = Subscription {
            transport: self.transport.clone(),
            target: self.target.clone(),
            options: ListenOptions::new()
                .with_prefetch(self.prefetch)
                .with_scope(self.scope.clone())
                .with_count_redeliveries(self.redelivery_limit.is_some())
                .with_deferrable(self.policy == AckPolicy::AfterReply),
            limits: self.limits,
        };
        let listener = source
            .subscribe(0)
            .await
            .map_err(|source| ServeError::Listen { target: self.target.to_string(), source })?;
        let name: Arc<str> = self.name().into();
        let shutdown = Shutdown::default();
        let options = RunOptions {
            started: format!("serving {name}: {}", self.routes.offers()),
            name,
            concurrency: self.concurrency,
            grace: self.grace,
            limits: self.limits,
            shutdown: shutdown.clone(),
            stop,
        };
        let requests = Requests {
            routes: self.routes.clone(),
            topic: self.topic.clone(),
            policy: self.policy,
            redelivery_limit: self.redelivery_limit,
            observer: self.observer.clone(),
            layers: self.layers.clone(),
            replies: Semaphore::new(self.concurrency.saturating_mul(REPLIES_PER_SLOT).min(Semaphore::MAX_PERMITS)),
            max_message_size: self.transport.settings().max_message_size,
            non_finite: self.transport.settings().non_finite,
            shutdown,
            telemetry: Telemetry::new(&self.target, &self.topic, &self.routes, self.transport.settings()),
        };
        Ok((Run::new(requests, options, listener, source), guard))
    }
}

/// How a server subscribes.
struct Subscription {
    transport: Arc<dyn Transport>,
    target: Target,
    options: ListenOptions,
    limits: Limits,
}

#[async_trait]
impl Source<Request> for Subscription {
    async fn subscribe(&self, taken: u64) -> Result<Box<dyn Listener<Request>>, TransportError> {
        let options = self.options.clone().with_prefetch(self.limits.prefetch(self.options.prefetch, taken));
        Ok(due(self.transport.listen(&self.target, &options).await?, &options))
    }
}

fn served(target: String, end: Result<ServeReport, Failed<ServeReport>>) -> Result<ServeReport, ServeError> {
    end.map_err(|Failed { error: source, report }| ServeError::Receive { target, source, report })
}

impl fmt::Debug for RPCServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RPCServer")
            .field("target", &self.target)
            .field("routes", &self.routes)
            .field("concurrency", &self.concurrency)
            .field("prefetch", &self.prefetch)
            .field("grace", &self.grace)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
