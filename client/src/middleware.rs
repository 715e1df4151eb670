//! Client middleware: tower layers around each request.

use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use oxlo_transport::{CallOptions, Payload, Reply, Request, SendOptions, Target, Transport, TransportError};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use crate::{
    error::CallError,
    listeners::warn_if_nobody_listens,
    request_info::{CallKind, RequestInfo},
    rpc_client::RPCClient,
};

/// Error of any layer.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A request on its way through the layers to the transport. A layer may change it, for example its context.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallRequest {
    /// Whether it is a call or a cast.
    pub kind: CallKind,
    /// The target.
    pub target: Target,
    /// Method, arguments, context, namespace and version.
    pub request: Request,
    /// How it is sent. Its timeout began when the method was called; time spent in layers counts.
    pub options: CallOptions,
    /// Whether running it twice does no harm, as set by its contract or by [`RPCClient::idempotent`].
    pub idempotent: bool,
    /// When the client's timeout ends. Set if there are layers.
    deadline: Option<Instant>,
    /// Set if there are layers, which may send the request several times or not at all.
    progress: Option<Arc<Progress>>,
    /// The transport behind the layers: that of the sending client, which may have been given routes after the layers.
    transport: Option<Arc<dyn Transport>>,
}

/// Whether the request was sent, for callers that only see a layer's error.
#[derive(Debug, Default)]
struct Progress {
    /// Attempts that may have run: those handed to the transport, minus those that certainly did not run.
    sent: AtomicUsize,
    /// Receives the message id when the broker has confirmed the request. Set by `start`.
    started: Mutex<Option<oneshot::Sender<String>>>,
}

impl CallRequest {
    pub(crate) fn new(
        kind: CallKind,
        target: Target,
        request: Request,
        options: CallOptions,
        idempotent: bool,
    ) -> Self {
        Self { kind, target, request, options, idempotent, deadline: None, progress: None, transport: None }
    }

    /// Adds the span's trace context to the request.
    pub(crate) fn traced(mut self: Box<Self>, span: &Span) -> Box<Self> {
        oxlo_transport::trace::inject(span, &mut self.request.context);
        self
    }

    fn info(&self) -> RequestInfo {
        RequestInfo::new(self.kind, &self.request.method, &self.target)
    }

    /// Hands the request to the transport, with the time that is left.
    pub(crate) async fn transmit(mut self: Box<Self>, transport: &Arc<dyn Transport>) -> Result<Reply, CallError> {
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let may_have_run = self.progress.as_ref().is_some_and(|progress| progress.may_have_run());
                return Err(timed_out(may_have_run, self.info(), self.options.timeout));
            }
            self.options.timeout = self.options.timeout.min(left);
        }
        if let Some(progress) = &self.progress {
            progress.sent.fetch_add(1, Ordering::Relaxed);
        }
        let method = self.request.method.clone();
        let started = self.progress.as_ref().and_then(|progress| progress.take_started());
        // The request leaves the box only where it is handed over, which keeps this future small.
        let result = match (self.kind, started) {
            (CallKind::Cast, _) => {
                let options = SendOptions::new()
                    .with_timeout(self.options.timeout)
                    .with_retry(self.options.retry)
                    .with_mandatory(self.options.mandatory);
                transport.cast(&self.target, self.request, &options).await.map(|()| Reply::Result(Payload::null()))
            }
            (CallKind::Call, None) => transport.call(&self.target, self.request, &self.options).await,
            (CallKind::Call, Some(started)) => match transport.start(&self.target, self.request, &self.options).await {
                Ok(pending) => {
                    let _ = started.send(pending.message_id());
                    Box::pin(pending).await
                }
                Err(error) => Err(error),
            },
        };
        result.map_err(|error: TransportError| {
            let error = CallError::transport(RequestInfo::new(self.kind, &method, &self.target), error);
            warn_if_nobody_listens(transport, &error);
            if let Some(progress) = &self.progress
                && !error.may_have_run()
            {
                progress.sent.fetch_sub(1, Ordering::Relaxed);
            }
            error
        })
    }
}

impl Progress {
    fn may_have_run(&self) -> bool {
        self.sent.load(Ordering::Relaxed) > 0
    }

    fn take_started(&self) -> Option<oneshot::Sender<String>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The layers held the request until its timeout ended.
#[derive(Debug, thiserror::Error)]
#[error("no layer let it through within {timeout:?}")]
pub(crate) struct Held {
    timeout: Duration,
}

fn timed_out(may_have_run: bool, request: RequestInfo, timeout: Duration) -> CallError {
    if may_have_run {
        return CallError::transport(request, TransportError::TimedOut { waited: timeout });
    }
    CallError::Middleware { request, sent: false, source: Arc::new(Held { timeout }) }
}

/// The service that a layer of a client wraps: sends a [`CallRequest`] and resolves to the [`Reply`], which is `null` for a
/// cast.
///
/// Its errors are [`CallError`]s, or those of an inner layer. A failure of the method is a reply, not an error.
#[derive(Clone)]
pub struct CallService(BoxCloneSyncService<CallRequest, Reply, BoxError>);

impl CallService {
    fn new<S>(service: S) -> Self
    where
        S: Service<CallRequest, Response = Reply> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service.map_err(Into::into)))
    }
}

impl Service<CallRequest> for CallService {
    type Response = Reply;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: CallRequest) -> Self::Future {
        self.0.call(request)
    }
}

impl fmt::Debug for CallService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallService")
    }
}

/// The innermost service: sends by the transport.
#[derive(Clone)]
struct Outgoing(Arc<dyn Transport>);

impl Service<CallRequest> for Outgoing {
    type Response = Reply;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, CallError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: CallRequest) -> Self::Future {
        let transport = request.transport.take().unwrap_or_else(|| self.0.clone());
        Box::pin(async move { Box::new(request).transmit(&transport).await })
    }
}

/// # Layers
impl RPCClient {
    /// Adds a layer around the requests of this client: any `tower` layer whose service takes a [`CallRequest`] and
    /// returns a [`Reply`]. The layer that was added last sees a request first. Prepared clients keep the layers.
    ///
    /// The client's timeout includes the layers: a call ends within it, even if a layer waits or retries. An error of a
    /// layer is [`CallError::Middleware`], which tells whether the request had been sent. Tower's load shedding is
    /// [an overload](CallError::is_overloaded); load shedding and tower's timeout are
    /// [retryable](CallError::is_retryable).
    ///
    /// A layer whose service is not `Clone`, such as tower's `RateLimitLayer`, needs tower's `buffer`:
    /// `ServiceBuilder::new().buffer(64).rate_limit(10, second)`.
    ///
    /// ```
    /// use oxlo_client::{CallRequest, RPCClient};
    /// use oxlo_transport::{Context, Target};
    /// use tower::util::MapRequestLayer;
    /// # use oxlo_driver_memory::MemoryDriver;
    /// # use oxlo_transport::Registry;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Registry::new().with(MemoryDriver).transport("memory://layer").connect().await?;
    ///
    /// let client = RPCClient::new(transport, Target::topic("calculator")).layer(MapRequestLayer::new(
    ///     |mut call: CallRequest| {
    ///         call.request.context.insert("auth_token", "...");
    ///         call
    ///     },
    /// ));
    /// client.cast(&Context::new(), "reset", ()).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<CallService>,
        L::Service: Service<CallRequest, Response = Reply> + Clone + Send + Sync + 'static,
        <L::Service as Service<CallRequest>>::Error: Into<BoxError>,
        <L::Service as Service<CallRequest>>::Future: Send + 'static,
    {
        let inner = self.layers.take().unwrap_or_else(|| CallService::new(Outgoing(self.transport.clone())));
        self.layers = Some(CallService::new(layer.layer(inner)));
        self
    }

    /// Sends the request through the layers, if any, and waits for the reply.
    pub(crate) async fn send(&self, request: Box<CallRequest>) -> Result<Reply, CallError> {
        match &self.layers {
            None => request.transmit(&self.transport).await,
            Some(layers) => Box::pin(through(layers.clone(), self.with_transport(request))).await,
        }
    }

    fn with_transport(&self, mut request: Box<CallRequest>) -> CallRequest {
        request.transport = Some(self.transport.clone());
        *request
    }

    /// Sends a call through the layers. Returns when the broker has confirmed it.
    pub(crate) async fn send_layered(
        &self,
        layers: &CallService,
        mut request: Box<CallRequest>,
    ) -> Result<Layered, CallError> {
        let (sender, started) = oneshot::channel();
        *request.progress.get_or_insert_default().started.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        let mut reply: LayeredReply = Box::pin(through(layers.clone(), self.with_transport(request)));
        tokio::select! {
            biased;
            Ok(message_id) = started => Ok(Layered::new(message_id, reply)),
            early = &mut reply => {
                // A layer answered the call, and nothing was sent.
                early.map(|early| Layered::new(String::new(), Box::pin(async move { Ok(early) })))
            }
        }
    }
}

type LayeredReply = Pin<Box<dyn Future<Output = Result<Reply, CallError>> + Send>>;

/// A started call within layers.
pub(crate) struct Layered {
    pub(crate) message_id: String,
    /// Only the owner polls it; the lock makes it `Sync`.
    reply: Mutex<LayeredReply>,
}

impl Layered {
    fn new(message_id: String, reply: LayeredReply) -> Self {
        Self { message_id, reply: Mutex::new(reply) }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, CallError>> {
        self.reply.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

async fn through(mut layers: CallService, mut request: CallRequest) -> Result<Reply, CallError> {
    let (info, progress) = (request.info(), request.progress.get_or_insert_default().clone());
    let timeout = request.options.timeout;
    let deadline = Instant::now().checked_add(timeout);
    request.deadline = deadline;
    let sending = async {
        poll_fn(|cx| layers.poll_ready(cx)).await?;
        layers.call(request).await
    };
    let result = match deadline {
        Some(deadline) => timeout_at(deadline, sending).await,
        None => Ok(sending.await),
    };
    let sent = progress.may_have_run();
    match result {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(match error.downcast::<CallError>() {
            // The error of the last attempt tells nothing about earlier ones.
            Ok(error) if error.may_have_run() || !sent => *error,
            Ok(error) => CallError::Middleware { request: info, sent, source: Arc::new(*error) },
            Err(error) => CallError::Middleware { request: info, sent, source: error.into() },
        }),
        Err(_) => Err(timed_out(sent, info, timeout)),
    }
}
