//! Replies, heartbeats of monitored calls, and failures.

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    envelope::{self, Poison},
    json::{self, Limits},
    request::{Caller, ObjectWriter, once, text},
};
use crate::{failure::Failure, message::Reply, parts::pending::ReplyPart, payload::Payload};

/// Writes the body that ends a call.
///
/// # Errors
///
/// [`serde_json::Error`] if the result is no UTF-8 text, which no encoded [`Payload`] is.
pub fn encode(message_id: &str, unique_id: &str, reply: &Reply) -> Result<Vec<u8>, serde_json::Error> {
    encode_for(Id::Text(message_id), unique_id, reply)
}

/// As [`encode`], for a caller whose id need not be a text.
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
        // Python reads the failure from a string: JSON in JSON in JSON.
        Reply::Failure(failure) => write(message_id, unique_id, b"null", Some(&serde_json::to_string(failure)?), true),
    }
}

/// Writes the body that tells a monitoring caller that the method still runs.
///
/// # Errors
///
/// None in practice; it shares its shape with [`encode`].
pub fn encode_heartbeat(message_id: &str, unique_id: &str) -> Result<Vec<u8>, serde_json::Error> {
    write(Id::Text(message_id), unique_id, b"null", None, false)
}

/// As [`encode_heartbeat`], for a caller whose id need not be a text.
///
/// # Errors
///
/// As [`encode_heartbeat`].
pub fn encode_heartbeat_to(caller: &Caller, unique_id: &str) -> Result<Vec<u8>, serde_json::Error> {
    write(Id::of(caller), unique_id, b"null", None, false)
}

/// What names the call.
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

/// A message that came to the reply queue.
#[derive(Debug)]
pub struct Inbound {
    /// The call it is for.
    pub message_id: String,
    /// What it says; or, for the caller, why it cannot be read.
    pub part: Result<ReplyPart, String>,
}

/// Reads the body of a reply.
///
/// # Errors
///
/// [`Poison`] if it does not even say which call it is for.
pub fn decode(body: &Bytes, limits: Limits) -> Result<Inbound, Poison> {
    let inner = envelope::open(body, limits)?;
    let (mut message_id, mut result, mut failure, mut ending) = (None, None, None, false);
    envelope::members(&inner, limits, |key, raw| {
        match key {
            "_msg_id" => once(&mut message_id, "_msg_id", text("_msg_id", raw)?)?,
            "result" => result = Some(Payload::from_raw(inner.slice_ref(raw.as_bytes()))),
            "failure" => failure = (raw != "null").then(|| read_failure(raw)),
            "ending" => ending = raw == "true",
            _ => {}
        }
        Ok(())
    })?;
    let message_id = message_id.ok_or(Poison::Missing { key: "_msg_id" })?;
    let result = result.filter(|result| ending || result.as_bytes() != "null");
    let part = match (failure, result, ending) {
        (Some(failure), _, _) => failure.map(|failure| ReplyPart::Final(Some(Reply::Failure(Box::new(failure))))),
        // After a partial result Python ends with a null one.
        (None, Some(result), true) if result.as_bytes() == "null" => Ok(ReplyPart::Final(None)),
        (None, Some(result), true) => Ok(ReplyPart::Final(Some(Reply::Result(result)))),
        (None, None, true) => Ok(ReplyPart::Final(None)),
        (None, Some(result), false) => Ok(ReplyPart::Partial(result)),
        (None, None, false) => Ok(ReplyPart::Heartbeat),
    };
    Ok(Inbound { message_id, part })
}

/// Reads a failure from the text that holds it, or from itself, as old peers put it there.
pub(super) fn read_failure(raw: &str) -> Result<Failure, String> {
    let unreadable = |error: json::JsonError| format!("its failure is none: {error}");
    let text: Cow<'_, str> = if raw.starts_with('"') {
        Cow::Owned(json::from_slice(raw.as_bytes()).map_err(unreadable)?)
    } else {
        Cow::Borrowed(raw)
    };
    // serde would take a list of the fields, too.
    if !json::is_object(text.as_bytes()) {
        return Err("its failure is none: it is no JSON object".to_owned());
    }
    json::from_slice(text.as_bytes()).map_err(unreadable)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(inner: &str) -> Inbound {
        decode(&Bytes::from(inner.to_owned()), Limits::default()).unwrap()
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
    fn an_id_that_is_not_a_text_goes_back_as_it_came() {
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
    fn a_failure_is_a_string_in_the_reply_and_reads_back_whole() {
        let failure = Failure::builtin("ValueError", "('bad value', 42)")
            .with_args([json!("bad value"), json!(42)])
            .with_kwarg("code", 7)
            .with_traceback(["Traceback (most recent call last):\n".to_owned()]);
        let body = encode("m", "u", &Reply::Failure(Box::new(failure.clone()))).unwrap();
        let inner = envelope::open(&body.clone().into(), Limits::default()).unwrap();
        let object: serde_json::Value = serde_json::from_slice(&inner).unwrap();
        let text = object["failure"].as_str().expect("Python reads a string");
        let fields: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            fields.as_object().unwrap().keys().collect::<Vec<_>>().len(),
            6,
            "class, module, message, tb, args, kwargs"
        );
        let read = decode(&body.into(), Limits::default()).unwrap();
        assert_eq!(read.part, Ok(ReplyPart::Final(Some(Reply::Failure(Box::new(failure))))));
    }

    #[test]
    fn falsy_results_are_results() {
        for text in ["0", "\"\"", "[]", "{}", "false"] {
            let inner = format!(r#"{{"result": {text}, "failure": null, "ending": true, "_msg_id": "m"}}"#);
            let expected = ReplyPart::Final(Some(Reply::Result(Payload::from_raw(Bytes::from(text.to_owned())))));
            assert_eq!(read(&inner).part, Ok(expected), "{text}");
        }
        assert_eq!(read(r#"{"result": null, "ending": true, "_msg_id": "m"}"#).part, Ok(ReplyPart::Final(None)));
    }

    #[test]
    fn the_variants_that_python_peers_send_are_understood() {
        assert_eq!(read(r#"{"ending": true, "_msg_id": "m"}"#).part, Ok(ReplyPart::Final(None)));
        assert_eq!(read(r#"{"result": 1, "ending": true, "_msg_id": "m", "log": []}"#).part, Ok(result("1")));
        assert_eq!(
            read(r#"{"result": 1, "failure": null, "ending": false, "_msg_id": "m"}"#).part,
            Ok(ReplyPart::Partial(Payload::from_raw("1".into())))
        );
        assert_eq!(
            read(r#"{"result": null, "failure": null, "ending": false, "_msg_id": "m"}"#).part,
            Ok(ReplyPart::Heartbeat)
        );
        let minimal = read(
            r#"{"result": null, "ending": true, "_msg_id": "m", "failure": "{\"class\": \"E\", \"module\": \"x\", \"message\": \"no\"}"}"#,
        );
        assert!(
            matches!(minimal.part, Ok(ReplyPart::Final(Some(Reply::Failure(failure)))) if failure.traceback.is_empty())
        );
    }

    #[test]
    fn a_failure_that_is_none_reaches_the_caller_as_such() {
        let unreadable = read(r#"{"failure": "oops", "ending": true, "_msg_id": "m"}"#);
        assert!(unreadable.part.unwrap_err().starts_with("its failure is none"));
        let list = read(r#"{"failure": ["Error", "x", "no"], "ending": true, "_msg_id": "m"}"#);
        assert!(list.part.unwrap_err().starts_with("its failure is none"));
    }

    #[test]
    fn the_last_of_several_failures_counts_also_when_it_is_null() {
        let twice = r#"{"result": 1, "failure": {"class": "E", "module": "x"}, "failure": null, "ending": true, "_msg_id": "m"}"#;
        assert_eq!(read(twice).part, Ok(result("1")));
    }

    #[test]
    fn a_reply_to_no_call_is_poison() {
        let refused = decode(&Bytes::from_static(br#"{"result": 1}"#), Limits::default()).unwrap_err();
        assert_eq!(refused.to_string(), "key `_msg_id` is missing");
    }
}
