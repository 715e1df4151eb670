//! The client itself.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use oxlo_transport::{CallOptions, Context, Deadline, Retry, SendOptions, Target, Transport, Version};
use serde::{Serialize, de::DeserializeOwned};
use tracing::Instrument;

use crate::{
    check,
    error::CallError,
    middleware::{CallRequest, CallService},
    outcome::outcome,
    pending::{OnItsWay, PendingCall},
    site::{CallKind, CallSite},
    telemetry::{Flight, Telemetry},
};

/// Asks the servers of a target to run methods.
///
/// It is cheap to clone and to [`prepare`](Self::prepare), and can be used from any number of tasks; all clones share
/// the transport. It holds no connection of its own, and dropping it ends nothing.
///
/// Arguments are anything that serialises to a JSON object: a struct, a map, `json!({..})`. What serialises to `null`,
/// such as `()` or `None`, counts as no arguments. They are serialised when the method is called, once; nothing is sent
/// before the returned future is polled.
///
/// The context travels with the request. The first argument of a Python method is called `ctxt` by custom, so an
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
    /// A client for the service that `target` names by its topic.
    ///
    /// A target that cannot be used is refused when something is to be sent.
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

    /// Where requests go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The version cap that [`version_cap`](Self::version_cap) set.
    #[must_use]
    pub fn capped_at(&self) -> Option<&str> {
        self.version_cap.as_deref()
    }

    /// Whether a request of this version may be sent: without a cap any may, with a cap those that are compatible with
    /// it. No version, and text that is no version, do not fit any cap.
    ///
    /// oslo asks for the target's own version by default; here that is
    /// `client.can_send_version(client.target().version.as_deref())`.
    ///
    /// ```
    /// use oxlo_client::{CallError, Context, RPCClient, Target};
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

    /// Asks one server to run `method` and waits for its result, which is read as an `R`.
    ///
    /// It ends within the timeout, 60 s unless the transport or [`timeout`](Self::timeout) says otherwise. A method
    /// without a result returns `null`, which is a `()`; a result of no interest is a `serde::de::IgnoredAny`.
    ///
    /// # Errors
    ///
    /// Any [`CallError`]. Refused before anything is sent are a target without topic, a fanout, a version that is none
    /// or that the version cap does not allow, arguments that are no object, a timeout of zero, and a call monitor
    /// timeout that is not whole seconds, at least 2.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the call at once and leaks nothing. If the request was sent, the method may still
    /// run, and its reply is dropped.
    pub fn call<R: DeserializeOwned>(
        &self,
        ctxt: &Context,
        method: &str,
        args: impl Serialize,
    ) -> impl Future<Output = Result<R, CallError>> + Send {
        let ready = self.ready(CallKind::Call, ctxt, method, args);
        async move {
            let mut flight = self.flight(CallKind::Call, method);
            let ready = ready.map(|request| request.traced(flight.span()));
            let result = self.call_ready(method, ready).instrument(flight.span().clone()).await;
            flight.ended(&result);
            result
        }
    }

    async fn call_ready<R: DeserializeOwned>(
        &self,
        method: &str,
        ready: Result<Box<CallRequest>, CallError>,
    ) -> Result<R, CallError> {
        let reply = self.send(ready?).await?;
        outcome(reply, &self.transport.settings().remote_errors, || self.site(CallKind::Call, method))
    }

    /// Sends a call and returns when the broker has it, with a future for its result. Several calls can be on their
    /// way at once; each ends within its timeout, which begins here.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call) for all that can go wrong until the broker has the request; the rest comes from the
    /// returned future.
    ///
    /// # Cancel safety
    ///
    /// As [`call`](Self::call).
    ///
    /// # Examples
    ///
    /// ```
    /// use oxlo_client::{Context, PendingCall, RPCClient, Target};
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
            let mut flight = self.flight(CallKind::Call, method);
            let site = self.site(CallKind::Call, method);
            let result = async {
                let ready = ready?.traced(flight.span());
                if let Some(layers) = &self.layers {
                    return self.send_layered(layers, ready).await.map(OnItsWay::Layered);
                }
                let CallRequest { ref target, request, ref options, .. } = *ready;
                let started = self.transport.start(target, request, options).await;
                started.map(OnItsWay::Direct).map_err(|error| CallError::of(site.clone(), error))
            }
            .instrument(flight.span().clone())
            .await;
            if result.is_err() {
                flight.ended(&result);
            }
            result.map(|reply| PendingCall::new(reply, self.transport.clone(), site, flight))
        }
    }

    /// Asks one server to run `method`, or every server with [`fanout`](Self::fanout), and waits for nothing but the
    /// broker's confirmation. Whether the method runs, and how it ends, nobody says.
    ///
    /// A cast to a topic that nobody serves is dropped by the broker, unless it is [`mandatory`](Self::mandatory). It
    /// is tried for as long as a call may take.
    ///
    /// # Errors
    ///
    /// Any [`CallError`] up to and including `ConnectionLost`. Refused before anything is sent is what
    /// [`call`](Self::call) refuses, but for fanout and call monitoring.
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
            let mut flight = self.flight(CallKind::Cast, method);
            let ready = ready.map(|request| request.traced(flight.span()));
            let result = self.cast_ready(ready).instrument(flight.span().clone()).await;
            flight.ended(&result);
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
        let site = || self.site(kind, method);
        let (monitor, mandatory) = match kind {
            CallKind::Call => (self.call_monitor_timeout, CallOptions::new().mandatory),
            CallKind::Cast => (None, SendOptions::new().mandatory),
        };
        let options = CallOptions::new()
            .with_timeout(check::timeout_within(self.effective_timeout(), self.deadline(), site)?)
            .with_monitor_timeout(check::monitor_timeout(monitor, site)?)
            .with_retry(self.retry)
            .with_mandatory(self.mandatory.unwrap_or(mandatory));
        let (cap, non_finite) = (self.version_cap.as_ref(), self.transport.settings().non_finite);
        let request = check::request(kind, &self.target, cap, ctxt, method, args, non_finite)?;
        Ok(Box::new(CallRequest::new(kind, self.target.clone(), request, options, self.idempotent)))
    }

    pub(crate) fn effective_timeout(&self) -> Duration {
        self.timeout.unwrap_or(self.transport.settings().response_timeout)
    }

    /// The earlier one of those that bound this client.
    fn deadline(&self) -> Deadline {
        let inherited = if self.inherits_deadline { Deadline::current().0 } else { None };
        Deadline(match (self.within.0, inherited) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        })
    }

    pub(crate) fn site(&self, kind: CallKind, method: &str) -> CallSite {
        CallSite::new(kind, method, &self.target)
    }

    pub(crate) fn flight(&self, kind: CallKind, method: &str) -> Flight {
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
