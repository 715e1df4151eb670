//! Notifications, with and without an envelope.

use std::sync::Arc;

use bytes::Bytes;
use oxlo_transport::{Notification, NotificationFormat, Payload, json::Limits};

use crate::{
    context::ContextReader,
    envelope::{self, Poison},
    request::{ObjectWriter, lenient, text},
};

/// Encodes the body of a notification, with the keys in oslo's order.
///
/// # Errors
///
/// [`serde_json::Error`] if the payload is not UTF-8, which never happens for an encoded [`Payload`], or if the context has an
/// entry without a JSON representation.
pub fn encode(notification: &Notification, unique_id: &str) -> Result<Vec<u8>, serde_json::Error> {
    let bytes = notification.payload.len() + 384;
    let mut object = match notification.format {
        NotificationFormat::V1 => ObjectWriter::with_capacity(bytes),
        NotificationFormat::V2 => ObjectWriter::sealed(bytes),
    };
    object.string("message_id", &notification.message_id)?;
    object.string("publisher_id", &notification.publisher_id)?;
    object.string("event_type", &notification.event_type)?;
    object.string("priority", &notification.priority.as_str().to_ascii_uppercase())?;
    object.raw("payload", notification.payload.as_bytes());
    object.string("timestamp", &notification.timestamp)?;
    object.string("_unique_id", unique_id)?;
    object.context(&notification.context)?;
    Ok(object.finish()?.into_bytes())
}

/// A decoded notification.
#[derive(Debug)]
pub struct Inbound {
    /// The notification.
    pub notification: Notification,
    /// Identifies the message; copies of it have the same id.
    pub unique_id: Option<String>,
}

/// Decodes the body of a notification.
///
/// # Errors
///
/// [`Poison`] if the body is not a valid notification, or has an unknown priority.
pub fn decode(body: &Bytes, limits: Limits) -> Result<Inbound, Poison> {
    let inner = envelope::open(body, limits)?;
    let format = if inner.as_ptr() == body.as_ptr() { NotificationFormat::V1 } else { NotificationFormat::V2 };
    let (mut message_id, mut publisher_id, mut event_type) = (None, None, None);
    let (mut priority, mut payload, mut timestamp, mut unique_id) = (None, None, None, None);
    let mut context = ContextReader::new(&inner, limits);
    envelope::members(&inner, limits, |key, raw| {
        match key {
            "message_id" => message_id = lenient("message_id", raw)?,
            "publisher_id" => publisher_id = lenient("publisher_id", raw)?,
            "event_type" => event_type = lenient("event_type", raw)?,
            "priority" => priority = Some(text("priority", raw)?),
            "payload" => payload = Some(Payload::from_raw(inner.slice_ref(raw.as_bytes()))),
            "timestamp" => timestamp = lenient("timestamp", raw)?,
            "_unique_id" => unique_id = lenient("_unique_id", raw)?,
            _ => {
                if let Some(name) = key.strip_prefix("_context_") {
                    context.take(name, raw)?;
                }
            }
        }
        Ok(())
    })?;
    let priority = priority.ok_or(Poison::Missing { key: "priority" })?;
    let shared = |text: Option<String>| text.map_or_else(|| Arc::from(""), Arc::from);
    let notification = Notification {
        context: context.finish()?,
        message_id: shared(message_id),
        publisher_id: shared(publisher_id),
        event_type: shared(event_type),
        priority: priority.parse().map_err(|_| Poison::WrongType { key: "priority", expected: "a known priority" })?,
        payload: payload.unwrap_or_else(Payload::null),
        timestamp: shared(timestamp),
        format,
    };
    Ok(Inbound { notification, unique_id })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use oxlo_transport::Priority;

    use super::*;

    const CAPTURED: &str = r#"{"message_id": "eeb3f9e5-8738-42f5-9121-35de9d0c26e7", "publisher_id": "pub.host1", "event_type": "evt.v1", "priority": "INFO", "payload": {"k": 1}, "timestamp": "2026-11-20 22:16:02.906662", "_unique_id": "ad2b9edabdc5476badb3f8d50ee63d3e"}"#;

    #[test]
    fn a_captured_notification_reads_and_writes_the_same() {
        let inbound = decode(&Bytes::from_static(CAPTURED.as_bytes()), Limits::default()).unwrap();
        assert_eq!(inbound.notification.priority, Priority::Info);
        assert_eq!(inbound.notification.format, NotificationFormat::V1);
        let written = encode(&inbound.notification, inbound.unique_id.as_deref().unwrap()).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), CAPTURED);
    }

    #[test]
    fn the_second_format_is_the_first_in_an_envelope() {
        let body = Bytes::from(envelope::seal(CAPTURED));
        let inbound = decode(&body, Limits::default()).unwrap();
        assert_eq!(inbound.notification.format, NotificationFormat::V2);
        let written = encode(&inbound.notification, inbound.unique_id.as_deref().unwrap()).unwrap();
        assert_eq!(written, body);
    }

    #[test]
    fn the_last_of_repeated_values_counts_even_if_null() {
        let twice = br#"{"priority": "info", "event_type": "a", "event_type": null}"#;
        assert_eq!(&*decode(&Bytes::from_static(twice), Limits::default()).unwrap().notification.event_type, "");
    }

    /// Python passes numbers to its endpoints; here they become the text in the message.
    #[test]
    fn numbers_are_accepted_in_place_of_strings() {
        let body = br#"{"priority": "info", "timestamp": 1790000000.5, "publisher_id": 7, "event_type": 8, "message_id": 9, "_unique_id": 5}"#;
        let Inbound { notification, unique_id } = decode(&Bytes::from_static(body), Limits::default()).unwrap();
        assert_eq!((&*notification.timestamp, &*notification.publisher_id), ("1790000000.5", "7"));
        assert_eq!((&*notification.event_type, &*notification.message_id), ("8", "9"));
        assert_eq!(unique_id.as_deref(), Some("5"));
    }

    #[test]
    fn an_unknown_priority_is_reported() {
        let refused = decode(&Bytes::from_static(br#"{"priority": "LOUD"}"#), Limits::default()).unwrap_err();
        assert_eq!(refused.to_string(), "key `priority`: expected a known priority");
    }
}
