//! A call that is on its way.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use oxlo_transport::{PendingReply, Reply, Target, Transport, settings::FromFailure};
use serde::de::DeserializeOwned;

use crate::{
    contract::MethodError,
    error::CallError,
    listeners::look_after_timeout,
    middleware::Layered,
    outcome::{method_outcome, outcome},
    site::CallSite,
    telemetry::Flight,
};

/// Who holds the reply.
pub(crate) enum OnItsWay {
    Direct(PendingReply),
    Layered(Layered),
}

/// A call whose request is at the broker; resolves to the method's result, within the timeout that began with
/// [`start`](crate::RPCClient::start).
///
/// # Cancel safety
///
/// It can be polled on and off, for instance in a `select!` by `&mut`. Dropping it forgets the call at once: its reply
/// is dropped when it comes; the method may still run.
#[must_use = "dropping it forgets the call"]
pub struct PendingCall<R> {
    reply: OnItsWay,
    transport: Arc<dyn Transport>,
    site: CallSite,
    flight: Flight,
    result: PhantomData<fn() -> R>,
}

impl<R> PendingCall<R> {
    pub(crate) fn new(reply: OnItsWay, transport: Arc<dyn Transport>, site: CallSite, flight: Flight) -> Self {
        Self { reply, transport, site, flight, result: PhantomData }
    }

    /// The call's id, as it travels and as a broker's or a Python server's log shows it: 32 hexadecimal digits. Empty if
    /// a layer answered by itself and nothing was sent.
    #[must_use]
    pub fn message_id(&self) -> String {
        match &self.reply {
            OnItsWay::Direct(reply) => reply.message_id(),
            OnItsWay::Layered(layered) => layered.message_id.clone(),
        }
    }

    /// Name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.site.method()
    }

    /// Where the request went.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.site.target()
    }
}

impl<R: DeserializeOwned> PendingCall<R> {
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, CallError>> {
        let _entered = self.flight.span().enter();
        match &mut self.reply {
            OnItsWay::Direct(reply) => Pin::new(reply).poll(cx).map_err(|error| {
                let error = CallError::of(self.site.clone(), error);
                look_after_timeout(&self.transport, &error);
                error
            }),
            OnItsWay::Layered(layered) => layered.poll(cx),
        }
    }

    /// As polling it, for a method whose contract names its error.
    pub(crate) fn poll_method<E: FromFailure>(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, MethodError<E>>> {
        let reply = ready!(self.poll_reply(cx));
        let settings = self.transport.settings();
        let result = reply
            .map_err(MethodError::Call)
            .and_then(|reply| method_outcome(reply, &settings.remote_errors, || self.site.clone()));
        self.flight.ended(&result);
        Poll::Ready(result)
    }
}

impl<R: DeserializeOwned> Future for PendingCall<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(self.poll_reply(cx));
        let settings = self.transport.settings();
        let result = reply.and_then(|reply| outcome(reply, &settings.remote_errors, || self.site.clone()));
        self.flight.ended(&result);
        Poll::Ready(result)
    }
}

impl<R> fmt::Debug for PendingCall<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall")
            .field("site", &self.site)
            .field("message_id", &self.message_id())
            .finish_non_exhaustive()
    }
}
