//! Messages: what oslo's driver puts into one, and what of a received one counts (AMQP 1.0, part 3.2).
//!
//! fe2o3-amqp sees a message as plain bytes both ways, and the [stream](crate::stream) under it wraps and unwraps them. Its
//! parser recurses as deep as a message is nested; and it leaves out what has a default, where RabbitMQ's is another one.

use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::{
    Sendable,
    types::{
        messaging::{Data, Message, MessageId},
        primitives::{Binary, Uuid},
    },
};
use oxlo_driver_kit::{deferral::Way, lateness::stamped_id};
use oxlo_wire::envelope::Poison;
use tokio::time::Instant;

use crate::{
    encode::{self, Field},
    scan::{Malformed, Raw},
};

/// What names a message, and its reply's correlation.
pub(crate) type Id = MessageId;

const HEADER: u8 = 0x70;
const PROPERTIES: u8 = 0x73;
const APPLICATION_PROPERTIES: u8 = 0x74;
const DATA: u8 = 0x75;
const VALUE: u8 = 0x77;
const SECTIONS: std::ops::RangeInclusive<u8> = 0x70..=0x78;

/// A message to be sent, as often as it takes.
#[derive(Debug)]
pub(crate) struct Outgoing {
    sendable: Sendable<Data>,
    /// Bytes of the text.
    text: usize,
    /// Until when it is of use.
    until: Option<Instant>,
}

impl Outgoing {
    /// A message without text is sent settled: it is the sign that a method still runs, and another one follows.
    fn new(header: &[Field<'_>], properties: &[Field<'_>], json: Option<&str>) -> Self {
        Self::with_way(header, properties, None, json)
    }

    fn with_way(header: &[Field<'_>], properties: &[Field<'_>], way: Option<Way>, json: Option<&str>) -> Self {
        let text = json.map_or(0, str::len);
        let mut encoded = Vec::with_capacity(ROOM + text);
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

    /// As fe2o3-amqp is to send it now.
    pub(crate) fn sendable(&mut self) -> &Sendable<Data> {
        if let Some(until) = self.until {
            self.expire_in(until.saturating_duration_since(Instant::now()));
        }
        &self.sendable
    }

    /// Writes the TTL of a call: an attach may have taken its time since the message was made.
    pub(crate) fn expire_in(&mut self, left: Duration) {
        if let Some(ttl) = self.sendable.message.body.0.get_mut(CALL_TTL) {
            ttl.copy_from_slice(&millis(left).to_be_bytes());
        }
    }

    /// As it goes over the wire.
    #[cfg(any(test, feature = "__fuzz"))]
    pub(crate) fn encoded(self) -> Vec<u8> {
        self.sendable.message.body.0.into_vec()
    }
}

/// The application property that says how often a message was sent to its address, when it is due, and by a stamped id when
/// it was sent there last. A text: brokers give numbers back with other types.
const WAY: &str = "oxlo-way";

/// What a message has beside its text, as a rule.
const ROOM: usize = 256;
/// Where the TTL is in a call.
const CALL_TTL: std::ops::Range<usize> = 9..13;

/// A request that is to be answered: its id, where the reply goes, and until when its caller waits.
pub(crate) fn call(to: &str, json: &str, message_id: &str, reply_to: &str, until: Instant) -> Outgoing {
    let properties = [Field::Text(message_id), Field::Null, Field::Text(to), Field::Null, Field::Text(reply_to)];
    let call = Outgoing::new(&passing(Some(Duration::MAX)), &properties, Some(json));
    Outgoing { until: Some(until), ..call }
}

/// A message that is sent to its address once more, under the id that it has; `until` is when its caller stops waiting, if
/// it has one who does.
pub(crate) fn again(
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
    let again = Outgoing::with_way(&passing(until.map(|_| Duration::MAX)), &properties, Some(way), Some(json));
    Outgoing { until, ..again }
}

/// A request that nobody answers, or a notification. Its id is ours: a receiver can tell by it that it has the message already.
pub(crate) fn cast(to: &str, json: &str) -> Outgoing {
    let id = stamped_id().simple().to_string();
    Outgoing::new(&[], &[Field::Text(&id), Field::Null, Field::Text(to)], Some(json))
}

/// A reply; without text it is the sign that the method still runs.
pub(crate) fn reply(to: &str, json: Option<&str>, correlation_id: &Id, ttl: Option<Duration>) -> Outgoing {
    let nulls = [Field::Null; 2];
    let properties = [&nulls[..], &[Field::Text(to)], &nulls, &[Field::Id(correlation_id)]].concat();
    Outgoing::new(&passing(ttl), &properties, json)
}

/// The header of what is of no use after a restart of the broker, when nobody waits for it any more: not durable, which
/// RabbitMQ 4 has to be told.
fn passing(ttl: Option<Duration>) -> [Field<'static>; 3] {
    let ttl = ttl.map(millis);
    [Field::False, Field::Null, ttl.map_or(Field::Null, Field::Uint)]
}

fn millis(left: Duration) -> u32 {
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)
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
    /// What those who sent it again wrote.
    pub(crate) way: Way,
    /// The stamp of its last sending, if that was not its first.
    pub(crate) stamp: Option<uuid::Uuid>,
    pub(crate) message_id: Option<Id>,
    pub(crate) reply_to: Option<String>,
    pub(crate) correlation_id: Option<Id>,
    /// The text; absent without body, or with the body null.
    pub(crate) body: Option<Bytes>,
}

impl Incoming {
    /// What tells this message from every other one at the same address, the same at each delivery; `None` if nothing does.
    /// A call's id is its sender's own, and its reply address says who that is; of what nobody answers only an id that is
    /// unique everywhere counts, and none where `everyone` gets a copy.
    pub(crate) fn name(&self, everyone: bool) -> Option<(&str, &Id)> {
        let id = self.message_id.as_ref()?;
        match self.reply_to.as_deref() {
            Some(reply_to) => Some((reply_to, id)),
            None if everyone => None,
            None => matches!(id, Id::String(text) if text.parse::<uuid::Uuid>().is_ok()).then_some(("", id)),
        }
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
        let described = section.described().and_then(|(code, value)| Some((u8::try_from(code).ok()?, value)));
        let Some((code, value)) = described.filter(|(code, _)| SECTIONS.contains(code)) else {
            return Err(Poison::Properties { reason: "the message has a section that AMQP 1.0 does not know".into() });
        };
        match code {
            HEADER => read_header(&mut message, value),
            PROPERTIES => read_properties(&mut message, value),
            APPLICATION_PROPERTIES => (message.way, message.stamp) = read_way(value).unwrap_or_default(),
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
        let (code, value) = section.described()?;
        match (u8::try_from(code).ok()?, value) {
            (PROPERTIES, fields) => status = fields.elements().nth(3).and_then(Raw::text)?.parse().ok(),
            (VALUE, value) => text = value.text().map(|text| text.chars().take(300).collect()),
            _ => {}
        }
    }
    Some((status?, text))
}

/// A number in the map that RabbitMQ's management answered.
pub(crate) fn answered_number(bytes: &[u8], wanted: &str) -> Option<u64> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (section, after) = Raw::first(rest).ok()?;
        rest = after;
        let (code, value) = section.described()?;
        if u8::try_from(code).ok()? == VALUE {
            let mut entries = value.elements();
            while let (Some(key), Some(value)) = (entries.next(), entries.next()) {
                if key.text() == Some(wanted) {
                    return value.unsigned();
                }
            }
        }
    }
    None
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

fn read_way(value: Raw<'_>) -> Option<(Way, Option<uuid::Uuid>)> {
    let mut members = value.elements();
    while let (Some(key), Some(value)) = (members.next(), members.next()) {
        if key.text() == Some(WAY) {
            return value.text().and_then(way);
        }
    }
    None
}

fn way(text: &str) -> Option<(Way, Option<uuid::Uuid>)> {
    let mut parts = text.split('/');
    let (redeliveries, round, not_before) = (parts.next()?, parts.next()?, parts.next()?);
    let way = Way {
        redeliveries: redeliveries.parse().ok()?,
        round: round.parse().ok()?,
        not_before: not_before.parse().ok()?,
    };
    Some((way, parts.next().and_then(|stamp| uuid::Uuid::try_parse(stamp).ok())))
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
    use fe2o3_amqp::types::{
        messaging::{Body, Header, Properties, message::__private::Deserializable},
        primitives::Value,
    };
    use oxlo_driver_kit::lateness::Stamp;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn sent(message: Outgoing) -> Bytes {
        message.encoded().into()
    }

    fn call_for(millis: u64, to: &str, id: &str, reply_to: &str) -> Outgoing {
        let mut call = call(to, "{}", id, reply_to, Instant::now());
        call.expire_in(Duration::from_millis(millis));
        call
    }

    #[test]
    fn a_call_lives_as_long_as_its_caller_waits_when_it_is_sent() {
        let mut late = call("a", "{}", "i", "r", Instant::now());
        late.sendable();
        assert_eq!(read(&sent(late)).unwrap().ttl, Some(Duration::from_millis(1)));
    }

    #[test]
    fn only_an_id_that_is_unique_everywhere_names_what_nobody_answers() {
        let named = |id: Id, reply_to: Option<&str>, everyone| {
            let incoming =
                Incoming { message_id: Some(id), reply_to: reply_to.map(str::to_owned), ..Incoming::default() };
            incoming.name(everyone).is_some()
        };
        let text = |text: &str| MessageId::String(text.to_owned());
        let cast = read(&sent(cast("a", "{}"))).unwrap();
        assert!(cast.name(false).is_some() && cast.name(true).is_none(), "everyone gets a copy of it");
        assert!(!named(text("7"), None, false) && !named(MessageId::Ulong(7), None, false));
        assert!(named(text("7"), Some("r"), false) && named(MessageId::Ulong(7), Some("r"), false));
        assert!(Incoming::default().name(false).is_none());
    }

    #[test]
    fn what_is_sent_is_read_back() {
        let message = call_for(5_000, "unicast.openstack.t", "id-1", "/queue/reply_1");
        let read = read(&sent(message)).unwrap();
        assert_eq!(read.ttl, Some(Duration::from_secs(5)));
        assert_eq!(read.message_id, Some(MessageId::String("id-1".into())));
        assert_eq!(read.reply_to.as_deref(), Some("/queue/reply_1"));
        assert_eq!((read.body.as_deref(), read.redelivered), (Some(&b"{}"[..]), false));
        assert!(read.correlation_id.is_none());
        assert_eq!(read.name(false), Some(("/queue/reply_1", &MessageId::String("id-1".into()))));
    }

    #[test]
    fn what_is_sent_again_says_how_often_and_is_otherwise_as_it_was() {
        let way = Way { redeliveries: 3, round: 7, not_before: 1_800_000_000_000 };
        let id = MessageId::Ulong(7);
        let until = Instant::now() + Duration::from_secs(2);
        let mut call = again("a", "{}", (Some("/queue/reply_1"), Some(&id)), Some(until), way);
        call.expire_in(Duration::from_secs(1));
        let call = read(&sent(call)).unwrap();
        let named = Some(("/queue/reply_1", &id));
        assert_eq!((call.way, call.ttl, call.name(false)), (way, Some(Duration::from_secs(1)), named));
        assert!(call.stamp.is_some_and(|stamp| Stamp::from_id(stamp).is_some()), "its age is that of its last sending");
        assert_eq!((call.body.as_deref(), call.redelivered, call.redeliveries), (Some(&b"{}"[..]), false, 0));
        let id = MessageId::String(stamped_id().simple().to_string());
        let cast = again("a", &"x".repeat(300), (None, Some(&id)), None, way);
        let parsed: Deserializable<Message<Body<Value>>> = serde_amqp::from_slice(&cast.encoded()).unwrap();
        let properties = parsed.0.application_properties.unwrap();
        assert!(format!("{:?}", properties.0.get(WAY).unwrap()).starts_with("String(\"3/7/1800000000000/"));
        let cast = read(&sent(again("a", "{}", (None, Some(&id)), None, way))).unwrap();
        assert_eq!((cast.way, cast.ttl, cast.name(false)), (way, None, Some(("", &id))));
        assert_eq!(read(&sent(super::cast("a", "{}"))).unwrap().way, Way::default());
        for text in ["", "1", "1/2", "1/2/x", "-1/2/3"] {
            assert_eq!(super::way(text), None, "{text}");
        }
    }

    #[test]
    fn a_heartbeat_has_no_text() {
        let beat = reply("r", None, &MessageId::Ulong(7), Some(Duration::from_secs(2)));
        let read = read(&sent(beat)).unwrap();
        assert_eq!((read.body, read.correlation_id), (None, Some(MessageId::Ulong(7))));
    }

    #[test]
    fn other_parsers_read_what_is_sent() {
        let parsed = |message: Outgoing| {
            let parsed: Deserializable<Message<Body<Value>>> = serde_amqp::from_slice(&message.encoded()).unwrap();
            parsed.0
        };
        let to = |to: &str| Properties { to: Some(to.to_owned()), ..Properties::default() };
        let body = |text: &str| Body::from(Value::String(text.to_owned()));

        let long = "x".repeat(300);
        let read = parsed(call_for(5_000, &long, "id-1", "r"));
        assert_eq!(read.header, Some(Header { ttl: Some(5_000), ..Header::default() }));
        let wanted =
            Properties { message_id: Some(MessageId::String("id-1".into())), reply_to: Some("r".into()), ..to(&long) };
        assert_eq!((read.properties, read.body), (Some(wanted), body("{}")));

        let id = MessageId::Uuid(Uuid::from([7; 16]));
        let read = parsed(reply("r", Some(&long), &id, None));
        assert_eq!(read.header, Some(Header::default()));
        assert_eq!(read.properties, Some(Properties { correlation_id: Some(id), ..to("r") }));
        assert_eq!(read.body, body(&long));
    }

    #[test]
    fn only_what_somebody_may_still_want_survives_a_restart_of_the_broker() {
        let call = sent(call_for(1, "a", "i", "r"));
        assert!(call.starts_with(&hex("00 53 70 c0 08 03 42 40 70 00000001")), "durable is false: {call:02x?}");
        assert!(sent(reply("a", None, &MessageId::Ulong(1), None)).starts_with(&hex("00 53 70 c0 04 03 42")));
        assert!(sent(cast("a", "{}")).starts_with(&hex("00 53 70 45")), "as the broker's own default is");
    }

    #[test]
    fn a_body_is_one_value_that_holds_a_string() {
        let bytes = sent(cast("a", "{}"));
        assert!(bytes.ends_with(&hex("00 53 77 a1 02 7b7d")), "{bytes:?}");
        let long = sent(cast("a", &"x".repeat(300)));
        let head = hex("00 53 77 b1 0000012c");
        assert!(long.windows(head.len()).any(|window| window == head));
    }

    #[test]
    fn properties_are_where_python_puts_them() {
        let bytes = sent(cast("unicast.openstack.t", "{}"));
        // properties list: message-id, which Python leaves out, user-id null, to.
        assert!(bytes.windows(7).any(|window| window == hex("00 53 73 c0 39 03 a1")), "{bytes:02x?}");
        let head = [hex("40 a1 13"), b"unicast.openstack.t".to_vec()].concat();
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
