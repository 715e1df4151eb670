//! The properties of a message, and its body as they describe it.
//!
//! Sent properties are those that Python sends, plus a `message_id`, which identifies returned messages and which
//! Python ignores.

mod body;
mod redelivery;

use std::time::Duration;

use amq_protocol::{
    frame::WriteContext,
    protocol::{BasicProperties, basic::gen_properties},
    types::AMQPValue,
};
#[cfg(feature = "__fuzz")]
pub(crate) use body::compress;
pub(crate) use body::{CompressionAlgorithm, body, compress_if_accepted};
use oxlo_transport::TransportError;
pub(crate) use redelivery::{DeliveryHistory, history, resent};
use uuid::Uuid;

use crate::stream::{
    frames::short_string,
    guard::content_header::{
        CONTENT_ENCODING, CONTENT_TYPE, DELIVERY_MODE, EXPIRATION, HEADERS, MESSAGE_ID, PRIORITY, flag,
    },
    received::Received,
};

const JSON: &str = "application/json";
const PERSISTENT: u8 = 2;
/// The longest expiration: RabbitMQ closes the channel over more than ten years.
const MAX_EXPIRATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Flags of the properties that every message has.
const ALWAYS: u16 = flag(CONTENT_TYPE)
    | flag(CONTENT_ENCODING)
    | flag(HEADERS)
    | flag(DELIVERY_MODE)
    | flag(PRIORITY)
    | flag(MESSAGE_ID);

/// The encoded properties of a new message.
pub(crate) fn outgoing(id: Uuid, expiration: Option<Duration>, compression: Option<CompressionAlgorithm>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let flags = if expiration.is_some() { ALWAYS | flag(EXPIRATION) } else { ALWAYS };
    bytes.extend_from_slice(&flags.to_be_bytes());
    short_string(&mut bytes, JSON);
    short_string(&mut bytes, "utf-8");
    let table = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    if let Some(algorithm) = compression {
        short_string(&mut bytes, "compression");
        bytes.extend_from_slice(b"S\0\0\0");
        short_string(&mut bytes, algorithm.header());
    }
    let length = u32::try_from(bytes.len() - table - 4).unwrap_or(u32::MAX);
    bytes[table..table + 4].copy_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[PERSISTENT, 0]);
    if let Some(timeout) = expiration {
        // At least 1 ms: with zero the message would expire at once unless a consumer is waiting.
        short_string(&mut bytes, &timeout.min(MAX_EXPIRATION).as_millis().max(1).to_string());
    }
    short_string(&mut bytes, id.simple().encode_lower(&mut Uuid::encode_buffer()));
    bytes
}

/// Encodes properties.
///
/// # Errors
///
/// [`TransportError::InvalidTarget`] if they cannot be encoded, which received properties always can.
pub(crate) fn encode(properties: &BasicProperties) -> Result<Vec<u8>, TransportError> {
    gen_properties(properties)(WriteContext::from(Vec::new())).map(|written| written.into_inner().0).map_err(|error| {
        TransportError::InvalidTarget { reason: format!("cannot encode the properties of the message: {error}") }
    })
}

/// The expiration that the sender set, counted from when the broker received the message.
pub(crate) fn expiration(properties: &Received) -> Option<Duration> {
    properties.expiration()?.parse().ok().map(Duration::from_millis)
}

/// The offset of a message in its stream, if it came from a stream.
pub(crate) fn stream_offset(properties: &Received) -> Option<i64> {
    match properties.headers()?.inner().get("x-stream-offset")? {
        AMQPValue::LongLongInt(offset) => Some(*offset),
        _ => None,
    }
}

/// The message id, if it is one of oxlo's.
pub(crate) fn message_id(properties: &Received) -> Option<Uuid> {
    Uuid::try_parse(properties.message_id()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
