//! Requests that come in, and the replies that go out.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use oxlo_driver_kit::{
    held::{HeldReplies, HeldReply, Kind, Standing},
    patience::Patience,
};
use oxlo_transport::{
    Failure, Replier, Reply, Request, Retry, TransportError,
    budget::weight,
    json::Limits,
    limited,
    listener::{self, ReplySink},
};
use oxlo_wire::{
    envelope::Poison,
    reply,
    request::{self, Caller},
};
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use uuid::Uuid;

use crate::{
    consume::{Read, Reader},
    lateness::{self, Lateness},
    properties,
    publish::{Outgoing, Publisher},
    stream::received::Received,
    topology::TopologyOptions,
};

/// How long until a reply is tried again. oslo's pause.
const AGAIN: Duration = Duration::from_millis(250);

/// The broker's code for a message that it does not take as it is.
const TOO_LARGE: &str = "406";

/// Reads requests, and knows how to answer them.
#[derive(Debug)]
pub(crate) struct RequestReader {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) held: Arc<HeldReplies<Unsent>>,
    pub(crate) lateness: Arc<Lateness>,
    pub(crate) limits: Limits,
    pub(crate) replies: ReplyRules,
}

/// How replies are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyRules {
    /// How long a reply to a queue that does not exist is tried again.
    pub(crate) missing_queue_retry: Duration,
    /// Whether a queue that does not exist is noticed at all.
    pub(crate) mandatory: bool,
    pub(crate) max_size: usize,
}

impl Reader for RequestReader {
    type Message = Request;

    fn read(&self, properties: &Received, body: Bytes) -> Result<Read<Request>, Poison> {
        let body = properties::body(properties, body, self.limits.max_bytes)?;
        let inbound = request::decode(&body, self.limits)?;
        let deadline = properties::expiration(properties).and_then(|left| {
            let sent = properties::message_id(properties).and_then(lateness::Stamp::of);
            let age = match (sent, &inbound.caller) {
                (Some(sent), Some(caller)) => self.lateness.age(&caller.reply_queue, sent, lateness::steady_now()),
                _ => Duration::ZERO,
            };
            Instant::now().checked_add(left.saturating_sub(age))
        });
        let replier = inbound.caller.map(|caller| self.replier(caller, deadline)).transpose()?;
        let bytes = weight(body.len(), &inbound.request.context);
        Ok(Read { message: inbound.request, unique_id: inbound.unique_id, replier, deadline, bytes })
    }
}

impl RequestReader {
    fn replier(&self, caller: Caller, deadline: Option<Instant>) -> Result<Replier, Poison> {
        if !is_reply_queue(&caller.reply_queue) {
            return Err(Poison::WrongType { key: "_reply_q", expected: "the name of a reply queue" });
        }
        let interval = caller.heartbeat_interval;
        let answer = Answer {
            publisher: self.publisher.clone(),
            held: self.held.clone(),
            caller,
            deadline,
            incarnation: self.publisher.incarnation(),
            rules: self.replies,
        };
        Ok(Replier::new(Box::new(answer), interval))
    }
}

/// Whether a name can be that of a reply queue. Replies go to the default exchange, so a forged name could otherwise
/// lead to any queue of the broker.
fn is_reply_queue(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    name.len() <= 255 && name.strip_prefix("reply_").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// Answers one call.
struct Answer {
    publisher: Arc<Publisher>,
    held: Arc<HeldReplies<Unsent>>,
    caller: Caller,
    deadline: Option<Instant>,
    /// Of the connection that publishes, when the request came.
    incarnation: u32,
    rules: ReplyRules,
}

#[async_trait]
impl ReplySink for Answer {
    fn caller(&self) -> Option<listener::Caller> {
        Some(listener::Caller::new(&*self.caller.reply_queue, &*self.caller.message_id))
    }

    async fn heartbeat(&self) -> Result<(), TransportError> {
        let id = Uuid::now_v7();
        let body =
            reply::encode_heartbeat_to(&self.caller, &id.simple().to_string()).map_err(|error| unwritable(&error))?;
        let interval = self.caller.heartbeat_interval.unwrap_or(AGAIN);
        self.publish(body, &Patience::new(interval, Retry::Forever)).await
    }

    /// Sends the reply once, and again only while the connection itself is lost: what its queue alone does not take is
    /// held aside and costs nobody else anything.
    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        let id = Uuid::now_v7();
        let unique_id = id.simple().to_string();
        let mut body = self.encode(&unique_id, &reply)?;
        let mut shrunk = None;
        if body.len() > self.rules.max_size {
            let reason = format!("the reply has {} bytes, the limit is {}", body.len(), self.rules.max_size);
            body = self.encode(&unique_id, shrunk.insert(overflow(reason)))?;
        }
        match self.held.standing(&self.caller.reply_queue) {
            Standing::Open => {}
            Standing::Waiting => return self.hold(body, false),
            Standing::Gone => {
                metrics::counter!("oxlo_replies_undeliverable_total").increment(1);
                return Err(undeliverable(&self.caller.reply_queue));
            }
        }
        let begun = Instant::now();
        let give_up = begun + self.rules.missing_queue_retry;
        let give_up = self.deadline.map_or(give_up, |deadline| give_up.min(deadline));
        let patience = Patience { begun, deadline: give_up.max(begun + AGAIN), retry: Retry::Forever };
        match self.publish(body, &patience).await {
            Ok(()) => Ok(()),
            // Boxed, because every layer around a future moves and stores it once more, and trying again is rare.
            Err(failed) => {
                let sent = Sent { unique_id, is_shrunk: shrunk.is_some(), reply: shrunk.unwrap_or(reply) };
                Box::pin(self.again(failed, sent, give_up, &patience)).await
            }
        }
    }
}

impl Answer {
    /// What becomes of a reply that was sent and did not arrive.
    async fn again(
        &self,
        mut failed: TransportError,
        mut sent: Sent,
        give_up: Instant,
        patience: &Patience,
    ) -> Result<(), TransportError> {
        let mut was_lost = false;
        loop {
            let again = Instant::now() + AGAIN;
            match failed {
                TransportError::Undeliverable { .. } | TransportError::Rejected { .. }
                    if self.rules.missing_queue_retry >= AGAIN =>
                {
                    let queue = &self.caller.reply_queue;
                    debug!(%queue, %failed, "the reply queue does not take a reply, which is tried again");
                    return self.hold(self.encode(&sent.unique_id, &sent.reply)?, was_lost);
                }
                // A reply that comes twice finds nobody waiting the second time.
                TransportError::ConnectionLost { .. } if again < give_up => {
                    was_lost = true;
                    sleep_until(again).await;
                }
                // The broker takes other replies: the caller learns why not this one.
                TransportError::MessageRefused { ref code, ref reason, .. }
                    if **code == *TOO_LARGE && !sent.is_shrunk =>
                {
                    limited!(warn, "the broker refused a reply; its caller gets a failure instead", %failed);
                    sent.reply = overflow(format!("the broker refused the reply: {reason}"));
                    sent.is_shrunk = true;
                }
                failed => return Err(failed),
            }
            match self.publish(self.encode(&sent.unique_id, &sent.reply)?, patience).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = error,
            }
        }
    }

    /// Leaves a reply to those that wait for their queue.
    #[allow(clippy::unnecessary_wraps, reason = "it ends as a reply does that is delivered")]
    fn hold(&self, body: Vec<u8>, was_lost: bool) -> Result<(), TransportError> {
        let queue = &self.caller.reply_queue;
        // Its caller may have lost the same broker, and declare its queue again in a while.
        let was_lost = was_lost || self.incarnation != self.publisher.incarnation();
        let kind = if was_lost { Kind::Known } else { Kind::Stranger };
        let (publisher, mandatory) = (self.publisher.clone(), self.rules.mandatory);
        let unsent = Unsent { publisher, queue: queue.as_str().into(), body, mandatory };
        self.held.hold(queue, unsent, self.deadline, kind);
        Ok(())
    }

    fn encode(&self, unique_id: &str, reply: &Reply) -> Result<Vec<u8>, TransportError> {
        reply::encode_to(&self.caller, unique_id, reply).map_err(|error| unwritable(&error))
    }

    async fn publish(&self, body: Vec<u8>, patience: &Patience) -> Result<(), TransportError> {
        let queue = &self.caller.reply_queue;
        publish(&self.publisher, queue, body, self.rules.mandatory, patience).await?;
        if self.rules.mandatory {
            self.held.arrived(queue);
        }
        Ok(())
    }
}

async fn publish(
    publisher: &Publisher,
    queue: &str,
    body: Vec<u8>,
    mandatory: bool,
    patience: &Patience,
) -> Result<(), TransportError> {
    let route = Arc::new(TopologyOptions::reply_route(queue));
    let outgoing = Outgoing { route: &route, body, mandatory, expires: false, again: None };
    publisher.publish_confirmed(outgoing, patience).await
}

/// A reply that was sent and did not arrive.
struct Sent {
    unique_id: String,
    reply: Reply,
    /// It stands in for one that is too large.
    is_shrunk: bool,
}

/// A reply that waits for its queue.
#[derive(Debug)]
pub(crate) struct Unsent {
    publisher: Arc<Publisher>,
    queue: Box<str>,
    body: Vec<u8>,
    mandatory: bool,
}

impl HeldReply for Unsent {
    fn size(&self) -> usize {
        self.body.len() + self.queue.len()
    }

    async fn send(&self, patience: &Patience) -> Result<(), TransportError> {
        publish(&self.publisher, &self.queue, self.body.clone(), self.mandatory, patience).await
    }
}

/// The failure in place of a reply that is too large.
fn overflow(reason: String) -> Reply {
    Reply::Failure(Box::new(Failure::builtin("OverflowError", reason)))
}

fn undeliverable(queue: &str) -> TransportError {
    TransportError::Undeliverable { exchange: String::new(), routing_key: queue.to_owned() }
}

fn unwritable(error: &serde_json::Error) -> TransportError {
    TransportError::MalformedReply { reason: format!("it cannot be written: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reply_queues_are_answered_to() {
        for name in ["reply_2c5b1afb859e409a94903388b7dc0fc1", "reply_host-1.example:nova-api:2"] {
            assert!(is_reply_queue(name), "{name}");
        }
        let long = format!("reply_{}", "a".repeat(250));
        for name in ["", "reply_", "calculator", "reply_a b", "reply_\u{e9}", "amq.gen-x", long.as_str()] {
            assert!(!is_reply_queue(name), "{name}");
        }
    }
}
