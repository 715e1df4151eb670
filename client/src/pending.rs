//! Started calls.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use oxlo_transport::{FromFailure, PendingReply, Reply, Target, Transport};
use serde::de::DeserializeOwned;

use crate::{
    contract::MethodError,
    error::CallError,
    listeners::warn_if_nobody_listens,
    middleware::Layered,
    reply::{decode, decode_method},
    request_info::RequestInfo,
    telemetry::CallRecord,
};

/// The source of the reply.
pub(crate) enum ReplySource {
    Direct(PendingReply),
    Layered(Layered),
}

/// A started call, whose request the broker has confirmed. Resolves to the result of the method within the timeout, which
/// began with [`start`](crate::RPCClient::start).
///
/// # Errors
///
/// Those of [`RPCClient::call`](crate::RPCClient::call) that arise after the request was sent.
///
/// # Cancel safety
///
/// It can be polled by `&mut`, for example in a `select!`. Dropping it forgets the call at once: a reply that arrives
/// later is discarded. The method may still run.
#[must_use = "dropping it forgets the call"]
pub struct PendingCall<R> {
    reply: ReplySource,
    transport: Arc<dyn Transport>,
    request: RequestInfo,
    record: CallRecord,
    result: PhantomData<fn() -> R>,
}

impl<R> PendingCall<R> {
    pub(crate) fn new(
        reply: ReplySource,
        transport: Arc<dyn Transport>,
        request: RequestInfo,
        record: CallRecord,
    ) -> Self {
        Self { reply, transport, request, record, result: PhantomData }
    }

    /// The message id as logs of brokers and Python servers show it: 32 hexadecimal digits. Empty if a layer answered the
    /// call and nothing was sent.
    #[must_use]
    pub fn message_id(&self) -> String {
        match &self.reply {
            ReplySource::Direct(reply) => reply.message_id(),
            ReplySource::Layered(layered) => layered.message_id.clone(),
        }
    }

    /// Name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.request.method()
    }

    /// The target of the request.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.request.target()
    }
}

impl<R: DeserializeOwned> PendingCall<R> {
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, CallError>> {
        let _entered = self.record.span().enter();
        match &mut self.reply {
            ReplySource::Direct(reply) => Pin::new(reply).poll(cx).map_err(|error| {
                let error = CallError::transport(self.request.clone(), error);
                warn_if_nobody_listens(&self.transport, &error);
                error
            }),
            ReplySource::Layered(layered) => layered.poll(cx),
        }
    }

    /// Polls the call of a method whose contract declares its error.
    pub(crate) fn poll_method<E: FromFailure>(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, MethodError<E>>> {
        let reply = ready!(self.poll_reply(cx));
        let settings = self.transport.settings();
        let result = reply
            .map_err(MethodError::Call)
            .and_then(|reply| decode_method(reply, &settings.remote_errors, || self.request.clone()));
        self.record.finish(&result);
        Poll::Ready(result)
    }
}

impl<R: DeserializeOwned> Future for PendingCall<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(self.poll_reply(cx));
        let settings = self.transport.settings();
        let result = reply.and_then(|reply| decode(reply, &settings.remote_errors, || self.request.clone()));
        self.record.finish(&result);
        Poll::Ready(result)
    }
}

impl<R> fmt::Debug for PendingCall<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall")
            .field("request", &self.request)
            .field("message_id", &self.message_id())
            .finish_non_exhaustive()
    }
}
