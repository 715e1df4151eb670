//! Layers around what a client sends: tower's `Layer` and `Service`, on requests.

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
    listeners::look_after_timeout,
    rpc_client::RPCClient,
    site::{CallKind, CallSite},
};

/// The error of any layer.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// One request on its way through layers to the transport. A layer may change it, for instance its context.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallRequest {
    /// Whether a result is awaited.
    pub kind: CallKind,
    /// Where it goes.
    pub target: Target,
    /// Method, arguments, context, namespace and version.
    pub request: Request,
    /// How it is sent. Its timeout began when the method was called; layers that wait use it up.
    pub options: CallOptions,
    /// Whether running it twice does no harm, as its contract or [`RPCClient::idempotent`] says.
    pub idempotent: bool,
    /// When the client's timeout is over, where layers may use some of it up.
    deadline: Option<Instant>,
    /// Kept where layers may send it several times, or not at all.
    progress: Option<Arc<Progress>>,
    /// What carries it behind the layers: that of the client as it is when it sends, which may have been given routes
    /// after the layers.
    transport: Option<Arc<dyn Transport>>,
}

/// What became of a request, for who sees only that a layer failed.
#[derive(Debug, Default)]
struct Progress {
    /// Attempts that may have run: those that were handed to the transport, but for those that surely did not.
    sent: AtomicUsize,
    /// Told the message id when the broker has the request, by `start`.
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

    /// The same request, which names the span that it is sent in.
    pub(crate) fn traced(mut self: Box<Self>, span: &Span) -> Box<Self> {
        oxlo_transport::trace::inject(span, &mut self.request.context);
        self
    }

    fn site(&self) -> CallSite {
        CallSite::new(self.kind, &self.request.method, &self.target)
    }

    /// Hands it to the transport, with what is left of its time.
    pub(crate) async fn transmit(mut self: Box<Self>, transport: &Arc<dyn Transport>) -> Result<Reply, CallError> {
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let may_have_run = self.progress.as_ref().is_some_and(|progress| progress.may_have_run());
                return Err(out_of_time(may_have_run, self.site(), self.options.timeout));
            }
            self.options.timeout = self.options.timeout.min(left);
        }
        if let Some(progress) = &self.progress {
            progress.sent.fetch_add(1, Ordering::Relaxed);
        }
        let method = self.request.method.clone();
        let started = self.progress.as_ref().and_then(|progress| progress.take_started());
        // The request leaves the box only where it is handed over, so that this future needs no room for it.
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
            let error = CallError::of(CallSite::new(self.kind, &method, &self.target), error);
            look_after_timeout(transport, &error);
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

/// The layers held a request until its time was over.
#[derive(Debug, thiserror::Error)]
#[error("no layer let it through within {timeout:?}")]
pub(crate) struct Held {
    timeout: Duration,
}

fn out_of_time(may_have_run: bool, site: CallSite, timeout: Duration) -> CallError {
    if may_have_run {
        return CallError::TimedOut { site, waited: timeout };
    }
    CallError::Middleware { site, sent: false, source: Arc::new(Held { timeout }) }
}

/// What a layer of a client wraps: it sends a [`CallRequest`] and resolves to the [`Reply`]; that of a cast is `null`.
///
/// Its errors are [`CallError`]s, or what a layer below failed with. A method's failure is a reply, not an error.
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

/// The innermost service.
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
    /// Wraps what this client sends in a layer: any `tower` layer whose service takes a [`CallRequest`] and gives a
    /// [`Reply`]. The last added sees a request first. Clients prepared from this one keep its layers.
    ///
    /// The client's timeout covers the layers: a call ends within it, also where a layer waits or repeats. An error of
    /// a layer's own arrives as [`CallError::Middleware`], which knows whether the request had left; that of tower's
    /// load shedding [is an overload](CallError::is_overloaded), and that and the one of its timeout are
    /// [retryable](CallError::is_retryable).
    ///
    /// A layer whose service is not `Clone`, such as tower's `RateLimitLayer`, goes under tower's `buffer`:
    /// `ServiceBuilder::new().buffer(64).rate_limit(10, second)`.
    ///
    /// ```
    /// use oxlo_client::{CallRequest, Context, RPCClient, Target};
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

    /// Sends it through the layers, if there are any, and waits for what comes back.
    pub(crate) async fn send(&self, request: Box<CallRequest>) -> Result<Reply, CallError> {
        match &self.layers {
            None => request.transmit(&self.transport).await,
            Some(layers) => Box::pin(through(layers.clone(), self.behind_layers(request))).await,
        }
    }

    fn behind_layers(&self, mut request: Box<CallRequest>) -> CallRequest {
        request.transport = Some(self.transport.clone());
        *request
    }

    /// Sends a call through the layers and returns when the broker has it: its id, and the future of its reply.
    pub(crate) async fn send_layered(
        &self,
        layers: &CallService,
        mut request: Box<CallRequest>,
    ) -> Result<Layered, CallError> {
        let (tell, started) = oneshot::channel();
        *request.progress.get_or_insert_default().started.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
        let mut reply: LayeredReply = Box::pin(through(layers.clone(), self.behind_layers(request)));
        tokio::select! {
            biased;
            Ok(message_id) = started => Ok(Layered::new(message_id, reply)),
            early = &mut reply => {
                // A layer answered by itself: there is nothing at the broker, and the result is known.
                early.map(|early| Layered::new(String::new(), Box::pin(async move { Ok(early) })))
            }
        }
    }
}

type LayeredReply = Pin<Box<dyn Future<Output = Result<Reply, CallError>> + Send>>;

/// A call that is on its way within layers.
pub(crate) struct Layered {
    pub(crate) message_id: String,
    /// Polled by its owner alone; the lock makes it shareable.
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
    let (site, progress) = (request.site(), request.progress.get_or_insert_default().clone());
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
            // What became of the last attempt says nothing about those before it.
            Ok(error) if error.may_have_run() || !sent => *error,
            Ok(error) => CallError::Middleware { site, sent, source: Arc::new(*error) },
            Err(error) => CallError::Middleware { site, sent, source: error.into() },
        }),
        Err(_) => Err(out_of_time(sent, site, timeout)),
    }
}
