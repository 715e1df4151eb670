//! Replies, and the failures in them.

use bytes::Bytes;
use oxlo_transport::{
    Failure, Payload, Reply,
    json::{self, Limits},
    text::name,
};
use oxlo_wire::{
    amqp1,
    envelope::Poison,
    reply::{self, Inbound, ReplyPart},
};
use serde_json::{Map, Value};

use crate::{
    envelope,
    pieces::{self, Pieces, value},
};

pub(crate) fn check(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let decoded = reply::decode(&body, Limits::default());
    agrees_with_reference(data, &decoded);
    if let Ok(inbound) = &decoded
        && let Ok(ReplyPart::Final(Some(found))) = read(&inbound.part)
    {
        reads_back(&inbound.message_id, &found);
    }
    // A reply that is dropped by the id at its end never belongs to another call.
    if let (Some(id), Ok(inbound)) = (reply::id_at_end(&body), &decoded) {
        assert_eq!(id, inbound.message_id);
    }
    if let Ok(found) = amqp1::decode_reply(&body, Limits::default()) {
        reads_back("", &found);
    }

    let mut pieces = Pieces::of(data);
    let message_id = pieces.text();
    reads_back(&message_id, &Reply::Result(pieces.payload()));
    let beat = reply::decode(&reply::encode_heartbeat(&message_id, "u").unwrap().into(), Limits::default()).unwrap();
    assert_eq!((beat.message_id, beat.part), (message_id, ReplyPart::Heartbeat));
}

/// The text of a failure, contained in replies as a string or as an object.
pub(crate) fn check_failure(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let quoted = serde_json::to_string(&text).unwrap();
    let found = failure_in(&quoted);
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(object)) => {
            let refused_earlier = found.is_err() && envelope::repeats_a_key(text.as_bytes());
            assert!(refused_earlier || found.as_ref().ok() == reference(&object).as_ref(), "{found:?}");
            // Older peers send the object itself; both forms must be equal.
            assert_eq!(failure_in(&text).ok(), found.as_ref().ok().cloned());
        }
        Ok(_) => assert!(found.is_err(), "{found:?} from a value that is not an object"),
        Err(_) => {}
    }
    if let Ok(failure) = found {
        reads_back("m", &Reply::Failure(Box::new(failure.clone())));
        let plain = failure.without_remote_suffix();
        assert!(plain.to_string().starts_with(&format!("{}.{}: ", name(&plain.module), name(&plain.class))));
    }

    let mut pieces = Pieces::of(data);
    let (module, class, message) = (pieces.text(), pieces.text(), pieces.text());
    let mut failure = Failure::new(&*module, &*class, message).with_traceback([pieces.text()]);
    failure.args.push(pieces.value());
    failure.kwargs.insert(pieces.text(), pieces.value());
    reads_back("m", &Reply::Failure(Box::new(failure.clone())));
    let mut remote = failure.clone();
    (remote.module, remote.class) = (format!("{module}_Remote"), format!("{class}_Remote"));
    assert_eq!(remote.without_remote_suffix(), failure, "one hop adds a suffix, and the next one removes it");
}

fn failure_in(raw: &str) -> Result<Failure, String> {
    let body = format!(r#"{{"result": null, "failure": {raw}, "ending": true, "_msg_id": "m"}}"#);
    let rabbit = reply::decode(&body.into(), Limits::default());
    let amqp1 = amqp1::decode_reply(&format!(r#"{{"failure": {raw}}}"#).into(), Limits::default());
    let rabbit = match rabbit.map(|inbound| read(&inbound.part)) {
        Ok(Ok(ReplyPart::Final(Some(Reply::Failure(failure))))) => Ok(*failure),
        Ok(Ok(other)) => panic!("a failure is decoded as {other:?}"),
        Ok(Err(error)) => Err(error),
        Err(poison) => Err(poison.to_string()),
    };
    match (&rabbit, amqp1) {
        (Ok(failure), amqp1) => assert_eq!(amqp1, Ok(Reply::Failure(Box::new(failure.clone())))),
        (Err(_), Err(_)) => {}
        // Python treats an empty failure as none.
        (Err(_), Ok(other)) => assert_eq!((raw, other), ("\"\"", Reply::Result(Payload::null()))),
    }
    rabbit
}

/// A failure by the format's rules: class and module are required, all else is optional, and each has its type.
fn reference(object: &Map<String, Value>) -> Option<Failure> {
    let text = |key: &str| envelope::required(object, key).ok();
    let list = |key: &str| match object.get(key) {
        None => Some(Vec::new()),
        Some(Value::Array(items)) => Some(items.clone()),
        Some(_) => None,
    };
    let traceback: Option<Vec<String>> = list("tb")?.into_iter().map(|line| line.as_str().map(str::to_owned)).collect();
    let mut failure = Failure::new(text("module")??, text("class")??, text("message")?.unwrap_or_default())
        .with_traceback(traceback?)
        .with_args(list("args")?);
    failure.kwargs = match object.get("kwargs") {
        // serde_json's map accepts null as empty.
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(kwargs)) => kwargs.clone(),
        Some(_) => return None,
    };
    match object.get("oxlo.refused") {
        None => Some(failure),
        Some(refused) => Some(failure.with_refused(refused.as_bool()?)),
    }
}

fn reads_back(message_id: &str, found: &Reply) {
    let body = reply::encode(message_id, "u", found).unwrap();
    assert!(body.is_ascii() && serde_json::from_slice::<Value>(&body).is_ok());
    let again = reply::decode(&body.into(), Limits::default()).expect("encoded messages are accepted");
    assert_eq!(again.message_id, message_id);
    let wanted = match found {
        // Python ends a call this way after its result was sent, or if its result is null.
        Reply::Result(result) if result.as_bytes() == "null" => None,
        Reply::Failure(failure) if !is_shallow(failure) => return,
        _ => Some(found.clone()),
    };
    assert_eq!(read(&again.part), Ok(ReplyPart::Final(wanted)));
    if matches!(found, Reply::Result(result) if !pieces::is_shallow(result, &oxlo_transport::Context::new())) {
        return;
    }
    let text = amqp1::encode_reply(found).unwrap();
    assert_eq!(amqp1::decode_reply(&text.into(), Limits::default()).as_ref(), Ok(found));
}

fn is_shallow(failure: &Failure) -> bool {
    let text = serde_json::to_string(failure).unwrap();
    json::validate(&text, Limits::default().with_max_depth(100)).is_ok()
}

fn agrees_with_reference(body: &[u8], decoded: &Result<Inbound, Poison>) {
    let reads = |object: &Map<String, Value>| envelope::required(object, "_msg_id")?.ok_or(());
    envelope::agrees(body, decoded, reads, |inbound, id, object| {
        assert_eq!(inbound.message_id, id);
        part_agrees(inbound, object);
    });
}

/// The outcome for the caller.
fn read(part: &ReplyPart) -> Result<ReplyPart, String> {
    match part {
        ReplyPart::Unread(unread) => unread.read().map(|reply| ReplyPart::Final(Some(reply))),
        part => Ok(part.clone()),
    }
}

fn part_agrees(inbound: &Inbound, object: &Map<String, Value>) {
    let part = &read(&inbound.part);
    let ending = object.get("ending") == Some(&Value::Bool(true));
    let result = object.get("result").filter(|result| !result.is_null());
    match object.get("failure").filter(|failure| !failure.is_null()) {
        // The target `failure` covers which of these may be refused.
        Some(Value::Object(_) | Value::String(_)) if part.is_err() => {}
        Some(Value::Object(failure)) => match (reference(failure), part) {
            (Some(wanted), part) => assert_eq!(part, &Ok(ReplyPart::Final(Some(Reply::Failure(Box::new(wanted)))))),
            (None, part) => assert!(part.is_err()),
        },
        Some(Value::String(text)) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(failure)) => match (reference(&failure), part) {
                (Some(wanted), part) => assert_eq!(part, &Ok(ReplyPart::Final(Some(Reply::Failure(Box::new(wanted)))))),
                (None, part) => assert!(part.is_err()),
            },
            Ok(_) => assert!(part.is_err()),
            // Strict JSON does not decide these.
            Err(_) => {}
        },
        Some(_) => assert!(part.is_err()),
        None => match (part, result, ending) {
            (Ok(ReplyPart::Final(Some(Reply::Result(found)))), Some(wanted), true)
            | (Ok(ReplyPart::Partial(found)), Some(wanted), false) => assert_eq!(&value(found), wanted),
            (Ok(ReplyPart::Final(None)), None, true) | (Ok(ReplyPart::Heartbeat), None, false) => {}
            other => panic!("decoded incorrectly: {other:?}"),
        },
    }
}
