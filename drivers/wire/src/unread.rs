//! The end of a call as it came, which the task that waits for it reads.

use std::fmt;

use bytes::Bytes;
use oxlo_transport::{json::Limits, message::Reply};

use crate::{amqp1, reply};

/// The end of a call as it came; [`read`](Self::read) makes a [`Reply`] of it.
///
/// One task hands out the replies to all calls of a transport. It only finds out which call a reply is for; the
/// caller's own task does the work that a reply makes, so that one that nobody waits for costs no caller anything.
#[derive(Clone, PartialEq)]
pub struct UnreadReply {
    text: Bytes,
    form: Form,
    limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// The failure in a reply of the rabbit driver.
    Failure,
    /// The body of a reply over AMQP 1.0.
    Amqp1,
}

impl UnreadReply {
    pub(super) fn failure(text: Bytes, limits: Limits) -> Self {
        Self { text, form: Form::Failure, limits }
    }

    /// The body of a reply over AMQP 1.0.
    #[must_use]
    pub fn amqp1(body: Bytes, limits: Limits) -> Self {
        Self { text: body, form: Form::Amqp1, limits }
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as text.
    pub fn read(&self) -> Result<Reply, String> {
        match self.form {
            Form::Failure => {
                let text = str::from_utf8(&self.text).map_err(|_| "its failure is none: it is not UTF-8".to_owned())?;
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
