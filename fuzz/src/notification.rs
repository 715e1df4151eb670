//! Notifications, with and without an envelope.

use bytes::Bytes;
use oxlo_transport::{Notification, NotificationFormat, Priority, json::Limits};
use oxlo_wire::{
    amqp1,
    envelope::Poison,
    notification::{self, Inbound},
};
use serde_json::{Map, Value};

use crate::{
    envelope,
    pieces::{self, Pieces, value},
};

pub(crate) fn check(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let decoded = notification::decode(&body, Limits::default());
    agrees_with_reference(data, &decoded);
    if let Ok(inbound) = &decoded {
        reads_back(&inbound.notification, inbound.unique_id.as_deref().unwrap_or_default());
    }
    if let Ok(found) = amqp1::decode_notification(&body, Limits::default()) {
        reads_back(&found, "");
    }

    let mut pieces = Pieces::of(data);
    let (message_id, publisher_id, event_type) = (pieces.text().into(), pieces.text().into(), pieces.text().into());
    let (priority, format, unique_id) = (pieces.text().len(), pieces.text().len(), pieces.text());
    let written = Notification {
        message_id,
        publisher_id,
        event_type,
        priority: Priority::ALL[priority % Priority::ALL.len()],
        payload: pieces.payload(),
        timestamp: pieces.text().into(),
        format: [NotificationFormat::V1, NotificationFormat::V2][format % 2],
        context: pieces.context(),
    };
    reads_back(&written, &unique_id);
}

fn reads_back(written: &Notification, unique_id: &str) {
    let body = notification::encode(written, unique_id).unwrap();
    assert!(written.format == NotificationFormat::V1 || body.is_ascii());
    let again = notification::decode(&body.into(), Limits::default()).expect("encoded messages are accepted");
    assert_eq!(again.unique_id.as_deref(), Some(unique_id));
    same(&again.notification, written);
    if pieces::is_shallow(&written.payload, &written.context) {
        let text = amqp1::encode_notification(written).unwrap();
        same(
            &amqp1::decode_notification(&text.into(), Limits::default()).expect("encoded messages are accepted"),
            written,
        );
    }
}

fn same(found: &Notification, wanted: &Notification) {
    assert_eq!(texts(found), texts(wanted));
    assert_eq!((found.priority, found.format), (wanted.priority, wanted.format));
    assert_eq!((&found.payload, &found.context), (&wanted.payload, &wanted.context));
}

fn texts(found: &Notification) -> [&str; 4] {
    [&found.message_id, &found.publisher_id, &found.event_type, &found.timestamp]
}

fn agrees_with_reference(body: &[u8], decoded: &Result<Inbound, Poison>) {
    let reads = |object: &Map<String, Value>| {
        let text = |key: &str| envelope::lenient(object, key).unwrap_or_default();
        let priority = envelope::required(object, "priority")?.ok_or(())?.to_lowercase();
        let known = Priority::ALL.into_iter().find(|known| known.as_str() == priority);
        let priority = if priority == "warning" { Some(Priority::Warn) } else { known };
        let texts = [text("message_id"), text("publisher_id"), text("event_type"), text("timestamp")];
        Ok((texts, envelope::lenient(object, "_unique_id"), priority.ok_or(())?))
    };
    envelope::agrees(body, decoded, reads, |inbound, (wanted, unique_id, priority), object| {
        let found = &inbound.notification;
        let text = |key: &str, found: &str| envelope::as_lenient(object, key, Some(found)).unwrap_or_default();
        let [message_id, publisher_id, event_type, timestamp] = texts(found);
        let found_texts = [
            text("message_id", message_id),
            text("publisher_id", publisher_id),
            text("event_type", event_type),
            text("timestamp", timestamp),
        ];
        assert_eq!(found_texts, wanted);
        let found_id = envelope::as_lenient(object, "_unique_id", inbound.unique_id.as_deref());
        assert_eq!((found_id, found.priority), (unique_id, priority));
        assert_eq!(found.context, envelope::context(object));
        assert_eq!(value(&found.payload), object.get("payload").cloned().unwrap_or(Value::Null));
    });
}
