//! The reply of a call whose request was sent.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use uuid::Uuid;

use crate::{error::TransportError, message::Reply};

/// A call whose request was sent: a future of its reply.
///
/// It resolves within the timeout of the call, which starts with the call. Dropping the future abandons the call at once:
/// the method may still run, and its reply is discarded.
#[must_use = "dropping it abandons the call"]
pub struct PendingReply {
    id: Uuid,
    reply: Pin<Box<dyn Future<Output = Result<Reply, TransportError>> + Send + Sync>>,
}

impl PendingReply {
    /// Creates the future of a call's reply; for drivers. `reply` must resolve by the deadline of the call `id`, and abandon the
    /// call when it is dropped.
    pub fn new(id: Uuid, reply: impl Future<Output = Result<Reply, TransportError>> + Send + Sync + 'static) -> Self {
        Self { id, reply: Box::pin(reply) }
    }

    /// The id of the call.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The id of the call in oslo.messaging's form: 32 hexadecimal digits.
    #[must_use]
    pub fn message_id(&self) -> String {
        self.id.simple().to_string()
    }

    /// Transforms the reply when it arrives, or replaces it with an error; for transports that wrap another one.
    pub fn and_then(self, change: impl FnOnce(Reply) -> Result<Reply, TransportError> + Send + Sync + 'static) -> Self {
        Self::new(self.id, async move { self.reply.await.and_then(change) })
    }
}

impl Future for PendingReply {
    type Output = Result<Reply, TransportError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.reply.as_mut().poll(cx)
    }
}

impl fmt::Debug for PendingReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingReply").field("message_id", &self.message_id()).finish_non_exhaustive()
    }
}
