//! Calls of a contract's methods, whose errors have a type.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use oxlo_transport::{Failure, settings::FromFailure};
use serde::de::DeserializeOwned;

use crate::{error::CallError, pending::PendingCall};

/// How a method fails whose contract names its error `E`.
///
/// A failure of one of `E`'s classes arrives as `Failed`, also when the transport was not told to allow its module: the
/// contract names it. Everything else is a [`CallError`], also a server's [refusal](CallError::is_refused) to run the
/// method, whatever its class and `E` are.
///
/// `Debug` is that of the error within.
///
/// ```
/// # use oxlo_client::{CallError, MethodError};
/// # #[derive(Debug)] enum CalcError { DivisionByZero }
/// fn show(answer: Result<i64, MethodError<CalcError>>) -> String {
///     match answer {
///         Ok(quotient) => quotient.to_string(),
///         Err(MethodError::Failed(CalcError::DivisionByZero)) => "infinite".into(),
///         Err(MethodError::Call(error)) if error.may_have_run() => "unknown".into(),
///         Err(MethodError::Call(error)) => format!("not asked: {error}"),
///     }
/// }
/// ```
#[derive(thiserror::Error)]
pub enum MethodError<E> {
    /// The method ran and failed, as its contract says it may.
    #[error(transparent)]
    Failed(E),
    /// The call failed, or the method failed in another way.
    #[error(transparent)]
    Call(CallError),
}

impl<E: fmt::Debug> fmt::Debug for MethodError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl<E> MethodError<E> {
    /// Whether the method may have run, or may still run. `false` is certain.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        self.call().is_none_or(CallError::may_have_run)
    }

    /// Whether the same call may succeed later with nothing changed; see [`CallError::is_retryable`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.call().is_some_and(CallError::is_retryable)
    }

    /// Whether the other side has no capacity at the moment; see [`CallError::is_overloaded`].
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        self.call().is_some_and(CallError::is_overloaded)
    }

    /// The error of the method, if it is that.
    #[must_use]
    pub fn failed(&self) -> Option<&E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Call(_) => None,
        }
    }

    /// The error of the call, if it is that.
    #[must_use]
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Failed(_) => None,
            Self::Call(error) => Some(error),
        }
    }
}

impl<E> From<CallError> for MethodError<E> {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl<E: Into<Failure>> From<MethodError<E>> for Failure {
    /// Passes it on to this server's own caller.
    fn from(error: MethodError<E>) -> Self {
        match error {
            MethodError::Failed(error) => error.into(),
            MethodError::Call(error) => error.into(),
        }
    }
}

/// A call of a contract's method that is on its way; a [`PendingCall`] whose error has a type.
///
/// # Cancel safety
///
/// As [`PendingCall`].
#[must_use = "dropping it forgets the call"]
pub struct PendingMethod<R, E> {
    call: PendingCall<R>,
    error: PhantomData<fn() -> E>,
}

impl<R, E> PendingMethod<R, E> {
    pub(crate) fn new(call: PendingCall<R>) -> Self {
        Self { call, error: PhantomData }
    }

    /// The call's id, as it travels.
    #[must_use]
    pub fn message_id(&self) -> String {
        self.call.message_id()
    }
}

impl<R: DeserializeOwned, E: FromFailure> Future for PendingMethod<R, E> {
    type Output = Result<R, MethodError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.call.poll_method(cx)
    }
}

impl<R, E> fmt::Debug for PendingMethod<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}

/// What the code that `#[contract]` writes calls.
pub mod private {
    use std::{any::Any, borrow::Cow};

    use oxlo_transport::{Context, settings::FromFailure};
    use serde::{Serialize, de::DeserializeOwned};
    use tracing::Instrument;

    pub use crate::{CallError, MethodError, PendingCall, PendingMethod, RPCClient};
    pub use oxlo_transport::{Target, Transport};

    use crate::{outcome::method_outcome, site::CallKind};

    /// What a contract says about a method.
    #[derive(Clone, Copy, Debug)]
    pub struct Spec {
        /// Its name on the wire.
        pub method: &'static str,
        /// The version that the request names.
        pub version: &'static str,
        /// Whether it may be repeated.
        pub idempotent: bool,
        /// Whether every server runs it.
        pub fanout: bool,
    }

    /// The version that an argument needs which came later than its method. What is `None` needs nothing, and what may
    /// be dropped is dropped where the cap does not allow it.
    pub fn later<T>(
        rpc: &RPCClient,
        version: &'static str,
        since: &'static str,
        value: Option<T>,
        droppable: bool,
    ) -> (&'static str, Option<T>) {
        match value {
            Some(_) if droppable && !rpc.can_send_version(Some(since)) => (version, None),
            Some(value) => (since, Some(value)),
            None => (version, None),
        }
    }

    fn prepared(rpc: &RPCClient, spec: Spec) -> RPCClient {
        let rpc = rpc.prepare().version(spec.version).idempotent(spec.idempotent);
        if spec.fanout { rpc.fanout(true) } else { rpc }
    }

    /// A context of the caller's own type goes through JSON, oxlo's own as it is.
    fn context<'a, C: Serialize + Any>(
        rpc: &RPCClient,
        kind: CallKind,
        spec: Spec,
        ctxt: &'a C,
    ) -> Result<Cow<'a, Context>, CallError> {
        if let Some(ctxt) = (ctxt as &dyn Any).downcast_ref::<Context>() {
            return Ok(Cow::Borrowed(ctxt));
        }
        Context::from_serialize(ctxt).map(Cow::Owned).map_err(|error| CallError::Config {
            site: rpc.site(kind, spec.method),
            option: "ctxt".into(),
            reason: format!("the context has no form as a JSON object: {error}").into(),
        })
    }

    /// Calls a method that has no error of its own.
    ///
    /// # Errors
    ///
    /// As [`RPCClient::call`].
    pub async fn call<R: DeserializeOwned, C: Serialize + Any>(
        rpc: &RPCClient,
        ctxt: &C,
        spec: Spec,
        args: impl Serialize,
    ) -> Result<R, CallError> {
        let rpc = prepared(rpc, spec);
        let ctxt = context(&rpc, CallKind::Call, spec, ctxt)?;
        rpc.call(&ctxt, spec.method, args).await
    }

    /// Calls a method that has an error of its own.
    ///
    /// # Errors
    ///
    /// [`MethodError`].
    pub async fn call_method<R: DeserializeOwned, E: FromFailure, C: Serialize + Any>(
        rpc: &RPCClient,
        ctxt: &C,
        spec: Spec,
        args: impl Serialize,
    ) -> Result<R, MethodError<E>> {
        let rpc = prepared(rpc, spec);
        let ready = context(&rpc, CallKind::Call, spec, ctxt)
            .and_then(|ctxt| rpc.ready(CallKind::Call, &ctxt, spec.method, args));
        let mut flight = rpc.flight(CallKind::Call, spec.method);
        let span = flight.span();
        let reply = async { rpc.send(ready?.traced(span)).await }.instrument(span.clone()).await;
        let site = || rpc.site(CallKind::Call, spec.method);
        let result = reply
            .map_err(MethodError::Call)
            .and_then(|reply| method_outcome(reply, &rpc.transport.settings().remote_errors, site));
        flight.ended(&result);
        result
    }

    /// Casts.
    ///
    /// # Errors
    ///
    /// As [`RPCClient::cast`].
    pub async fn cast<C: Serialize + Any>(
        rpc: &RPCClient,
        ctxt: &C,
        spec: Spec,
        args: impl Serialize,
    ) -> Result<(), CallError> {
        let rpc = prepared(rpc, spec);
        let ctxt = context(&rpc, CallKind::Cast, spec, ctxt)?;
        rpc.cast(&ctxt, spec.method, args).await
    }

    /// Starts a call of a method that has no error of its own.
    ///
    /// # Errors
    ///
    /// As [`RPCClient::start`].
    pub async fn start<R: DeserializeOwned, C: Serialize + Any>(
        rpc: &RPCClient,
        ctxt: &C,
        spec: Spec,
        args: impl Serialize,
    ) -> Result<PendingCall<R>, CallError> {
        let rpc = prepared(rpc, spec);
        let ctxt = context(&rpc, CallKind::Call, spec, ctxt)?;
        rpc.start(&ctxt, spec.method, args).await
    }

    /// Starts a call of a method that has an error of its own.
    ///
    /// # Errors
    ///
    /// As [`RPCClient::start`].
    pub async fn start_method<R: DeserializeOwned, E: FromFailure, C: Serialize + Any>(
        rpc: &RPCClient,
        ctxt: &C,
        spec: Spec,
        args: impl Serialize,
    ) -> Result<PendingMethod<R, E>, CallError> {
        start(rpc, ctxt, spec, args).await.map(PendingMethod::new)
    }
}
