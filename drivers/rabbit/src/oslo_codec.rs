//! Reading messages: properties first, then oslo's JSON.

use bytes::Bytes;
use oxlo_driver_kit::{
    inbound::{Codec, Inbound, is_reply_name},
    lateness::Stamp,
};
use oxlo_transport::{Notification, Request, json::Limits};
use oxlo_wire::{
    envelope::Poison,
    notification,
    request::{self, Caller},
};

use crate::{properties, stream::received::Received};

/// oslo's messages over AMQP 0-9-1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsloCodec;

impl Codec for OsloCodec {
    type Raw = (Received, Bytes);
    type Caller = Caller;

    fn request(&self, (properties, body): Self::Raw, limits: Limits) -> Result<Inbound<Request, Caller>, Poison> {
        let body = properties::body(&properties, body, limits.max_bytes)?;
        let request::Inbound { request, unique_id, caller } = request::decode(&body, limits)?;
        if caller.as_ref().is_some_and(|caller| !is_reply_queue(&caller.reply_queue)) {
            return Err(Poison::WrongType { key: "_reply_q", expected: "the name of a reply queue" });
        }
        let time_to_live = properties::expiration(&properties);
        let sent = time_to_live.and_then(|_| properties::message_id(&properties)).and_then(Stamp::from_id);
        Ok(Inbound { message: request, unique_id, caller, time_to_live, sent, size: body.len() })
    }

    fn notification(
        &self,
        (properties, body): Self::Raw,
        limits: Limits,
    ) -> Result<Inbound<Notification, Caller>, Poison> {
        let body = properties::body(&properties, body, limits.max_bytes)?;
        let notification::Inbound { notification, unique_id } = notification::decode(&body, limits)?;
        Ok(Inbound::one_way(notification, unique_id, body.len()))
    }
}

/// Whether a name can be that of a reply queue. Replies go to the default exchange, so a forged name could otherwise
/// lead to any queue of the broker.
fn is_reply_queue(name: &str) -> bool {
    name.len() <= 255 && name.strip_prefix("reply_").is_some_and(is_reply_name)
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
