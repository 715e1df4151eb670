//! Requests and notifications that come in, and the replies that go out.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use oxlo_driver_kit::{
    held::{HeldReplies, HeldReply, Kind, Standing},
    lateness::{self, Lateness},
    patience::Patience,
};
use oxlo_transport::{
    Failure, Notification, Replier, Reply, Request, Retry, TransportError,
    budget::weight,
    json::Limits,
    listener::{Caller, ReplySink},
};
use oxlo_wire::{amqp1, envelope::Poison};
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use uuid::Uuid;

use crate::{
    address::Addresses,
    consume::{Read, Reader},
    message::{self, Id, Incoming},
    publish::Publisher,
};

/// How long until a reply is tried again.
const AGAIN: Duration = Duration::from_millis(250);
/// How long a reply is tried whose caller did not say how long it waits: oslo's `default_reply_timeout`.
const REPLY_LIMIT: Duration = Duration::from_secs(30);
/// How long one address may keep a reply from its server's other callers: it may give no credit, or never answer.
const FIRST_TRY: Duration = Duration::from_secs(1);
/// How long an address is tried that took a reply before.
pub(crate) const HELD_FOR: Duration = Duration::from_secs(60);

/// Reads requests, and knows how to answer them.
#[derive(Debug)]
pub(crate) struct RequestReader {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) held: Arc<HeldReplies<Unsent>>,
    pub(crate) lateness: Arc<Lateness>,
    pub(crate) limits: Limits,
    pub(crate) max_size: usize,
    pub(crate) addresses: Addresses,
}

impl Reader for RequestReader {
    type Message = Request;

    fn read(&self, incoming: Incoming) -> Result<Read<Request>, Poison> {
        let body = incoming.body.unwrap_or_default();
        let inbound = amqp1::decode_request(&body, self.limits)?;
        let bytes = weight(body.len(), &inbound.request.context);
        let caller = incoming.reply_to.zip(incoming.message_id);
        let deadline = match &caller {
            Some((reply_to, id)) => incoming.ttl.and_then(|left| {
                // The broker's time began when it read the message.
                let sent = match (incoming.stamp, id) {
                    (None, Id::String(id)) => Uuid::try_parse(id).ok(),
                    (stamp, _) => stamp,
                };
                let sent = sent.and_then(lateness::Stamp::of);
                let age = sent.map_or(Duration::ZERO, |sent| self.lateness.age(reply_to, sent, lateness::steady_now()));
                Instant::now().checked_add(left.saturating_sub(age))
            }),
            None => None,
        };
        let replier = caller
            .map(|(address, message_id)| {
                if !self.addresses.can_be_reply(&address) {
                    return Err(Poison::WrongType { key: "reply-to", expected: "a reply address" });
                }
                let interval = inbound.heartbeat_interval;
                let answer = Answer {
                    publisher: self.publisher.clone(),
                    held: self.held.clone(),
                    address,
                    message_id,
                    interval,
                    deadline,
                    max_size: self.max_size,
                };
                Ok(Replier::new(Box::new(answer), interval))
            })
            .transpose()?;
        Ok(Read { message: inbound.request, replier, deadline, bytes })
    }
}

/// Answers one call.
struct Answer {
    publisher: Arc<Publisher>,
    held: Arc<HeldReplies<Unsent>>,
    address: String,
    message_id: Id,
    interval: Option<Duration>,
    deadline: Option<Instant>,
    max_size: usize,
}

#[async_trait]
impl ReplySink for Answer {
    fn caller(&self) -> Option<Caller> {
        let id = match &self.message_id {
            Id::String(id) => id.clone(),
            Id::Uuid(id) => Uuid::from_bytes(*id.as_inner()).simple().to_string(),
            Id::Ulong(id) => id.to_string(),
            Id::Binary(_) => String::new(),
        };
        Some(Caller::new(&*self.address, id))
    }

    async fn heartbeat(&self) -> Result<(), TransportError> {
        let interval = self.interval.unwrap_or(Duration::from_secs(1));
        let mut beat = message::reply(&self.address, None, &self.message_id, Some(interval * 2));
        self.publisher.send_heartbeat(&self.address, &mut beat, &Patience::new(interval, Retry::Forever)).await
    }

    /// Sends the reply once, and again only while the connection itself is lost: what its address alone does not take is
    /// held aside and costs nobody else anything.
    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        let mut json = amqp1::encode_reply(&reply).map_err(|error| unwritable(&error))?;
        if json.len() > self.max_size {
            let reason = format!("the reply has {} bytes, the limit is {}", json.len(), self.max_size);
            json = refusal("OverflowError", reason)?;
        }
        match self.held.standing(&self.address) {
            Standing::Open => {}
            Standing::Waiting => return self.hold(json, Kind::Stranger),
            Standing::Gone => return Err(self.undeliverable()),
        }
        let begun = Instant::now();
        let give_up = self.deadline.unwrap_or(begun + REPLY_LIMIT).max(begun + AGAIN);
        let mut message = message::reply(&self.address, Some(&json), &self.message_id, None);
        let (mut told, mut kind) = (false, Kind::Stranger);
        loop {
            let now = Instant::now();
            let patience = Patience { begun, deadline: give_up.min(now + FIRST_TRY), retry: Retry::Forever };
            let failed = match self.publisher.send(&self.address, &mut message, true, &patience).await {
                Ok(()) => {
                    self.held.arrived(&self.address);
                    return Ok(());
                }
                Err(failed) => failed,
            };
            match failed {
                TransportError::Undeliverable { .. } => return Err(self.undeliverable()),
                // It was sent. A router tells the outcome when the caller has settled, which may be never.
                TransportError::Unconfirmed { .. } => {
                    debug!(address = %self.address, %failed, "nothing says yet that a reply arrived");
                    return Ok(());
                }
                TransportError::ConnectionLost { .. } | TransportError::Unreachable { .. }
                    if !self.publisher.is_up() && Instant::now() + AGAIN < give_up =>
                {
                    // A reply that comes twice finds nobody waiting the second time.
                    kind = Kind::Known;
                    sleep_until(Instant::now() + AGAIN).await;
                }
                TransportError::ConnectionLost { .. }
                | TransportError::Unreachable { .. }
                | TransportError::Rejected { .. }
                | TransportError::Blocked { .. } => {
                    debug!(address = %self.address, %failed, "an address does not take a reply, which is tried again");
                    return self.hold(json, kind);
                }
                // The caller learns why at once, if only its own reply is what the broker refuses.
                TransportError::MessageRefused { .. } | TransportError::Topology { .. } if !told => {
                    told = true;
                    json = refusal("RuntimeError", format!("the reply was refused: {failed}"))?;
                    message = message::reply(&self.address, Some(&json), &self.message_id, None);
                }
                failed => return Err(failed),
            }
        }
    }
}

impl Answer {
    /// Leaves a reply to those that wait for their address.
    #[allow(clippy::unnecessary_wraps, reason = "it ends as a reply does that is delivered")]
    fn hold(&self, json: String, kind: Kind) -> Result<(), TransportError> {
        let (publisher, message_id) = (self.publisher.clone(), self.message_id.clone());
        let unsent = Unsent { publisher, address: self.address.as_str().into(), message_id, json };
        self.held.hold(&self.address, unsent, self.deadline, kind);
        Ok(())
    }

    fn undeliverable(&self) -> TransportError {
        metrics::counter!("oxlo_replies_undeliverable_total").increment(1);
        TransportError::Undeliverable { exchange: String::new(), routing_key: self.address.clone() }
    }
}

/// The failure in place of a reply that cannot be sent.
fn refusal(class: &str, reason: String) -> Result<String, TransportError> {
    let failure = Reply::Failure(Box::new(Failure::builtin(class, reason)));
    amqp1::encode_reply(&failure).map_err(|error| unwritable(&error))
}

fn unwritable(error: &serde_json::Error) -> TransportError {
    TransportError::MalformedReply { reason: format!("it cannot be written: {error}") }
}

/// A reply that waits for its address.
#[derive(Debug)]
pub(crate) struct Unsent {
    publisher: Arc<Publisher>,
    address: Box<str>,
    message_id: Id,
    json: String,
}

impl HeldReply for Unsent {
    fn size(&self) -> usize {
        self.json.len() + self.address.len()
    }

    async fn send(&self, patience: &Patience) -> Result<(), TransportError> {
        let mut message = message::reply(&self.address, Some(&self.json), &self.message_id, None);
        match self.publisher.send(&self.address, &mut message, true, patience).await {
            // It was sent, and sent again it would only take more room.
            Err(TransportError::Unconfirmed { .. }) => Ok(()),
            sent => sent,
        }
    }
}

/// Reads notifications.
#[derive(Debug)]
pub(crate) struct NotificationReader {
    pub(crate) limits: Limits,
}

impl Reader for NotificationReader {
    type Message = Notification;

    fn read(&self, incoming: Incoming) -> Result<Read<Notification>, Poison> {
        let body = incoming.body.unwrap_or_default();
        let message = amqp1::decode_notification(&body, self.limits)?;
        let bytes = weight(body.len(), &message.context);
        Ok(Read { message, replier: None, deadline: None, bytes })
    }
}
