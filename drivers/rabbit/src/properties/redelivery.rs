//! How often a message came back to its queue, and its properties when it is sent there once more.

use std::time::Duration;

use amq_protocol::{
    protocol::BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};
use oxlo_driver_kit::deferral::Way;
use uuid::Uuid;

use crate::stream::received::Received;

/// How often a quorum queue took the message back.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// The same, counted by oxlo where the broker does not count.
const REDELIVERIES: &str = "x-oxlo-redeliveries";
/// How often oxlo sent the message to its queue again.
const ROUND: &str = "x-oxlo-round";
/// When the message is due, in milliseconds since the Unix epoch.
const NOT_BEFORE: &str = "x-oxlo-not-before";

/// How often a message was delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryHistory {
    /// The broker's count of redeliveries since the message was sent; `None` if the broker does not count.
    pub(crate) counted: Option<u32>,
    /// The headers that the sender of the copy wrote.
    pub(crate) way: Way,
}

/// Reads how often a message was delivered before.
pub(crate) fn history(properties: &Received) -> DeliveryHistory {
    let headers = properties.headers();
    let number = |name: &str| match headers.as_ref()?.inner().get(name)? {
        AMQPValue::LongLongInt(number) => Some(*number),
        AMQPValue::LongInt(number) => Some(i64::from(*number)),
        AMQPValue::LongUInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortShortInt(number) => Some(i64::from(*number)),
        AMQPValue::ShortShortUInt(number) => Some(i64::from(*number)),
        _ => None,
    };
    let count = |name| number(name).and_then(|number| u32::try_from(number).ok());
    let way = Way {
        redeliveries: count(REDELIVERIES).unwrap_or(0),
        round: count(ROUND).unwrap_or(0),
        not_before: number(NOT_BEFORE).unwrap_or(0),
    };
    DeliveryHistory { counted: count(DELIVERY_COUNT), way }
}

/// The properties of a message that is sent to its queue once more, under a new id. `remaining` is its remaining time
/// to live.
pub(crate) fn resent(properties: &Received, id: Uuid, way: Way, remaining: Option<Duration>) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().unwrap_or_default().inner() {
        // The broker starts its count again.
        if name.as_str() != DELIVERY_COUNT {
            headers.insert(name.clone(), value.clone());
        }
    }
    headers.insert(REDELIVERIES.into(), AMQPValue::LongUInt(way.redeliveries));
    headers.insert(ROUND.into(), AMQPValue::LongUInt(way.round));
    headers.insert(NOT_BEFORE.into(), AMQPValue::LongLongInt(way.not_before));
    let all = properties.all().with_headers(headers).with_message_id(ShortString::from(id.simple().to_string()));
    match remaining {
        Some(remaining) => all.with_expiration(remaining.as_millis().max(1).to_string().into()),
        None => all,
    }
}
