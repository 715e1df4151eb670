//! Replies, heartbeats of monitored calls, and failures.

use std::borrow::Cow;

use bytes::Bytes;
use oxlo_transport::{
    failure::Failure,
    json::{self, Limits},
    message::Reply,
    payload::Payload,
};

use crate::{
    envelope::{self, Poison},
    request::{Caller, ObjectWriter, once, text},
    unread::UnreadReply,
};

/// The contents of a message for a pending call.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyPart {
    /// The method is still running.
    Heartbeat,
    /// The result, to be kept until the message that ends the call: the reply format of oslo before 2014, which is still valid.
    Partial(Payload),
    /// The end of the call. `None` if the result was sent before, as a [`Partial`](Self::Partial).
    Final(Option<Reply>),
    /// The end of the call, not decoded yet. The waiting task decodes it; if that fails, the call ends as
    /// [`TransportError::MalformedReply`](oxlo_transport::TransportError::MalformedReply).
    Unread(Box<UnreadReply>),
}

/// Encodes the body of a reply, which ends a call.
///
/// # Errors
///
/// [`serde_json::Error`] if the result is not UTF-8, which never happens for an encoded [`Payload`].
pub fn encode(message_id: &str, unique_id: &str, reply: &Reply) -> Result<Vec<u8>, serde_json::Error> {
    encode_for(Id::Text(message_id), unique_id, reply)
}

/// As [`encode`], for a caller whose id may be any JSON value.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_to(caller: &Caller, unique_id: &str, reply: &Reply) -> Result<Vec<u8>, serde_json::Error> {
    encode_for(Id::of(caller), unique_id, reply)
}

fn encode_for(message_id: Id<'_>, unique_id: &str, reply: &Reply) -> Result<Vec<u8>, serde_json::Error> {
    match reply {
        Reply::Result(result) => write(message_id, unique_id, result.as_bytes(), None, true),
        // Python expects the failure as a string: JSON in JSON in JSON.
        Reply::Failure(failure) => write(message_id, unique_id, b"null", Some(&serde_json::to_string(failure)?), true),
    }
}

/// Encodes a heartbeat, which tells a monitoring caller that the method is still running.
///
/// # Errors
///
/// Never in practice; the signature matches [`encode`].
pub fn encode_heartbeat(message_id: &str, unique_id: &str) -> Result<Vec<u8>, serde_json::Error> {
    write(Id::Text(message_id), unique_id, b"null", None, false)
}

/// As [`encode_heartbeat`], for a caller whose id may be any JSON value.
///
/// # Errors
///
/// As [`encode_heartbeat`].
pub fn encode_heartbeat_to(caller: &Caller, unique_id: &str) -> Result<Vec<u8>, serde_json::Error> {
    write(Id::of(caller), unique_id, b"null", None, false)
}

/// The id of the call.
#[derive(Clone, Copy)]
enum Id<'a> {
    Text(&'a str),
    Json(&'a str),
}

impl<'a> Id<'a> {
    fn of(caller: &'a Caller) -> Self {
        match &caller.message_id_json {
            Some(json) => Self::Json(json),
            None => Self::Text(&caller.message_id),
        }
    }
}

fn write(
    message_id: Id<'_>,
    unique_id: &str,
    result: &[u8],
    failure: Option<&str>,
    ending: bool,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut object = ObjectWriter::sealed(result.len() + failure.map_or(0, str::len) + 192);
    object.raw("result", result);
    match failure {
        Some(failure) => object.string("failure", failure)?,
        None => object.raw("failure", b"null"),
    }
    object.raw("ending", if ending { b"true" } else { b"false" });
    match message_id {
        Id::Text(text) => object.string("_msg_id", text)?,
        Id::Json(json) => object.raw("_msg_id", json.as_bytes()),
    }
    object.string("_unique_id", unique_id)?;
    Ok(object.finish()?.into_bytes())
}

/// A message from the reply queue.
#[derive(Debug)]
pub struct Inbound {
    /// The id of the call.
    pub message_id: String,
    /// The contents. A failure is not decoded yet.
    pub part: ReplyPart,
}

/// Decodes the body of a reply, except the result or the failure in it.
///
/// # Errors
///
/// [`Poison`] if the body is not a valid reply, or does not name its call.
pub fn decode(body: &Bytes, limits: Limits) -> Result<Inbound, Poison> {
    let inner = envelope::open(body, limits)?;
    let (mut message_id, mut result, mut failure, mut ending) = (None, None, None, false);
    envelope::members(&inner, limits, |key, raw| {
        match key {
            "_msg_id" => once(&mut message_id, "_msg_id", text("_msg_id", raw)?)?,
            "result" => result = Some(Payload::from_raw(inner.slice_ref(raw.as_bytes()))),
            "failure" => failure = (raw != "null").then_some(raw),
            "ending" => ending = raw == "true",
            _ => {}
        }
        Ok(())
    })?;
    let message_id = message_id.ok_or(Poison::Missing { key: "_msg_id" })?;
    let result = result.filter(|result| ending || result.as_bytes() != "null");
    let part = match (failure, result, ending) {
        (Some(failure), _, _) => {
            ReplyPart::Unread(Box::new(UnreadReply::failure(inner.slice_ref(failure.as_bytes()), limits)))
        }
        // After a partial result, Python ends the call with a null result.
        (None, Some(result), true) if result.as_bytes() == "null" => ReplyPart::Final(None),
        (None, Some(result), true) => ReplyPart::Final(Some(Reply::Result(result))),
        (None, None, true) => ReplyPart::Final(None),
        (None, Some(result), false) => ReplyPart::Partial(result),
        (None, None, false) => ReplyPart::Heartbeat,
    };
    Ok(Inbound { message_id, part })
}

/// Returns the id of the call from the end of a reply in the form that Python and oxlo write, without parsing the rest.
/// [`decode`] returns the same id, or refuses the body.
///
/// This allows dropping a large reply that no call waits for. `None` if the body has another form.
#[must_use]
pub fn id_at_end(body: &[u8]) -> Option<&str> {
    const ID: &[u8] = br#", \"_msg_id\": \""#;
    const UNIQUE: &[u8] = br#"\", \"_unique_id\": \""#;
    const TAIL: &[u8] = br#"\"}"}"#;
    let is_plain = |text: &[u8]| text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    if !envelope::is_usual(body) {
        return None;
    }
    let rest = body.strip_suffix(TAIL)?;
    let (rest, unique) = split_at_last(rest, UNIQUE)?;
    let (_, id) = split_at_last(rest, ID)?;
    // Without quotes and backslashes both are strings, so the preceding text is a member of the same object.
    (is_plain(unique) && is_plain(id)).then(|| str::from_utf8(id).ok())?
}

/// The text before and after the last `separator`, searched only where an id can be.
fn split_at_last<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    const LONGEST: usize = 64;
    let from = text.len().saturating_sub(separator.len() + LONGEST);
    let at = from + text.get(from..)?.windows(separator.len()).rposition(|window| window == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

/// Decodes a failure from a string that contains it, or from an object, as old peers send it.
pub(super) fn read_failure(raw: &str, limits: Limits) -> Result<Failure, String> {
    let unreadable = |error: json::JsonError| format!("cannot decode the failure: {error}");
    let text: Cow<'_, str> = if raw.starts_with('"') {
        Cow::Owned(json::from_slice_with(raw.as_bytes(), Limits::CHECKED).map_err(unreadable)?)
    } else {
        Cow::Borrowed(raw)
    };
    // serde would also accept a list of the fields.
    if !json::is_object(text.as_bytes()) {
        return Err("cannot decode the failure: it is not a JSON object".to_owned());
    }
    if json::has_more_values(&text, limits.max_failure_values) {
        return Err(format!("the failure has more than {} values", limits.max_failure_values));
    }
    json::from_slice_with(text.as_bytes(), limits).map_err(unreadable)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The part of a reply, decoded as by its caller.
    fn read(inner: &str) -> Result<ReplyPart, String> {
        part(&Bytes::from(inner.to_owned()))
    }

    fn part(body: &Bytes) -> Result<ReplyPart, String> {
        match decode(body, Limits::default()).unwrap().part {
            ReplyPart::Unread(unread) => unread.read().map(|reply| ReplyPart::Final(Some(reply))),
            part => Ok(part),
        }
    }

    fn result(text: &'static str) -> ReplyPart {
        ReplyPart::Final(Some(Reply::Result(Payload::from_raw(text.into()))))
    }

    #[test]
    fn a_reply_is_written_key_by_key_as_python_writes_it() {
        let captured = r#"{"oslo.version": "2.0", "oslo.message": "{\"result\": \"hi\", \"failure\": null, \"ending\": true, \"_msg_id\": \"ea40\", \"_unique_id\": \"dc1d\"}"}"#;
        let reply = Reply::Result(Payload::from_raw(r#""hi""#.into()));
        assert_eq!(String::from_utf8(encode("ea40", "dc1d", &reply).unwrap()).unwrap(), captured);
    }

    #[test]
    fn an_id_that_is_not_a_string_is_returned_unchanged() {
        let caller = |json: Option<&str>| Caller {
            message_id: "7".to_owned(),
            message_id_json: json.map(Into::into),
            reply_queue: "reply_q".to_owned(),
            heartbeat_interval: None,
        };
        let reply = Reply::Result(Payload::null());
        let written = |json| String::from_utf8(encode_to(&caller(json), "u", &reply).unwrap()).unwrap();
        assert!(written(Some("7")).contains(r#"\"_msg_id\": 7,"#), "{}", written(Some("7")));
        assert_eq!(written(None).into_bytes(), encode("7", "u", &reply).unwrap());
    }

    #[test]
    fn a_heartbeat_is_written_key_by_key_as_python_writes_it() {
        let captured = r#"{"oslo.version": "2.0", "oslo.message": "{\"result\": null, \"failure\": null, \"ending\": false, \"_msg_id\": \"ff74\", \"_unique_id\": \"1983\"}"}"#;
        assert_eq!(String::from_utf8(encode_heartbeat("ff74", "1983").unwrap()).unwrap(), captured);
    }

    #[test]
    fn a_failure_is_a_string_in_the_reply_and_decodes_completely() {
        let failure = Failure::builtin("ValueError", "('bad value', 42)")
            .with_args([json!("bad value"), json!(42)])
            .with_kwarg("code", 7)
            .with_traceback(["Traceback (most recent call last):\n".to_owned()]);
        let body = encode("m", "u", &Reply::Failure(Box::new(failure.clone()))).unwrap();
        let inner = envelope::open(&body.clone().into(), Limits::default()).unwrap();
        let object: serde_json::Value = serde_json::from_slice(&inner).unwrap();
        let text = object["failure"].as_str().expect("Python expects a string");
        let fields: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            fields.as_object().unwrap().keys().collect::<Vec<_>>().len(),
            6,
            "class, module, message, tb, args, kwargs"
        );
        let read = part(&body.into());
        assert_eq!(read, Ok(ReplyPart::Final(Some(Reply::Failure(Box::new(failure))))));
    }

    #[test]
    fn falsy_results_are_results() {
        for text in ["0", "\"\"", "[]", "{}", "false"] {
            let inner = format!(r#"{{"result": {text}, "failure": null, "ending": true, "_msg_id": "m"}}"#);
            let expected = ReplyPart::Final(Some(Reply::Result(Payload::from_raw(Bytes::from(text.to_owned())))));
            assert_eq!(read(&inner), Ok(expected), "{text}");
        }
        assert_eq!(read(r#"{"result": null, "ending": true, "_msg_id": "m"}"#), Ok(ReplyPart::Final(None)));
    }

    #[test]
    fn the_variants_that_python_peers_send_are_understood() {
        assert_eq!(read(r#"{"ending": true, "_msg_id": "m"}"#), Ok(ReplyPart::Final(None)));
        assert_eq!(read(r#"{"result": 1, "ending": true, "_msg_id": "m", "log": []}"#), Ok(result("1")));
        assert_eq!(
            read(r#"{"result": 1, "failure": null, "ending": false, "_msg_id": "m"}"#),
            Ok(ReplyPart::Partial(Payload::from_raw("1".into())))
        );
        assert_eq!(
            read(r#"{"result": null, "failure": null, "ending": false, "_msg_id": "m"}"#),
            Ok(ReplyPart::Heartbeat)
        );
        let minimal = read(
            r#"{"result": null, "ending": true, "_msg_id": "m", "failure": "{\"class\": \"E\", \"module\": \"x\", \"message\": \"no\"}"}"#,
        );
        assert!(matches!(minimal, Ok(ReplyPart::Final(Some(Reply::Failure(failure)))) if failure.traceback.is_empty()));
    }

    #[test]
    fn an_invalid_failure_is_reported_to_the_caller() {
        let unreadable = read(r#"{"failure": "oops", "ending": true, "_msg_id": "m"}"#);
        assert!(unreadable.unwrap_err().starts_with("cannot decode the failure"));
        let list = read(r#"{"failure": ["Error", "x", "no"], "ending": true, "_msg_id": "m"}"#);
        assert!(list.unwrap_err().starts_with("cannot decode the failure"));
    }

    #[test]
    fn the_last_of_repeated_failures_counts_even_if_null() {
        let twice = r#"{"result": 1, "failure": {"class": "E", "module": "x"}, "failure": null, "ending": true, "_msg_id": "m"}"#;
        assert_eq!(read(twice), Ok(result("1")));
    }

    #[test]
    fn a_failure_with_too_many_values_is_refused_before_decoding() {
        let limits = Limits { max_failure_values: 10, ..Limits::default() };
        let of = |zeros: usize| {
            let fields = format!(r#"{{"class": "E", "module": "x", "args": [0{}]}}"#, ", 0".repeat(zeros));
            [fields.clone(), json!(fields).to_string()].map(|raw| read_failure(&raw, limits).map(|it| it.args.len()))
        };
        // The object, its two names, the list, and its elements.
        assert_eq!(of(5), [Ok(6), Ok(6)]);
        assert_eq!(of(6), [(); 2].map(|()| Err("the failure has more than 10 values".to_owned())));
    }

    #[test]
    fn the_id_at_the_end_equals_the_decoded_id() {
        let failure = Reply::Failure(Box::new(Failure::builtin("ValueError", r#"", "_msg_id": "x""#)));
        let result = Reply::Result(Payload::encode(&json!({"_msg_id": "x", "_unique_id": "y"})).unwrap());
        for reply in [failure, result, Reply::Result(Payload::null())] {
            let body = encode("ea40", "dc1d", &reply).unwrap();
            assert_eq!(id_at_end(&body), Some("ea40"), "{reply:?}");
            assert_eq!(decode(&body.into(), Limits::default()).unwrap().message_id, "ea40");
        }
        let sealed = |inner: &str| envelope::seal(inner);
        for other in [
            r#"{"_msg_id": "a", "_unique_id": "b"}"#,
            r#"{"result": {"x": 1, "_msg_id": "a", "_unique_id": "b"}}"#,
            r#"{"result": 1, "_msg_id": 7, "_unique_id": "b"}"#,
            r#"{"result": 1, "_msg_id": "a\"", "_unique_id": "b"}"#,
            r#"{"result": 1, "_msg_id": "a", "_unique_id": "b", "log": []}"#,
            r#"{"_msg_id": "a", "result": ", \"_msg_id\": \"x\", \"_unique_id\": \"y"}"#,
            r#"{"_msg_id": "a", "result": "\\", "_msg_id": "x\", \"_unique_id\": \"y"}"#,
        ] {
            assert_eq!(id_at_end(&sealed(other)), None, "{other}");
            assert_eq!(id_at_end(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_reply_to_no_call_is_poison() {
        let refused = decode(&Bytes::from_static(br#"{"result": 1}"#), Limits::default()).unwrap_err();
        assert_eq!(refused.to_string(), "key `_msg_id` is missing");
    }
}
