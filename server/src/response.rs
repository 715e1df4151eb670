//! What the server does with a request whose handler has ended, and sending the reply.

use oxlo_transport::{Failure, Payload, Replier, Reply, Settle, TransportError, limited, text::name as shown};

use crate::{
    failures,
    log::{About, RequestId, tell},
    outcome::Outcome,
    requests::Requests,
};

/// What the server does with a request whose handler has ended.
pub(crate) enum Response {
    Result(Payload),
    Failure(Box<Failure>),
    Expected(Box<Failure>),
    Requeue,
    Ignore,
    Abandoned,
}

impl Response {
    /// The class of the failure, if it is one.
    pub(crate) fn class(&self) -> Option<&str> {
        match self {
            Self::Failure(failure) | Self::Expected(failure) => Some(&failure.class),
            _ => None,
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Result(_) => Outcome::Result,
            Self::Failure(_) => Outcome::Failure,
            Self::Expected(_) => Outcome::Expected,
            Self::Requeue => Outcome::Requeue,
            Self::Ignore => Outcome::Ignore,
            Self::Abandoned => Outcome::Abandoned,
        }
    }

    /// Turns a requeue into a failure, for requests that were acknowledged before: no other server can receive them.
    pub(crate) fn without_requeue(self, about: About<'_>) -> Self {
        match self {
            Self::Requeue => {
                tell!(warn, about, "the method requeued its request, which needs AckPolicy::AfterReply");
                Self::Failure(Box::new(failures::requeue_refused(about.method)))
            }
            other => other,
        }
    }
}

/// Sends the reply, then settles the request accordingly. Returns whether the reply was delivered.
pub(crate) async fn send(
    requests: &Requests,
    replier: Replier,
    reply: Reply,
    settle: Option<Settle>,
    method: &str,
    request_id: &RequestId,
) -> bool {
    match replier.reply(reply).await {
        Ok(()) => {
            ack(settle);
            true
        }
        Err(error) => {
            requests.telemetry.replies_lost.increment(1);
            limited!(
                warn,
                "the reply could not be delivered",
                topic = &*requests.topic,
                method = &*shown(method),
                request_id = request_id.shown().as_deref(),
                %error
            );
            match settle {
                // Running the method again would end in the same way.
                Some(settle) if would_fail_again(&error) => settle.ack(),
                Some(settle) => settle.requeue(),
                None => {}
            }
            false
        }
    }
}

fn would_fail_again(error: &TransportError) -> bool {
    matches!(
        error,
        TransportError::Undeliverable { .. }
            | TransportError::Rejected { .. }
            | TransportError::MessageRefused { .. }
            | TransportError::TooLarge { .. }
            | TransportError::InvalidTarget { .. }
    )
}

/// Acknowledges the request, unless that was done before.
pub(crate) fn ack(settle: Option<Settle>) {
    if let Some(settle) = settle {
        settle.ack();
    }
}
