//! A received reply that the waiting task decodes.

use std::fmt;

use bytes::Bytes;
use oxlo_transport::{Reply, json::Limits};

use crate::{amqp1, reply};

/// A received reply; [`read`](Self::read) decodes it to a [`Reply`].
///
/// One task distributes the replies to all calls of a transport. It only determines the call; the caller's own task decodes
/// the reply, so that a reply no call waits for does not delay other callers.
#[derive(Clone, PartialEq)]
pub struct UnreadReply {
    text: Bytes,
    form: Form,
    limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// The failure in a reply in the rabbit driver's format.
    Failure,
    /// The body of a reply in the AMQP 1.0 driver's format.
    Amqp1,
}

impl UnreadReply {
    pub(super) fn failure(text: Bytes, limits: Limits) -> Self {
        Self { text, form: Form::Failure, limits }
    }

    /// Creates an unread reply from a body in the AMQP 1.0 driver's format.
    #[must_use]
    pub fn amqp1(body: Bytes, limits: Limits) -> Self {
        Self { text: body, form: Form::Amqp1, limits }
    }

    /// Decodes the reply.
    ///
    /// # Errors
    ///
    /// The reason as text.
    pub fn read(&self) -> Result<Reply, String> {
        match self.form {
            Form::Failure => {
                let text =
                    str::from_utf8(&self.text).map_err(|_| "cannot decode the failure: it is not UTF-8".to_owned())?;
                reply::read_failure(text, self.limits).map(|failure| Reply::Failure(Box::new(failure)))
            }
            Form::Amqp1 => amqp1::decode_reply(&self.text, self.limits),
        }
    }
}

impl fmt::Debug for UnreadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnreadReply({} bytes)", self.text.len())
    }
}
