//! Requests and notifications that come in, and the replies that go out.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use oxlo_driver_net::{
    lateness::{self, Lateness},
    patience::Patience,
};
use oxlo_transport::{
    Failure, Notification, Replier, Reply, Request, Retry, TransportError,
    listener::{Caller, ReplySink},
    wire::{amqp1, envelope::Poison, json::Limits},
};
use tokio::time::{Instant, sleep_until};
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

/// Reads requests, and knows how to answer them.
#[derive(Debug)]
pub(crate) struct RequestReader {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) lateness: Arc<Lateness>,
    pub(crate) limits: Limits,
    pub(crate) max_size: usize,
    pub(crate) addresses: Addresses,
}

impl Reader for RequestReader {
    type Message = Request;

    fn read(&self, incoming: Incoming) -> Result<Read<Request>, Poison> {
        let inbound = amqp1::decode_request(&incoming.body.unwrap_or_default(), self.limits)?;
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
                    return Err(Poison::WrongType { key: "reply-to", wanted: "address of replies" });
                }
                let interval = inbound.heartbeat_interval;
                let answer = Answer {
                    publisher: self.publisher.clone(),
                    address,
                    message_id,
                    interval,
                    deadline,
                    max_size: self.max_size,
                };
                Ok(Replier::new(Box::new(answer), interval))
            })
            .transpose()?;
        Ok(Read { message: inbound.request, replier, deadline })
    }
}

/// Answers one call.
struct Answer {
    publisher: Arc<Publisher>,
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

    async fn finish(self: Box<Self>, reply: Reply) -> Result<(), TransportError> {
        let unwritable = |error: serde_json::Error| TransportError::MalformedReply {
            reason: format!("it cannot be written: {error}"),
        };
        let mut json = amqp1::encode_reply(&reply).map_err(unwritable)?;
        if json.len() > self.max_size {
            let reason = format!("the reply has {} bytes, the limit is {}", json.len(), self.max_size);
            let failure = Reply::Failure(Box::new(Failure::builtin("OverflowError", reason)));
            json = amqp1::encode_reply(&failure).map_err(unwritable)?;
        }
        let begun = Instant::now();
        let give_up = self.deadline.unwrap_or(begun + REPLY_LIMIT).max(begun + AGAIN);
        let patience = Patience { begun, deadline: give_up, retry: Retry::Forever };
        let mut message = message::reply(&self.address, Some(&json), &self.message_id, None);
        let mut told = false;
        loop {
            match self.publisher.send(&self.address, &mut message, true, &patience).await {
                // A reply that comes twice finds nobody waiting the second time.
                Err(TransportError::ConnectionLost { .. } | TransportError::Rejected { .. })
                    if Instant::now() + AGAIN < give_up =>
                {
                    sleep_until(Instant::now() + AGAIN).await;
                }
                Err(undeliverable @ TransportError::Undeliverable { .. }) => {
                    metrics::counter!("oxlo_replies_undeliverable_total").increment(1);
                    return Err(undeliverable);
                }
                // The caller learns why at once, if only its own reply is what the broker refuses.
                Err(refused @ (TransportError::MessageRefused { .. } | TransportError::Topology { .. })) if !told => {
                    told = true;
                    let failure = Failure::builtin("RuntimeError", format!("the reply was refused: {refused}"));
                    let json = amqp1::encode_reply(&Reply::Failure(Box::new(failure))).map_err(unwritable)?;
                    message = message::reply(&self.address, Some(&json), &self.message_id, None);
                }
                outcome => return outcome,
            }
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
        let message = amqp1::decode_notification(&incoming.body.unwrap_or_default(), self.limits)?;
        Ok(Read { message, replier: None, deadline: None })
    }
}
