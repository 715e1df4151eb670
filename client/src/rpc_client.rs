//! The RPC client.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use oxlo_transport::{CallOptions, Context, Deadline, Retry, SendOptions, Target, Transport, Version};
use serde::{Serialize, de::DeserializeOwned};
use tracing::Instrument;

use crate::{
    error::CallError,
    middleware::{CallRequest, CallService},
    pending::{PendingCall, ReplySource},
    reply::decode,
    request_info::{CallKind, RequestInfo},
    telemetry::{CallRecord, Telemetry},
    validate,
};

/// Client of the servers of a target: calls and casts their methods.
///
/// It is cheap to clone and to [`prepare`](Self::prepare), and can be used from any number of tasks; all clones share
/// the transport. It has no connection of its own, and dropping it closes nothing.
///
/// Arguments are any value that serialises to a JSON object: a struct, a map, `json!({..})`. A value that serialises to
/// `null`, such as `()` or `None`, means no arguments. They are serialised once, when the method is called; nothing is
/// sent before the returned future is polled.
///
/// The context is sent with the request. The first parameter of a Python method is named `ctxt` by convention, so an
/// argument of that name collides there.
#[derive(Clone)]
pub struct RPCClient {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) target: Target,
    pub(crate) timeout: Option<Duration>,
    pub(crate) within: Deadline,
    pub(crate) inherits_deadline: bool,
    pub(crate) version_cap: Option<Arc<str>>,
    pub(crate) retry: Retry,
    pub(crate) call_monitor_timeout: Option<Duration>,
    pub(crate) mandatory: Option<bool>,
    pub(crate) idempotent: bool,
    pub(crate) layers: Option<CallService>,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl RPCClient {
    /// Creates a client of the service that `target` names by its topic.
    ///
    /// A target that cannot be used is an error of each call and cast.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>, target: Target) -> Self {
        Self {
            transport,
            target,
            timeout: None,
            within: Deadline::default(),
            inherits_deadline: false,
            version_cap: None,
            retry: Retry::default(),
            call_monitor_timeout: None,
            mandatory: None,
            idempotent: false,
            layers: None,
            telemetry: Arc::default(),
        }
    }

    /// The target of requests.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The version cap that [`version_cap`](Self::version_cap) set.
    #[must_use]
    pub fn capped_at(&self) -> Option<&str> {
        self.version_cap.as_deref()
    }

    /// Returns `true` if a request of this version may be sent: any without a version cap, with one those that are
    /// compatible with it. `None` and text that cannot be parsed as a version are not compatible with any cap.
    ///
    /// oslo.messaging checks the target's own version by default; here that is
    /// `client.can_send_version(client.target().version.as_deref())`.
    ///
    /// ```
    /// use oxlo_client::{CallError, RPCClient};
    /// use oxlo_transport::{Context, Target};
    /// # use oxlo_driver_memory::MemoryDriver;
    /// # use oxlo_transport::Registry;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Registry::new().with(MemoryDriver).transport("memory://cap").connect().await?;
    ///
    /// let client = RPCClient::new(transport, Target::topic("calculator")).version_cap("1.4");
    /// assert!(client.can_send_version(Some("1.3")));
    /// assert!(!client.can_send_version(Some("1.5")));
    ///
    /// let refused = client.prepare().version("1.5").cast(&Context::new(), "reset", ()).await;
    /// assert!(matches!(refused, Err(CallError::VersionCap { .. })));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn can_send_version(&self, version: Option<&str>) -> bool {
        let Some(cap) = &self.version_cap else { return true };
        match (version.map(str::parse::<Version>), cap.parse::<Version>()) {
            (Some(Ok(version)), Ok(cap)) => version.is_compatible_with(&cap),
            _ => false,
        }
    }

    /// Calls `method` on one server and waits for its result, decoded as an `R`.
    ///
    /// It ends within the [`timeout`](Self::timeout); absent, the transport's, which is 60 s by default. A method without
    /// a result returns `null`, which decodes as `()`. To ignore the result, decode it as `serde::de::IgnoredAny`.
    ///
    /// # Errors
    ///
    /// Any [`CallError`]. Before anything is sent it refuses a target without topic, a fanout, a version that cannot be
    /// parsed or that the version cap does not allow, arguments that are not an object, a timeout of zero, and a call
    /// monitor timeout that is not whole seconds, at least 2.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the call at once and leaks nothing. If the request was sent, the method may still
    /// run; its reply is discarded.
    pub fn call<R: DeserializeOwned>(
        &self,
        ctxt: &Context,
        method: &str,
        args: impl Serialize,
    ) -> impl Future<Output = Result<R, CallError>> + Send {
        let ready = self.ready(CallKind::Call, ctxt, method, args);
        async move {
            let mut record = self.record(CallKind::Call, method);
            let ready = ready.map(|request| request.traced(record.span()));
            let result = self.call_ready(method, ready).instrument(record.span().clone()).await;
            record.finish(&result);
            result
        }
    }

    async fn call_ready<R: DeserializeOwned>(
        &self,
        method: &str,
        ready: Result<Box<CallRequest>, CallError>,
    ) -> Result<R, CallError> {
        let reply = self.send(ready?).await?;
        decode(reply, &self.transport.settings().remote_errors, || self.request_info(CallKind::Call, method))
    }

    /// Sends a call and returns when the broker has confirmed it, with a future of its result. Several calls can be in
    /// flight at once; each ends within its timeout, which begins here.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call) that arise until the broker has confirmed the request. Later ones are errors of the
    /// returned future.
    ///
    /// # Cancel safety
    ///
    /// As [`call`](Self::call).
    ///
    /// # Examples
    ///
    /// ```
    /// use oxlo_transport::{Context, Target};
    /// use oxlo_client::{PendingCall, RPCClient};
    /// use serde_json::json;
    /// # use oxlo_driver_memory::MemoryDriver;
    /// # use oxlo_transport::{Payload, Registry, Reply};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let transport = Registry::new().with(MemoryDriver).transport("memory://start").connect().await?;
    /// # let mut listener = transport.listen(&Target::topic("calculator").server("node-7"), &Default::default()).await?;
    /// # tokio::spawn(async move {
    /// #     while let Ok(delivery) = listener.recv().await {
    /// #         delivery.settle.ack();
    /// #         let args: std::collections::BTreeMap<String, i64> = delivery.message.args.decode().unwrap_or_default();
    /// #         let sum = Payload::encode(&args.values().sum::<i64>()).expect("a number");
    /// #         if let Some(replier) = delivery.replier { let _ = replier.reply(Reply::Result(sum)).await; }
    /// #     }
    /// # });
    ///
    /// let client = RPCClient::new(transport, Target::topic("calculator"));
    /// let ctxt = Context::new();
    /// let mut pending: Vec<PendingCall<i64>> = Vec::new();
    /// for n in 0..10 {
    ///     pending.push(client.start(&ctxt, "add", json!({"a": n, "b": 1})).await?);
    /// }
    /// for (n, call) in (0..).zip(pending) {
    ///     assert_eq!(call.await?, n + 1);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn start<R: DeserializeOwned>(
        &self,
        ctxt: &Context,
        method: &str,
        args: impl Serialize,
    ) -> impl Future<Output = Result<PendingCall<R>, CallError>> + Send {
        let ready = self.ready(CallKind::Call, ctxt, method, args);
        async move {
            let mut record = self.record(CallKind::Call, method);
            let info = self.request_info(CallKind::Call, method);
            let result = async {
                let ready = ready?.traced(record.span());
                if let Some(layers) = &self.layers {
                    return self.send_layered(layers, ready).await.map(ReplySource::Layered);
                }
                let CallRequest { ref target, request, ref options, .. } = *ready;
                let started = self.transport.start(target, request, options).await;
                started.map(ReplySource::Direct).map_err(|error| CallError::transport(info.clone(), error))
            }
            .instrument(record.span().clone())
            .await;
            if result.is_err() {
                record.finish(&result);
            }
            result.map(|reply| PendingCall::new(reply, self.transport.clone(), info, record))
        }
    }

    /// Casts `method` to one server, or to every server with [`fanout`](Self::fanout), and waits until the broker has
    /// confirmed it. Nothing tells whether the method runs or how it ends.
    ///
    /// The broker drops a cast to a topic without servers, unless it is [`mandatory`](Self::mandatory). Sending is tried
    /// until the [`timeout`](Self::timeout).
    ///
    /// # Errors
    ///
    /// Any [`CallError`] that can arise without a reply. Before anything is sent it refuses what [`call`](Self::call)
    /// refuses, except a fanout and a call monitor timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaks nothing. If the request was sent, the method may still run.
    pub fn cast(
        &self,
        ctxt: &Context,
        method: &str,
        args: impl Serialize,
    ) -> impl Future<Output = Result<(), CallError>> + Send {
        let ready = self.ready(CallKind::Cast, ctxt, method, args);
        async move {
            let mut record = self.record(CallKind::Cast, method);
            let ready = ready.map(|request| request.traced(record.span()));
            let result = self.cast_ready(ready).instrument(record.span().clone()).await;
            record.finish(&result);
            result
        }
    }

    async fn cast_ready(&self, ready: Result<Box<CallRequest>, CallError>) -> Result<(), CallError> {
        self.send(ready?).await.map(|_| ())
    }

    pub(crate) fn ready(
        &self,
        kind: CallKind,
        ctxt: &Context,
        method: &str,
        args: impl Serialize,
    ) -> Result<Box<CallRequest>, CallError> {
        let info = || self.request_info(kind, method);
        let (monitor, mandatory) = match kind {
            CallKind::Call => (self.call_monitor_timeout, CallOptions::new().mandatory),
            CallKind::Cast => (None, SendOptions::new().mandatory),
        };
        let options = CallOptions::new()
            .with_timeout(validate::timeout_within(self.effective_timeout(), self.deadline(), info)?)
            .with_monitor_timeout(validate::monitor_timeout(monitor, info)?)
            .with_retry(self.retry)
            .with_mandatory(self.mandatory.unwrap_or(mandatory));
        let (cap, non_finite) = (self.version_cap.as_ref(), self.transport.settings().non_finite);
        let request = validate::request(kind, &self.target, cap, ctxt, method, args, non_finite)?;
        Ok(Box::new(CallRequest::new(kind, self.target.clone(), request, options, self.idempotent)))
    }

    pub(crate) fn effective_timeout(&self) -> Duration {
        self.timeout.unwrap_or(self.transport.settings().response_timeout)
    }

    /// The earlier of the deadlines that bound this client.
    fn deadline(&self) -> Deadline {
        let inherited = if self.inherits_deadline { Deadline::current().0 } else { None };
        Deadline(match (self.within.0, inherited) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        })
    }

    pub(crate) fn request_info(&self, kind: CallKind, method: &str) -> RequestInfo {
        RequestInfo::new(kind, method, &self.target)
    }

    pub(crate) fn record(&self, kind: CallKind, method: &str) -> CallRecord {
        self.telemetry.begin(kind, &self.target, method, self.transport.settings())
    }
}

impl fmt::Debug for RPCClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RPCClient")
            .field("target", &self.target)
            .field("timeout", &self.timeout)
            .field("version_cap", &self.version_cap)
            .field("retry", &self.retry)
            .field("call_monitor_timeout", &self.call_monitor_timeout)
            .field("mandatory", &self.mandatory)
            .field("idempotent", &self.idempotent)
            .field("layers", &self.layers.is_some())
            .finish_non_exhaustive()
    }
}
