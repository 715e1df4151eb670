//! Messages to send.

use std::time::Duration;

use fe2o3_amqp::{
    Sendable,
    types::{
        messaging::{Data, Message},
        primitives::Binary,
    },
};
use oxlo_driver_kit::{deferral::Way, lateness::stamped_id};
use tokio::time::Instant;

use super::{APPLICATION_PROPERTIES, HEADER, Id, PROPERTIES, VALUE, WAY};
use crate::encoding::encode::{self, Field};

/// A message to send, as many times as necessary.
#[derive(Debug)]
pub(crate) struct Outgoing {
    sendable: Sendable<Data>,
    /// Bytes of the text.
    text: usize,
    /// When the caller stops waiting.
    until: Option<Instant>,
}

impl Outgoing {
    /// A message without text is a heartbeat of a running method. It is sent settled: another one follows.
    fn new(header: &[Field<'_>], properties: &[Field<'_>], json: Option<&str>) -> Self {
        Self::with_way(header, properties, None, json)
    }

    fn with_way(header: &[Field<'_>], properties: &[Field<'_>], way: Option<Way>, json: Option<&str>) -> Self {
        let text = json.map_or(0, str::len);
        let mut encoded = Vec::with_capacity(OVERHEAD + text);
        encode::list(&mut encoded, HEADER, header);
        encode::list(&mut encoded, PROPERTIES, properties);
        if let Some(Way { redeliveries, round, not_before }) = way {
            let way = format!("{redeliveries}/{round}/{not_before}/{}", stamped_id().simple());
            encode::map(&mut encoded, APPLICATION_PROPERTIES, &[Field::Text(WAY), Field::Text(&way)]);
        }
        encoded.extend_from_slice(&[0, 0x53, VALUE]);
        json.map_or(Field::Null, Field::Text).write(&mut encoded);
        let message = Message::builder().data(Binary::from(encoded)).build();
        Self { sendable: Sendable::builder().message(message).settled(json.is_none()).build(), text, until: None }
    }

    /// Bytes of its text.
    pub(crate) fn text(&self) -> usize {
        self.text
    }

    /// The message for fe2o3-amqp to send now.
    pub(crate) fn sendable(&mut self) -> &Sendable<Data> {
        if let Some(until) = self.until {
            self.expire_in(until.saturating_duration_since(Instant::now()));
        }
        &self.sendable
    }

    /// Updates the TTL of a call: attaching the link may have taken time since the message was made.
    pub(crate) fn expire_in(&mut self, remaining: Duration) {
        if let Some(ttl) = self.sendable.message.body.0.get_mut(CALL_TTL) {
            ttl.copy_from_slice(&millis(remaining).to_be_bytes());
        }
    }

    /// The encoded message.
    #[cfg(any(test, feature = "__fuzz"))]
    pub(crate) fn encoded(self) -> Vec<u8> {
        self.sendable.message.body.0.into_vec()
    }
}

/// Typical bytes of a message beside its text.
const OVERHEAD: usize = 256;
/// The position of the TTL in an encoded call.
const CALL_TTL: std::ops::Range<usize> = 9..13;

/// A request with a reply. Its TTL ends at `until`, when its caller stops waiting.
pub(crate) fn call(to: &str, json: &str, message_id: &str, reply_to: &str, until: Instant) -> Outgoing {
    let properties = [Field::Text(message_id), Field::Null, Field::Text(to), Field::Null, Field::Text(reply_to)];
    let call = Outgoing::new(&transient(Some(Duration::MAX)), &properties, Some(json));
    Outgoing { until: Some(until), ..call }
}

/// A received message that is sent to its address once more under its own id. `until` is when its caller stops waiting,
/// if it has one.
pub(crate) fn resent(
    to: &str,
    json: &str,
    (reply_to, message_id): (Option<&str>, Option<&Id>),
    until: Option<Instant>,
    way: Way,
) -> Outgoing {
    let id = message_id.map_or(Field::Null, Field::Id);
    let Some(reply_to) = reply_to.filter(|_| message_id.is_some()) else {
        return Outgoing::with_way(&[], &[id, Field::Null, Field::Text(to)], Some(way), Some(json));
    };
    let properties = [id, Field::Null, Field::Text(to), Field::Null, Field::Text(reply_to)];
    let resent = Outgoing::with_way(&transient(until.map(|_| Duration::MAX)), &properties, Some(way), Some(json));
    Outgoing { until, ..resent }
}

/// A request without a reply, or a notification. Receivers recognise duplicates by its id.
pub(crate) fn cast(to: &str, json: &str) -> Outgoing {
    let id = stamped_id().simple().to_string();
    Outgoing::new(&[], &[Field::Text(&id), Field::Null, Field::Text(to)], Some(json))
}

/// A reply; without text, a heartbeat of a running method.
pub(crate) fn reply(to: &str, json: Option<&str>, correlation_id: &Id, ttl: Option<Duration>) -> Outgoing {
    let nulls = [Field::Null; 2];
    let properties = [&nulls[..], &[Field::Text(to)], &nulls, &[Field::Id(correlation_id)]].concat();
    Outgoing::new(&transient(ttl), &properties, json)
}

/// The header of a message that is useless after a restart of the broker, because nobody waits for it then: not
/// durable, which RabbitMQ 4 must be told.
fn transient(ttl: Option<Duration>) -> [Field<'static>; 3] {
    let ttl = ttl.map(millis);
    [Field::False, Field::Null, ttl.map_or(Field::Null, Field::Uint)]
}

fn millis(remaining: Duration) -> u32 {
    u32::try_from(remaining.as_millis()).unwrap_or(u32::MAX).max(1)
}
