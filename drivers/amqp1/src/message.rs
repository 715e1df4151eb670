//! Messages: what oslo's driver puts into one, and what of a received one counts (AMQP 1.0, part 3.2).
//!
//! Sending goes through fe2o3-amqp's types. Receiving does not: its parser recurses as deep as a message is nested, so the
//! [guard](crate::stream) hands every message over as plain bytes, and they are read here.

use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::types::{
    messaging::{Body, Header, Message, MessageId, Properties},
    primitives::{Binary, Uuid},
};
use oxlo_transport::wire::envelope::Poison;

use crate::scan::{Malformed, Raw};

/// What names a message, and its reply's correlation.
pub(crate) type Id = MessageId;

/// A message to be sent.
pub(crate) type Outgoing = Message<Body<String>>;

const HEADER: u64 = 0x70;
const PROPERTIES: u64 = 0x73;
const DATA: u64 = 0x75;
const VALUE: u64 = 0x77;
const SECTIONS: std::ops::RangeInclusive<u64> = 0x70..=0x78;

/// A request that is to be answered: its id, where the reply goes, and how long its caller waits.
pub(crate) fn call(to: &str, json: String, message_id: &str, reply_to: &str, ttl: Duration) -> Outgoing {
    let properties = Properties {
        message_id: Some(MessageId::String(message_id.to_owned())),
        to: Some(to.to_owned()),
        reply_to: Some(reply_to.to_owned()),
        ..Properties::default()
    };
    message(Some(ttl), properties, Some(json))
}

/// A request that nobody answers, or a notification.
pub(crate) fn cast(to: &str, json: String) -> Outgoing {
    message(None, Properties { to: Some(to.to_owned()), ..Properties::default() }, Some(json))
}

/// A reply; without text it is the sign that the method still runs.
pub(crate) fn reply(to: &str, json: Option<String>, correlation_id: Id, ttl: Option<Duration>) -> Outgoing {
    let properties =
        Properties { to: Some(to.to_owned()), correlation_id: Some(correlation_id), ..Properties::default() };
    message(ttl, properties, json)
}

fn message(ttl: Option<Duration>, properties: Properties, json: Option<String>) -> Outgoing {
    let ttl = ttl.map(|left| u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1));
    Message::builder()
        .header(Header { ttl, ..Header::default() })
        .properties(properties)
        .body(json.map_or(Body::Empty, Body::from))
        .build()
}

/// A message that came in.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// How long it is still of use to its sender.
    pub(crate) ttl: Option<Duration>,
    /// Whether the broker knows that somebody had it before.
    pub(crate) redelivered: bool,
    /// How often it came back, as far as the broker counts that.
    pub(crate) redeliveries: u32,
    pub(crate) message_id: Option<Id>,
    pub(crate) reply_to: Option<String>,
    pub(crate) correlation_id: Option<Id>,
    /// The text; absent without body, or with the body null.
    pub(crate) body: Option<Bytes>,
}

impl Incoming {
    /// What tells this call from every other one at the same address, in the same words at each delivery; `None` for what
    /// is no call. An id is its sender's own, and its reply address says who that is.
    pub(crate) fn call_name(&self) -> Option<String> {
        let (id, reply_to) = self.message_id.as_ref().zip(self.reply_to.as_ref())?;
        Some(format!("{reply_to} {id:?}"))
    }
}

/// Reads a message.
///
/// # Errors
///
/// [`Poison`] if it is none, or its body is no text.
pub(crate) fn read(bytes: &Bytes) -> Result<Incoming, Poison> {
    let malformed = |fault: Malformed| Poison::Properties { reason: format!("the message cannot be read: {fault}") };
    let mut message = Incoming::default();
    let mut has_body = false;
    let mut rest: &[u8] = bytes;
    while !rest.is_empty() {
        let (section, after) = Raw::first(rest).map_err(malformed)?;
        rest = after;
        let Some((code, value)) = section.described().filter(|(code, _)| SECTIONS.contains(code)) else {
            return Err(Poison::Properties { reason: "the message has a section that AMQP 1.0 does not know".into() });
        };
        match code {
            HEADER => read_header(&mut message, value),
            PROPERTIES => read_properties(&mut message, value),
            // Of several sections with data nobody could tell where the text ends and begins.
            VALUE | DATA if has_body => {
                return Err(Poison::Properties { reason: "the message has more than one body".into() });
            }
            VALUE | DATA => {
                has_body = true;
                message.body = match value.string_bytes().or_else(|| value.binary()) {
                    Some(text) => Some(bytes.slice_ref(text)),
                    None if value.is_null() => None,
                    None => return Err(Poison::Properties { reason: "the body of the message is no text".into() }),
                };
            }
            _ => {}
        }
    }
    Ok(message)
}

/// The status and the text in an answer of RabbitMQ's management; nothing if the message is no such answer.
pub(crate) fn answer(bytes: &[u8]) -> Option<(u16, Option<String>)> {
    let (mut status, mut text, mut rest) = (None, None, bytes);
    while !rest.is_empty() {
        let (section, after) = Raw::first(rest).ok()?;
        rest = after;
        match section.described()? {
            (PROPERTIES, fields) => status = fields.elements().nth(3).and_then(Raw::text)?.parse().ok(),
            (VALUE, value) => text = value.text().map(|text| text.chars().take(300).collect()),
            _ => {}
        }
    }
    Some((status?, text))
}

fn read_header(message: &mut Incoming, value: Raw<'_>) {
    let mut fields = value.elements().skip(2);
    message.ttl = fields.next().and_then(Raw::unsigned).map(Duration::from_millis);
    let first_acquirer = fields.next().and_then(Raw::boolean);
    let delivery_count = fields.next().and_then(Raw::unsigned).unwrap_or(0);
    message.redelivered = first_acquirer.is_some_and(|first| !first) || delivery_count > 0;
    message.redeliveries = u32::try_from(delivery_count).unwrap_or(u32::MAX).max(u32::from(message.redelivered));
}

fn read_properties(message: &mut Incoming, value: Raw<'_>) {
    let fields: Vec<Raw<'_>> = value.elements().take(6).collect();
    let id = |place: usize| fields.get(place).copied().and_then(id);
    message.message_id = id(0);
    message.reply_to = fields.get(4).and_then(|field| field.text()).map(str::to_owned);
    message.correlation_id = id(5);
}

fn id(value: Raw<'_>) -> Option<Id> {
    value
        .text()
        .map(|text| MessageId::String(text.to_owned()))
        .or_else(|| value.unsigned().map(MessageId::Ulong))
        .or_else(|| value.uuid().map(|bytes| MessageId::Uuid(Uuid::from(bytes))))
        .or_else(|| value.binary().map(|bytes| MessageId::Binary(Binary::from(bytes))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fe2o3_amqp::types::messaging::message::__private::Serializable;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn sent(message: Outgoing) -> Bytes {
        serde_amqp::to_vec(&Serializable(message)).unwrap().into()
    }

    #[test]
    fn what_is_sent_is_read_back() {
        let message = call("unicast.openstack.t", "{}".into(), "id-1", "/queue/reply_1", Duration::from_secs(5));
        let read = read(&sent(message)).unwrap();
        assert_eq!(read.ttl, Some(Duration::from_secs(5)));
        assert_eq!(read.message_id, Some(MessageId::String("id-1".into())));
        assert_eq!(read.reply_to.as_deref(), Some("/queue/reply_1"));
        assert_eq!((read.body.as_deref(), read.redelivered), (Some(&b"{}"[..]), false));
        assert!(read.correlation_id.is_none());
        assert_eq!(read.call_name().unwrap(), "/queue/reply_1 String(\"id-1\")");
    }

    #[test]
    fn a_heartbeat_has_no_text() {
        let beat = reply("r", None, MessageId::Ulong(7), Some(Duration::from_secs(2)));
        let read = read(&sent(beat)).unwrap();
        assert_eq!((read.body, read.correlation_id), (None, Some(MessageId::Ulong(7))));
    }

    #[test]
    fn a_body_is_one_value_that_holds_a_string() {
        assert_eq!(read(&sent(cast("a", "{}".into()))).unwrap().call_name(), None);
        let bytes = sent(cast("a", "{}".into()));
        assert!(bytes.ends_with(&hex("00 53 77 a1 02 7b7d")), "{bytes:?}");
        let long = sent(cast("a", "x".repeat(300)));
        let head = hex("00 53 77 b1 0000012c");
        assert!(long.windows(head.len()).any(|window| window == head));
    }

    #[test]
    fn properties_are_where_python_puts_them() {
        let bytes = sent(cast("unicast.openstack.t", "{}".into()));
        // properties list: message-id null, user-id null, to.
        let head = [hex("00 53 73 c0 18 03 40 40 a1 13"), b"unicast.openstack.t".to_vec()].concat();
        assert!(bytes.windows(head.len()).any(|window| window == head), "{bytes:02x?}");
        assert!(bytes.starts_with(&hex("00 53 70")), "the header is there, as Python sends it");
    }

    #[test]
    fn a_second_delivery_shows() {
        // header: durable, priority, ttl, first-acquirer, delivery-count.
        for (header, redelivered) in [
            ("00 53 70 c0 07 05 40 40 40 41 43", false),
            ("00 53 70 c0 06 05 40 40 40 42 43", true),
            ("00 53 70 c0 07 05 40 40 40 40 52 01", true),
            ("00 53 70 45", false),
        ] {
            let mut bytes = hex(header);
            if bytes.len() > 4 {
                bytes[4] = u8::try_from(bytes.len() - 5).unwrap();
            }
            let read = read(&[bytes, hex("00 53 77 a1 01 31")].concat().into()).unwrap();
            assert_eq!(read.redelivered, redelivered, "{header}");
        }
    }

    #[test]
    fn an_answer_has_a_status_and_maybe_a_text() {
        // properties: message-id, user-id, to null, subject.
        let status = hex("00 53 73 c0 09 04 40 40 40 a1 03 343039");
        assert_eq!(answer(&[status.clone(), hex("00 53 77 a1 02 6e6f")].concat()), Some((409, Some("no".into()))));
        assert_eq!(answer(&[status, hex("00 53 77 40")].concat()), Some((409, None)));
        assert_eq!(answer(&hex("00 53 77 40")), None);
        assert_eq!(answer(&hex("41")), None);
    }

    #[test]
    fn what_is_no_message_is_poison() {
        for bytes in ["41", "00 53 10 45", "00 53 77 45", "00 53 77 a1 05 31", "00 53 77 a1 01 31 00 53 77 a1 01 31"] {
            assert!(read(&hex(bytes).into()).is_err(), "{bytes}");
        }
        let deep = [hex("00 53 72"), [0xc0, 0x02, 0x01].repeat(5_000), vec![0x40]].concat();
        assert!(read(&deep.into()).is_err());
        assert!(read(&Bytes::new()).unwrap().body.is_none(), "a message without sections has no body");
    }
}
