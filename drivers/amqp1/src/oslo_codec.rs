//! Reading messages: what the properties say, then the JSON of oslo's AMQP 1.0 driver.

use std::{sync::Arc, time::Duration};

use oxlo_driver_kit::{
    inbound::{Codec, Inbound},
    lateness::Stamp,
};
use oxlo_transport::{Notification, Request, json::Limits};
use oxlo_wire::{amqp1, envelope::Poison};
use uuid::Uuid;

use crate::{
    address::Addresses,
    message::{Id, Incoming},
};

/// oslo's messages over AMQP 1.0.
#[derive(Clone, Debug)]
pub(crate) struct OsloCodec {
    pub(crate) addresses: Arc<Addresses>,
}

/// Who waits for a reply.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Where the reply goes.
    pub(crate) address: String,
    /// Names the call in its reply.
    pub(crate) message_id: Id,
    pub(crate) heartbeat_interval: Option<Duration>,
}

impl Codec for OsloCodec {
    type Raw = Incoming;
    type Caller = Caller;

    fn request(&self, incoming: Incoming, limits: Limits) -> Result<Inbound<Request, Caller>, Poison> {
        let body = incoming.body.unwrap_or_default();
        let amqp1::InboundRequest { request, heartbeat_interval } = amqp1::decode_request(&body, limits)?;
        let caller = incoming.reply_to.zip(incoming.message_id);
        let caller = caller.map(|(address, message_id)| Caller { address, message_id, heartbeat_interval });
        let (mut time_to_live, mut sent) = (None, None);
        if let Some(Caller { address, message_id, .. }) = &caller {
            if !self.addresses.can_be_reply(address) {
                return Err(Poison::WrongType { key: "reply-to", expected: "a reply address" });
            }
            time_to_live = incoming.ttl;
            sent = match (incoming.stamp, message_id) {
                (None, Id::String(id)) => Uuid::try_parse(id).ok(),
                (stamp, _) => stamp,
            }
            .and_then(Stamp::from_id);
        }
        Ok(Inbound { message: request, unique_id: None, caller, time_to_live, sent, size: body.len() })
    }

    fn notification(&self, incoming: Incoming, limits: Limits) -> Result<Inbound<Notification, Caller>, Poison> {
        let body = incoming.body.unwrap_or_default();
        Ok(Inbound::one_way(amqp1::decode_notification(&body, limits)?, None, body.len()))
    }
}
