//! Requests that come in, and the replies that go out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use oxlo_driver_net::patience::Patience;
use oxlo_transport::{
    Failure, Replier, Reply, Request, Retry, TransportError,
    listener::{self, ReplySink},
    parts::budget::weight,
    wire::{
        envelope::Poison,
        json::Limits,
        reply,
        request::{self, Caller},
    },
};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    consume::{Read, Reader},
    lateness::{self, Lateness},
    properties,
    publish::{Outgoing, Publisher},
    received::Received,
    topology::TopologyOptions,
};

/// How long until a reply to a queue that does not exist is tried again. oslo's pause.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a queue that did not come back is not tried at all, and how many of those are remembered. oslo's numbers.
const VANISHED_FOR: Duration = Duration::from_secs(60);
const VANISHED_MOST: usize = 200;

/// The broker's code for a message that it does not take as it is.
const TOO_LARGE: &str = "406";

/// Reads requests, and knows how to answer them.
#[derive(Debug)]
pub(crate) struct RequestReader {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) vanished: Arc<Vanished>,
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
            return Err(Poison::WrongType { key: "_reply_q", wanted: "name of a reply queue" });
        }
        let interval = caller.heartbeat_interval;
        let answer = Answer {
            publisher: self.publisher.clone(),
            vanished: self.vanished.clone(),
            caller,
            deadline,
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
    vanished: Arc<Vanished>,
    caller: Caller,
    deadline: Option<Instant>,
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

    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        let id = Uuid::now_v7();
        let unique_id = id.simple().to_string();
        let mut body = self.encode(&unique_id, &reply)?;
        let mut shrunk = None;
        if body.len() > self.rules.max_size {
            let reason = format!("the reply has {} bytes, the limit is {}", body.len(), self.rules.max_size);
            body = self.encode(&unique_id, shrunk.insert(overflow(reason)))?;
        }
        let begun = Instant::now();
        let give_up = begun + self.rules.missing_queue_retry;
        let give_up = self.deadline.map_or(give_up, |deadline| give_up.min(deadline));
        let patience = Patience { begun, deadline: give_up.max(begun + AGAIN), retry: Retry::Forever };
        match self.send(body, &patience).await {
            Ok(()) => Ok(()),
            // Boxed, because every layer around a future moves and stores it once more, and trying again is rare.
            Err(failed) => {
                let unsent = Unsent { unique_id, is_shrunk: shrunk.is_some(), reply: shrunk.unwrap_or(reply) };
                Box::pin(self.again(failed, unsent, give_up, &patience)).await
            }
        }
    }
}

impl Answer {
    /// Sends a reply again and again while that may help and its caller can still be waiting.
    async fn again(
        &self,
        mut failed: TransportError,
        mut unsent: Unsent,
        give_up: Instant,
        patience: &Patience,
    ) -> Result<(), TransportError> {
        let queue = &self.caller.reply_queue;
        loop {
            if self.vanished.contains(queue) {
                return Err(failed);
            }
            let again = Instant::now() + AGAIN;
            match failed {
                // Its caller's connection may be lost as well, and its queue declared again in a moment.
                TransportError::Undeliverable { .. } if again > give_up => {
                    self.vanished.insert(queue);
                    return Err(undeliverable(queue));
                }
                TransportError::Undeliverable { .. } => {
                    debug!(%queue, "the reply queue is not there; the reply is tried again");
                    sleep_until(again).await;
                }
                // A reply that comes twice finds nobody waiting the second time.
                TransportError::ConnectionLost { .. } | TransportError::Rejected { .. } if again < give_up => {
                    sleep_until(again).await;
                }
                // The broker takes other replies: the caller learns why not this one.
                TransportError::MessageRefused { ref code, ref reason, .. }
                    if **code == *TOO_LARGE && !unsent.is_shrunk =>
                {
                    warn!(%failed, "the broker refused a reply; its caller gets a failure instead");
                    unsent.reply = overflow(format!("the broker refused the reply: {reason}"));
                    unsent.is_shrunk = true;
                }
                failed => return Err(failed),
            }
            match self.send(self.encode(&unsent.unique_id, &unsent.reply)?, patience).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = error,
            }
        }
    }

    fn encode(&self, unique_id: &str, reply: &Reply) -> Result<Vec<u8>, TransportError> {
        reply::encode_to(&self.caller, unique_id, reply).map_err(|error| unwritable(&error))
    }

    /// Sends a reply, unless its queue did not come back for another.
    async fn send(&self, body: Vec<u8>, patience: &Patience) -> Result<(), TransportError> {
        if self.vanished.contains(&self.caller.reply_queue) {
            return Err(undeliverable(&self.caller.reply_queue));
        }
        self.publish(body, patience).await
    }

    async fn publish(&self, body: Vec<u8>, patience: &Patience) -> Result<(), TransportError> {
        let route = Arc::new(TopologyOptions::reply_route(&self.caller.reply_queue));
        let outgoing = Outgoing { route: &route, body, mandatory: self.rules.mandatory, expires: false, again: None };
        self.publisher.publish_confirmed(outgoing, patience).await
    }
}

/// A reply that could not be sent.
struct Unsent {
    unique_id: String,
    reply: Reply,
    /// It stands in for one that is too large.
    is_shrunk: bool,
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

/// Reply queues that did not come back in time, so that the next reply to one of them does not wait again.
#[derive(Debug, Default)]
pub(crate) struct Vanished(Mutex<HashMap<String, Instant>>);

impl Vanished {
    fn contains(&self, queue: &str) -> bool {
        let queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queues.get(queue).is_some_and(|since| since.elapsed() < VANISHED_FOR)
    }

    fn insert(&self, queue: &str) {
        metrics::counter!("oxlo_replies_undeliverable_total").increment(1);
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|_, since| since.elapsed() < VANISHED_FOR);
        if queues.len() < VANISHED_MOST {
            queues.insert(queue.to_owned(), Instant::now());
        }
    }
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

    #[tokio::test(start_paused = true)]
    async fn a_vanished_queue_is_remembered_for_a_minute() {
        let vanished = Vanished::default();
        vanished.insert("reply_a");
        assert!(vanished.contains("reply_a") && !vanished.contains("reply_b"));
        tokio::time::advance(VANISHED_FOR).await;
        assert!(!vanished.contains("reply_a"));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_of_vanished_queues_is_bounded() {
        let vanished = Vanished::default();
        (0..1000).for_each(|number| vanished.insert(&format!("reply_{number}")));
        assert_eq!(vanished.0.lock().unwrap_or_else(PoisonError::into_inner).len(), VANISHED_MOST);
    }
}
