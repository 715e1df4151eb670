use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::types::{
    messaging::{Body, Header, Message, Properties, message::__private::Deserializable},
    primitives::{Uuid, Value},
};
use oxlo_driver_kit::{
    deferral::Way,
    lateness::{Stamp, stamped_id},
};
use tokio::time::Instant;

use super::{incoming::parse_way, *};

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
        let incoming = Incoming { message_id: Some(id), reply_to: reply_to.map(str::to_owned), ..Incoming::default() };
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
fn a_resent_message_tells_how_often_and_is_otherwise_unchanged() {
    let way = Way { redeliveries: 3, round: 7, not_before: 1_800_000_000_000 };
    let id = MessageId::Ulong(7);
    let until = Instant::now() + Duration::from_secs(2);
    let mut call = resent("a", "{}", (Some("/queue/reply_1"), Some(&id)), Some(until), way);
    call.expire_in(Duration::from_secs(1));
    let call = read(&sent(call)).unwrap();
    let named = Some(("/queue/reply_1", &id));
    assert_eq!((call.way, call.ttl, call.name(false)), (way, Some(Duration::from_secs(1)), named));
    assert!(call.stamp.is_some_and(|stamp| Stamp::from_id(stamp).is_some()), "its age is that of its last sending");
    assert_eq!((call.body.as_deref(), call.redelivered, call.redeliveries), (Some(&b"{}"[..]), false, 0));
    let id = MessageId::String(stamped_id().simple().to_string());
    let cast = resent("a", &"x".repeat(300), (None, Some(&id)), None, way);
    let parsed: Deserializable<Message<Body<Value>>> = serde_amqp::from_slice(&cast.encoded()).unwrap();
    let properties = parsed.0.application_properties.unwrap();
    assert!(format!("{:?}", properties.0.get(WAY).unwrap()).starts_with("String(\"3/7/1800000000000/"));
    let cast = read(&sent(resent("a", "{}", (None, Some(&id)), None, way))).unwrap();
    assert_eq!((cast.way, cast.ttl, cast.name(false)), (way, None, Some(("", &id))));
    assert_eq!(read(&sent(super::cast("a", "{}"))).unwrap().way, Way::default());
    for text in ["", "1", "1/2", "1/2/x", "-1/2/3"] {
        assert_eq!(parse_way(text), None, "{text}");
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
