//! The JSON of oslo.messaging's AMQP 1.0 driver, which differs from that of its rabbit driver.
//!
//! The reply address and the id of a call, which the rabbit driver puts into the JSON, are message properties here, and only
//! notifications use the envelope.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use oxlo_transport::{
    Context, Notification, NotificationFormat, Payload, Reply, Request,
    json::{self, Limits},
};

use crate::{
    context::ContextReader,
    envelope::{self, Poison},
    reply::read_failure,
    request::{ObjectWriter, heartbeat_interval, method_name, namespace_of, once, version_of},
};

/// Encodes a request; `monitor_timeout` is how long the server of a call may be silent, in whole seconds.
///
/// # Errors
///
/// [`serde_json::Error`] if the arguments are not UTF-8, which never happens for an encoded [`Payload`], or if the context has
/// an entry without a JSON representation.
pub fn encode_request(request: &Request, monitor_timeout: Option<u64>) -> Result<String, serde_json::Error> {
    let mut inner = ObjectWriter::with_capacity(request.args.len() + 128);
    inner.string("method", &request.method)?;
    inner.raw("args", request.args.as_bytes());
    if let Some(namespace) = &request.namespace {
        inner.string("namespace", namespace)?;
    }
    if let Some(version) = &request.version {
        inner.string("version", version)?;
    }
    let mut object = ObjectWriter::with_capacity(request.args.len() + 256);
    object.raw("request", inner.finish()?.as_bytes());
    object.raw("context", request.context.to_wire()?.as_bytes());
    if let Some(seconds) = monitor_timeout {
        object.raw("call_monitor_timeout", seconds.to_string().as_bytes());
    }
    object.finish()
}

/// A decoded request.
#[derive(Debug)]
pub struct InboundRequest {
    /// The request. Its method is empty if the message has none; a version of JSON `null` becomes the text `None`, as in
    /// Python.
    pub request: Request,
    /// How often the caller expects a heartbeat.
    pub heartbeat_interval: Option<Duration>,
}

/// Decodes a request, with or without an envelope.
///
/// # Errors
///
/// [`Poison`] if the body is not a valid request.
pub fn decode_request(body: &Bytes, limits: Limits) -> Result<InboundRequest, Poison> {
    let (inner, context, interval) = outer(body, limits)?;
    let inner = envelope::open(&inner, limits)?;
    let (mut method, mut args, mut namespace, mut version) = (None, None, None, None);
    envelope::members(&inner, limits, |key, raw| {
        match key {
            "method" => once(&mut method, "method", method_name(raw)?)?,
            "args" => args = Some(Payload::from_raw(inner.slice_ref(raw.as_bytes()))),
            "namespace" => namespace = namespace_of(raw)?,
            "version" => version = Some(version_of(raw)?),
            _ => {}
        }
        Ok(())
    })?;
    let request = Request {
        context,
        method: method.map_or_else(|| Arc::from(""), Arc::from),
        args: args.unwrap_or_else(Payload::empty_object),
        namespace: namespace.map(Arc::from),
        version: version.map(Arc::from),
    };
    Ok(InboundRequest { request, heartbeat_interval: interval })
}

/// Returns the text of the request or notification, its context, and the heartbeat interval.
fn outer(body: &Bytes, limits: Limits) -> Result<(Bytes, Context, Option<Duration>), Poison> {
    if body.len() > limits.max_bytes {
        return Err(Poison::TooLarge { size: body.len(), limit: limits.max_bytes });
    }
    let (mut inner, mut context, mut interval) = (None, None, None);
    envelope::members(body, limits, |key, raw| {
        match key {
            "request" => once(&mut inner, "request", body.slice_ref(raw.as_bytes()))?,
            "context" if raw != "null" => once(&mut context, "context", read_context(body, raw, limits)?)?,
            "call_monitor_timeout" => interval = heartbeat_interval(raw),
            _ => {}
        }
        Ok(())
    })?;
    Ok((inner.ok_or(Poison::Missing { key: "request" })?, context.unwrap_or_default(), interval))
}

fn read_context(body: &Bytes, raw: &str, limits: Limits) -> Result<Context, Poison> {
    if !json::is_object(raw.as_bytes()) {
        return Err(Poison::WrongType { key: "context", expected: "an object" });
    }
    let mut context = ContextReader::new(body, limits);
    envelope::members(raw.as_bytes(), limits, |key, raw| context.take(key, raw))?;
    context.finish()
}

/// Encodes a reply.
///
/// # Errors
///
/// [`serde_json::Error`] if the result is not UTF-8, which never happens for an encoded [`Payload`].
pub fn encode_reply(reply: &Reply) -> Result<String, serde_json::Error> {
    match reply {
        Reply::Result(result) => {
            let mut object = ObjectWriter::with_capacity(result.len() + 16);
            object.raw("response", result.as_bytes());
            object.finish()
        }
        // Python expects the failure as a string: JSON in JSON.
        Reply::Failure(failure) => {
            let mut object = ObjectWriter::with_capacity(256);
            object.string("failure", &serde_json::to_string(failure)?)?;
            object.finish()
        }
    }
}

/// Decodes a reply.
///
/// # Errors
///
/// The reason as text, for the caller of the method.
pub fn decode_reply(body: &Bytes, limits: Limits) -> Result<Reply, String> {
    if body.len() > limits.max_bytes {
        return Err(Poison::TooLarge { size: body.len(), limit: limits.max_bytes }.to_string());
    }
    let (mut response, mut failure) = (None, None);
    envelope::members(body, limits, |key, raw| {
        match key {
            "response" => response = Some(Payload::from_raw(body.slice_ref(raw.as_bytes()))),
            // A failure that is false in Python counts as absent.
            "failure" => failure = (!matches!(raw, "null" | "\"\"" | "false")).then(|| read_failure(raw, limits)),
            _ => {}
        }
        Ok(())
    })
    .map_err(|poison| match std::error::Error::source(&poison) {
        Some(source) => format!("{poison}: {source}"),
        None => poison.to_string(),
    })?;
    match failure {
        Some(failure) => failure.map(|failure| Reply::Failure(Box::new(failure))),
        None => Ok(Reply::Result(response.unwrap_or_else(Payload::null))),
    }
}

/// Encodes a notification.
///
/// # Errors
///
/// [`serde_json::Error`] if the payload is not UTF-8, which never happens for an encoded [`Payload`], or if the context has an
/// entry without a JSON representation.
pub fn encode_notification(notification: &Notification) -> Result<String, serde_json::Error> {
    let mut inner = ObjectWriter::with_capacity(notification.payload.len() + 384);
    inner.string("message_id", &notification.message_id)?;
    inner.string("publisher_id", &notification.publisher_id)?;
    inner.string("event_type", &notification.event_type)?;
    inner.string("priority", &notification.priority.as_str().to_ascii_uppercase())?;
    inner.raw("payload", notification.payload.as_bytes());
    inner.string("timestamp", &notification.timestamp)?;
    let inner = inner.finish()?;
    let mut object = ObjectWriter::with_capacity(inner.len() + 256);
    match notification.format {
        NotificationFormat::V1 => object.raw("request", inner.as_bytes()),
        NotificationFormat::V2 => object.raw("request", &envelope::seal(&inner)),
    }
    object.raw("context", notification.context.to_wire()?.as_bytes());
    object.finish()
}

/// Decodes a notification.
///
/// # Errors
///
/// [`Poison`] if the body is not a valid notification, or has an unknown priority.
pub fn decode_notification(body: &Bytes, limits: Limits) -> Result<Notification, Poison> {
    let (inner, context, _) = outer(body, limits)?;
    let inbound = super::notification::decode(&inner, limits)?;
    Ok(Notification { context, ..inbound.notification })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use oxlo_transport::{Failure, Priority};
    use serde_json::json;

    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::from(text.to_owned())
    }

    #[test]
    fn a_call_is_written_key_by_key_as_python_writes_it() {
        let request = Request {
            context: Context::new().with("user", "u1"),
            namespace: Some("ns".into()),
            version: Some("1.2".into()),
            ..Request::new("echo", Payload::from_raw(r#"{"a": 1}"#.into()))
        };
        assert_eq!(
            encode_request(&request, Some(5)).unwrap(),
            r#"{"request": {"method": "echo", "args": {"a": 1}, "namespace": "ns", "version": "1.2"}, "context": {"user":"u1"}, "call_monitor_timeout": 5}"#
        );
    }

    #[test]
    fn an_encoded_request_decodes_to_the_same() {
        let request = Request {
            context: Context::new().with("z", 1).with("a", json!({"deep": ["é", null]})),
            namespace: Some("".into()),
            ..Request::new("add", Payload::encode(&json!({"a": 1})).unwrap())
        };
        let inbound = decode_request(&encode_request(&request, Some(3)).unwrap().into(), Limits::default()).unwrap();
        assert_eq!(inbound.heartbeat_interval, Some(Duration::from_millis(1500)));
        assert_eq!((&inbound.request.method, &inbound.request.args), (&request.method, &request.args));
        assert_eq!(inbound.request.context, request.context);
        assert_eq!(inbound.request.namespace.as_deref(), Some(""));
        assert_eq!(inbound.request.version, None);
    }

    #[test]
    fn messages_from_python_are_decoded() {
        // Captured from oslo.messaging 14.0.3; the second one in the form of a serializer with an envelope.
        let plain = r#"{"request": {"method": "echo", "args": {"text": "h\u00e9"}, "version": "1.0"}, "context": {"request_id": "r"}, "call_monitor_timeout": 4}"#;
        let enveloped = r#"{"request": {"oslo.version": "2.0", "oslo.message": "{\"method\": \"echo\", \"args\": {\"text\": \"h\\u00e9\"}, \"version\": \"1.0\"}"}, "context": {"request_id": "r"}}"#;
        for text in [plain, enveloped] {
            let inbound = decode_request(&bytes(text), Limits::default()).unwrap();
            assert_eq!(&*inbound.request.method, "echo");
            assert_eq!(inbound.request.args.decode::<serde_json::Value>().unwrap(), json!({"text": "hé"}));
            assert_eq!(inbound.request.context.get_str("request_id"), Some("r"));
        }
    }

    #[test]
    fn values_that_are_not_strings_are_treated_as_over_amqp_0_9_1() {
        let text = r#"{"request": {"method": 7, "namespace": 7, "version": 1.0}}"#;
        let request = decode_request(&bytes(text), Limits::default()).unwrap().request;
        assert_eq!((&*request.method, request.namespace.as_deref()), ("", Some("7 (not a string)")));
        assert_eq!(request.version.as_deref(), Some("1.0 (not a string)"));
    }

    #[test]
    fn replies_are_written_as_python_writes_them() {
        let reply = Reply::Result(Payload::from_raw("null".into()));
        assert_eq!(encode_reply(&reply).unwrap(), r#"{"response": null}"#);
        let failure = Failure::builtin("ValueError", "no").with_traceback(["tb\n".to_owned()]);
        let written = encode_reply(&Reply::Failure(Box::new(failure.clone()))).unwrap();
        let object: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert!(object["failure"].is_string(), "Python expects a string");
        assert_eq!(
            decode_reply(&written.into(), Limits::default()),
            Ok(Reply::Failure(Box::new(failure))),
            "it decodes completely"
        );
    }

    #[test]
    fn replies_are_read_as_python_reads_them() {
        let result = |text: &'static str| Ok(Reply::Result(Payload::from_raw(text.into())));
        for (text, wanted) in [
            (r#"{"response": 0}"#, result("0")),
            (r#"{"response": [1, NaN]}"#, result("[1, NaN]")),
            (r#"{"response": "x", "failure": null}"#, result("\"x\"")),
            (r#"{}"#, result("null")),
        ] {
            assert_eq!(decode_reply(&bytes(text), Limits::default()), wanted, "{text}");
        }
        assert!(decode_reply(&bytes(r#"{"failure": "oops"}"#), Limits::default()).is_err());
        assert!(decode_reply(&bytes("[]"), Limits::default()).is_err());
    }

    #[test]
    fn notifications_read_back_in_both_formats() {
        for format in [NotificationFormat::V1, NotificationFormat::V2] {
            let sent = Notification {
                context: Context::new().with("user", "u"),
                message_id: "eeb3f9e5-8738-42f5-9121-35de9d0c26e7".into(),
                publisher_id: "pub.host1".into(),
                event_type: "evt".into(),
                priority: Priority::Warn,
                payload: Payload::from_raw(r#"{"k": 1}"#.into()),
                timestamp: "2026-11-20 22:16:02.906662".into(),
                format,
            };
            let written = encode_notification(&sent).unwrap();
            assert_eq!(written.contains(r#"{"request": {"oslo.version": "2.0""#), format == NotificationFormat::V2);
            let read = decode_notification(&written.into(), Limits::default()).unwrap();
            assert_eq!((read.format, read.priority, &read.payload), (format, sent.priority, &sent.payload));
            assert_eq!((&read.context, &read.message_id), (&sent.context, &sent.message_id));
        }
    }

    #[test]
    fn a_context_beyond_the_limits_is_poison() {
        let zeros = format!(r#"{{"a": [{}0]}}"#, "0,".repeat(10_000));
        let keys: Vec<String> = (0..1_001).map(|key| format!(r#""{key}": 0"#)).collect();
        for (context, kind) in [(zeros, "context_values"), (format!("{{{}}}", keys.join(",")), "context_keys")] {
            let request = format!(r#"{{"request": {{"priority": "info"}}, "context": {context}}}"#);
            assert_eq!(decode_request(&bytes(&request), Limits::default()).unwrap_err().kind(), kind);
            assert_eq!(decode_notification(&bytes(&request), Limits::default()).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn a_received_context_is_forwarded_unchanged() {
        let text = r#"{"request": {"method": "m", "args": {}}, "context": {"a":[1,  NaN],"b":"\u00e9"}}"#;
        let request = decode_request(&bytes(text), Limits::default()).unwrap().request;
        assert_eq!(encode_request(&request, None).unwrap(), text);
    }

    #[test]
    fn what_is_no_request_is_poison() {
        for text in ["", "[]", "{}", r#"{"request": 1}"#, r#"{"request": {}, "context": 1}"#] {
            assert!(decode_request(&bytes(text), Limits::default()).is_err(), "{text}");
        }
        let deep = format!(r#"{{"request": {}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert!(decode_request(&bytes(&deep), Limits::default()).is_err());
        let long = Limits::default().with_max_bytes(3);
        assert!(matches!(decode_request(&bytes("{   }"), long), Err(Poison::TooLarge { .. })));
    }
}
