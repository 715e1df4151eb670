//! Requests: calls and casts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use oxlo_transport::{
    context::Context,
    json::{self, Limits},
    message::Request,
    payload::Payload,
};

use crate::{
    context::ContextReader,
    envelope::{self, Poison},
};

/// The metadata of a request on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// Identifies the message; a repeated publish has the same id.
    pub unique_id: &'a str,
    /// Metadata of a call; `None` for a cast.
    pub call: Option<CallLabels<'a>>,
}

/// The metadata that a reply needs.
#[derive(Clone, Copy, Debug)]
pub struct CallLabels<'a> {
    /// The id of the call, returned in its reply.
    pub message_id: &'a str,
    /// The queue for the reply.
    pub reply_queue: &'a str,
    /// How long the server may be silent, in whole seconds.
    pub monitor_timeout: Option<u64>,
}

/// Encodes the body of a request, with the keys in oslo's order; the encoded arguments are copied unchanged.
///
/// # Errors
///
/// [`serde_json::Error`] if the arguments are not UTF-8, which never happens for an encoded [`Payload`], or if the context has
/// an entry without a JSON representation.
pub fn encode(request: &Request, labels: &Labels<'_>) -> Result<Vec<u8>, serde_json::Error> {
    let mut object = ObjectWriter::sealed(request.args.len() + 320);
    object.string("method", &request.method)?;
    object.raw("args", request.args.as_bytes());
    if let Some(namespace) = &request.namespace {
        object.string("namespace", namespace)?;
    }
    if let Some(version) = &request.version {
        object.string("version", version)?;
    }
    if let Some(call) = &labels.call {
        object.string("_msg_id", call.message_id)?;
        object.string("_reply_q", call.reply_queue)?;
        match call.monitor_timeout {
            Some(seconds) => object.raw("_timeout", seconds.to_string().as_bytes()),
            None => object.raw("_timeout", b"null"),
        }
    }
    object.string("_unique_id", labels.unique_id)?;
    object.context(&request.context)?;
    Ok(object.finish()?.into_bytes())
}

/// A decoded request.
#[derive(Debug)]
pub struct Inbound {
    /// The request. Its method is empty if the message has none; a version of JSON `null` becomes the text `None`, as in
    /// Python. A namespace or a version that is not a string becomes one that no endpoint has.
    pub request: Request,
    /// Identifies the message; copies of it have the same id.
    pub unique_id: Option<String>,
    /// The caller that waits for a reply; `None` for a cast.
    pub caller: Option<Caller>,
}

/// The caller that waits for a reply.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The id of the call, returned in its reply.
    pub message_id: String,
    /// The JSON of the id, if it is not a string. The reply returns it unchanged, as Python's does.
    pub message_id_json: Option<Box<str>>,
    /// The queue for the reply.
    pub reply_queue: String,
    /// How often the caller expects a heartbeat; `None` if it does not monitor the call.
    pub heartbeat_interval: Option<Duration>,
}

/// Decodes the body of a request.
///
/// # Errors
///
/// [`Poison`] if the body is not a valid request.
pub fn decode(body: &Bytes, limits: Limits) -> Result<Inbound, Poison> {
    let inner = envelope::open(body, limits)?;
    let (mut method, mut args, mut namespace, mut version) = (None, None, None, None);
    let (mut message_id, mut reply_queue, mut timeout, mut unique_id) = (None, None, None, None);
    let mut context = ContextReader::new(&inner, limits);
    envelope::members(&inner, limits, |key, raw| {
        match key {
            "method" => once(&mut method, "method", method_name(raw)?)?,
            "args" => args = Some(Payload::from_raw(inner.slice_ref(raw.as_bytes()))),
            "namespace" => namespace = namespace_of(raw)?,
            "version" => version = Some(version_of(raw)?),
            "_msg_id" => once(&mut message_id, "_msg_id", call_id(raw)?)?,
            "_reply_q" => once(&mut reply_queue, "_reply_q", optional("_reply_q", raw)?)?,
            "_unique_id" => once(&mut unique_id, "_unique_id", unique(raw)?)?,
            "_timeout" => once(&mut timeout, "_timeout", heartbeat_interval(raw))?,
            _ => {
                if let Some(name) = key.strip_prefix("_context_") {
                    context.take(name, raw)?;
                }
            }
        }
        Ok(())
    })?;
    let caller = match (message_id.flatten(), reply_queue.flatten()) {
        (Some((message_id, message_id_json)), Some(reply_queue)) => {
            Some(Caller { message_id, message_id_json, reply_queue, heartbeat_interval: timeout.flatten() })
        }
        _ => None,
    };
    let request = Request {
        context: context.finish()?,
        method: method.map_or_else(|| Arc::from(""), Arc::from),
        args: args.unwrap_or_else(Payload::empty_object),
        namespace: namespace.map(Arc::from),
        version: version.map(Arc::from),
    };
    Ok(Inbound { request, unique_id: unique_id.flatten(), caller })
}

/// Half of the caller's monitor timeout, as oslo's server computes it: whole seconds, and `None` below two.
pub(super) fn heartbeat_interval(raw: &str) -> Option<Duration> {
    let seconds = raw.trim_matches('"').trim().parse::<f64>().ok().filter(|seconds| seconds.is_finite())?.trunc();
    (seconds >= 2.0).then(|| Duration::from_secs_f64(seconds.min(1e9) / 2.0))
}

pub(super) fn text(key: &'static str, raw: &str) -> Result<String, Poison> {
    // The scanner has checked that `raw` is one value.
    if let Some(plain) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'))
        && !plain.contains('\\')
    {
        return Ok(plain.to_owned());
    }
    json::from_slice(raw.as_bytes()).map_err(|_| Poison::WrongType { key, expected: "a string" })
}

/// An optional string; `null` counts as absent, even after a string: of repeated keys, the last value counts.
pub(super) fn optional(key: &'static str, raw: &str) -> Result<Option<String>, Poison> {
    if raw == "null" { Ok(None) } else { text(key, raw).map(Some) }
}

/// Whether a value is a string or null. Other values in place of a string are treated as in Python.
fn is_string_or_null(raw: &str) -> bool {
    raw.starts_with('"') || raw == "null"
}

/// Python answers a method that is not a string with a `TypeError`, like a missing one.
pub(super) fn method_name(raw: &str) -> Result<String, Poison> {
    if raw.starts_with('"') { text("method", raw) } else { Ok(String::new()) }
}

/// Python answers a namespace that is not a string as one that no endpoint has.
pub(super) fn namespace_of(raw: &str) -> Result<Option<String>, Poison> {
    if is_string_or_null(raw) { optional("namespace", raw) } else { Ok(Some(not_a_string(raw))) }
}

/// Python answers a version that is not a string with an error, even a number that looks like a version: `1.0`.
pub(super) fn version_of(raw: &str) -> Result<String, Poison> {
    match raw {
        "null" => Ok("None".to_owned()),
        _ if is_string_or_null(raw) => text("version", raw),
        _ => Ok(not_a_string(raw)),
    }
}

fn not_a_string(raw: &str) -> String {
    const SHOWN: usize = 40;
    format!("{} (not a string)", raw.chars().take(SHOWN).collect::<String>())
}

/// The id of a call, and its JSON if it is not a string.
type CallId = (String, Option<Box<str>>);

/// An id that is false in Python counts as absent.
fn call_id(raw: &str) -> Result<Option<CallId>, Poison> {
    if is_string_or_null(raw) {
        return Ok(optional("_msg_id", raw)?.filter(|id| !id.is_empty()).map(|id| (id, None)));
    }
    let empty = raw.starts_with(['[', '{']) && raw[1..raw.len() - 1].trim_ascii().is_empty();
    let no_id = empty || raw == "false" || raw.parse().is_ok_and(|number: f64| number == 0.0);
    Ok((!no_id).then(|| (raw.to_owned(), Some(raw.into()))))
}

/// The id of a message. An id that is not a string differs from the string with the same text.
fn unique(raw: &str) -> Result<Option<String>, Poison> {
    if is_string_or_null(raw) { optional("_unique_id", raw) } else { Ok(Some(format!("{raw} (not a string)"))) }
}

/// As [`optional`]; a value that is not a string becomes its JSON text.
pub(super) fn lenient(key: &'static str, raw: &str) -> Result<Option<String>, Poison> {
    if is_string_or_null(raw) { optional(key, raw) } else { Ok(Some(raw.to_owned())) }
}

pub(super) fn once<T>(slot: &mut Option<T>, key: &'static str, value: T) -> Result<(), Poison> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Poison::DuplicateKey { key }),
    }
}

/// Writes a JSON object, member by member, with Python's separators; optionally directly into an envelope.
pub(super) struct ObjectWriter {
    body: Vec<u8>,
    sealed: bool,
    empty: bool,
}

impl ObjectWriter {
    /// Creates a writer for an object in an envelope. `bytes` is the expected size.
    pub(super) fn sealed(bytes: usize) -> Self {
        Self { body: envelope::begin(bytes), sealed: true, empty: true }
    }

    /// Creates a writer for an object without an envelope. `bytes` is the expected size.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { body: Vec::with_capacity(bytes), sealed: false, empty: true }
    }

    /// Writes a member whose value is JSON text.
    pub(super) fn raw(&mut self, key: &'static str, value: &[u8]) {
        self.key(key);
        match str::from_utf8(value) {
            Ok(value) => self.put(value),
            // `finish` reports it.
            Err(_) => self.body.extend_from_slice(value),
        }
    }

    pub(super) fn string(&mut self, key: &'static str, value: &str) -> Result<(), serde_json::Error> {
        self.key(key);
        if json::is_plain(value) {
            self.quote();
            self.body.extend_from_slice(value.as_bytes());
            self.quote();
        } else {
            self.put(&serde_json::to_string(value)?);
        }
        Ok(())
    }

    pub(super) fn context(&mut self, context: &Context) -> Result<(), serde_json::Error> {
        if let Some(fault) = context.fault() {
            return Err(serde::ser::Error::custom(fault));
        }
        for entry in context.texts() {
            let (key, value) = entry?;
            self.separate();
            self.put(&serde_json::to_string(&ContextKey(key))?);
            self.body.extend_from_slice(b": ");
            self.put(&value);
        }
        Ok(())
    }

    /// Returns the completed text.
    pub(super) fn finish(mut self) -> Result<String, serde_json::Error> {
        self.body.extend_from_slice(if self.empty { b"{}" } else { b"}" });
        if self.sealed {
            envelope::end(&mut self.body);
        }
        String::from_utf8(self.body).map_err(serde::ser::Error::custom)
    }

    /// Writes a key, which needs no escapes, with its separators.
    fn key(&mut self, key: &'static str) {
        self.separate();
        self.quote();
        self.body.extend_from_slice(key.as_bytes());
        self.quote();
        self.body.extend_from_slice(b": ");
    }

    fn separate(&mut self) {
        self.body.extend_from_slice(if std::mem::take(&mut self.empty) { b"{" } else { b", " });
    }

    fn quote(&mut self) {
        self.body.extend_from_slice(if self.sealed { b"\\\"" } else { b"\"" });
    }

    fn put(&mut self, json: &str) {
        if self.sealed {
            json::escape_contents_into(&mut self.body, json);
        } else {
            self.body.extend_from_slice(json.as_bytes());
        }
    }
}

struct ContextKey<'a>(&'a str);

impl serde::Serialize for ContextKey<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("_context_{}", self.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decoded(inner: &str) -> Result<Inbound, Poison> {
        decode(&Bytes::from(envelope::seal(inner)), Limits::default())
    }

    #[test]
    fn a_call_is_written_key_by_key_as_python_writes_it() {
        // Captured from oslo.messaging 18.3.1.
        let captured = r#"{"oslo.version": "2.0", "oslo.message": "{\"method\": \"echo\", \"args\": {\"a\": 1, \"b\": \"\\u00e9\", \"c\": [1, 2.5, null, true], \"d\": {\"x\": {}}}, \"namespace\": \"ns1\", \"version\": \"1.2\", \"_msg_id\": \"c43db2cf6fef4e459052653534e37c4a\", \"_reply_q\": \"reply_2c5b1afb859e409a94903388b7dc0fc1\", \"_timeout\": null, \"_unique_id\": \"8ace41576c8f4233bd858831e9908f71\", \"_context_user\": \"u1\", \"_context_request_id\": \"req-1\"}"}"#;
        let args = r#"{"a": 1, "b": "\u00e9", "c": [1, 2.5, null, true], "d": {"x": {}}}"#;
        let request = Request {
            context: Context::new().with("user", "u1").with("request_id", "req-1"),
            namespace: Some("ns1".into()),
            version: Some("1.2".into()),
            ..Request::new("echo", Payload::from_raw(Bytes::from_static(args.as_bytes())))
        };
        let labels = Labels {
            unique_id: "8ace41576c8f4233bd858831e9908f71",
            call: Some(CallLabels {
                message_id: "c43db2cf6fef4e459052653534e37c4a",
                reply_queue: "reply_2c5b1afb859e409a94903388b7dc0fc1",
                monitor_timeout: None,
            }),
        };
        assert_eq!(String::from_utf8(encode(&request, &labels).unwrap()).unwrap(), captured);
    }

    #[test]
    fn a_cast_is_written_key_by_key_as_python_writes_it() {
        let captured = r#"{"oslo.version": "2.0", "oslo.message": "{\"method\": \"hello\", \"args\": {\"z\": 1}, \"_unique_id\": \"b0568f26756847e8a61e3109e33596d9\", \"_context_k\": \"v\"}"}"#;
        let request = Request {
            context: Context::new().with("k", "v"),
            ..Request::new("hello", Payload::from_raw(r#"{"z": 1}"#.into()))
        };
        let labels = Labels { unique_id: "b0568f26756847e8a61e3109e33596d9", call: None };
        assert_eq!(String::from_utf8(encode(&request, &labels).unwrap()).unwrap(), captured);
    }

    #[test]
    fn an_encoded_request_decodes_to_the_same() {
        let request = Request {
            context: Context::new().with("z", 1).with("a", json!({"deep": ["é", null]})),
            namespace: Some("".into()),
            version: Some("1.2".into()),
            ..Request::new("add", Payload::encode(&json!({"a": 1})).unwrap())
        };
        let call = CallLabels { message_id: "m", reply_queue: "reply_q", monitor_timeout: Some(5) };
        let body = encode(&request, &Labels { unique_id: "u", call: Some(call) }).unwrap();
        let inbound = decode(&body.into(), Limits::default()).unwrap();
        assert_eq!(inbound.request.method, request.method);
        assert_eq!(inbound.request.args, request.args);
        assert_eq!(inbound.request.namespace, request.namespace, "the empty namespace is not the null one");
        assert_eq!(inbound.request.version, request.version);
        assert_eq!(inbound.request.context, request.context);
        assert_eq!(inbound.request.context.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["z", "a"]);
        assert_eq!(inbound.unique_id.as_deref(), Some("u"));
        let caller = inbound.caller.unwrap();
        assert_eq!((caller.message_id.as_str(), caller.reply_queue.as_str()), ("m", "reply_q"));
        assert_eq!(caller.heartbeat_interval, Some(Duration::from_millis(2500)));
    }

    #[test]
    fn optional_keys_may_be_missing() {
        let inbound = decoded(r#"{"method": "ping"}"#).unwrap();
        assert_eq!(inbound.request.args, Payload::empty_object());
        assert!(inbound.caller.is_none() && inbound.unique_id.is_none());
        assert!(inbound.request.version.is_none() && inbound.request.namespace.is_none());
        assert_eq!(&*decoded("{}").unwrap().request.method, "", "the server answers that no method is named");
    }

    #[test]
    fn null_is_no_namespace_but_no_version_either() {
        let inbound = decoded(r#"{"method": "m", "namespace": null, "version": null}"#).unwrap();
        assert_eq!(inbound.request.namespace, None);
        assert_eq!(inbound.request.version.as_deref(), Some("None"));
    }

    #[test]
    fn arguments_from_python_need_not_be_strict_json() {
        let inbound =
            decoded(r#"{"method": "m", "args": {"x": NaN, "y": -Infinity, "z": 123456789012345678901234567890}}"#)
                .unwrap();
        #[derive(serde::Deserialize)]
        struct Args {
            x: f64,
            y: f64,
            z: u128,
        }
        let args: Args = inbound.request.args.decode().unwrap();
        assert!(args.x.is_nan());
        assert_eq!((args.y, args.z), (f64::NEG_INFINITY, 123_456_789_012_345_678_901_234_567_890));
    }

    #[test]
    fn a_context_beyond_the_limits_is_poison() {
        let zeros = format!(r#"{{"method": "m", "_context_a": [{}0]}}"#, "0,".repeat(10_000));
        assert_eq!(decoded(&zeros).unwrap_err().kind(), "context_values");
        let keys: Vec<String> = (0..1_001).map(|key| format!(r#""_context_{key}": 0"#)).collect();
        assert_eq!(decoded(&format!("{{{}}}", keys.join(","))).unwrap_err().kind(), "context_keys");
    }

    #[test]
    fn a_context_that_came_goes_on_as_it_came() {
        let inner =
            r#"{"method": "m", "args": {}, "_unique_id": "u", "_context_a": [1,  NaN], "_context_b": "\u00e9"}"#;
        let request = decoded(inner).unwrap().request;
        let again = encode(&request, &Labels { unique_id: "u", call: None }).unwrap();
        assert_eq!(again, envelope::seal(inner));
    }

    #[test]
    fn heartbeats_are_asked_for_as_oslos_server_understands_it() {
        for (raw, wanted) in [
            ("null", None),
            ("1", None),
            ("0.5", None),
            ("\"many\"", None),
            ("NaN", None),
            ("2", Some(1.0)),
            ("\"2\"", Some(1.0)),
            ("5.9", Some(2.5)),
        ] {
            assert_eq!(heartbeat_interval(raw), wanted.map(Duration::from_secs_f64), "{raw}");
        }
    }

    #[test]
    fn an_identifier_given_twice_is_poison() {
        for key in ["method", "_msg_id", "_reply_q", "_unique_id"] {
            let twice = format!(r#"{{"method": "m", "{key}": "a", "{key}": "b"}}"#);
            assert!(matches!(decoded(&twice), Err(Poison::DuplicateKey { key: found }) if found == key), "{key}");
        }
        assert!(decoded(r#"{"_msg_id": "a", "_msg_id": null}"#).is_err());
    }

    #[test]
    fn the_last_of_several_values_counts_also_when_it_is_null() {
        let inbound = decoded(r#"{"method": "m", "namespace": "a", "namespace": null}"#).unwrap();
        assert_eq!(inbound.request.namespace, None);
    }

    /// The expected behaviour was observed on a server of oslo.messaging 18.3.1.
    #[test]
    fn values_that_are_not_strings_are_treated_as_in_python() {
        let call = |member: &str| {
            decoded(&format!(r#"{{"method": "m", "_reply_q": "reply_q", "_msg_id": "a", {member}}}"#)).unwrap()
        };
        for raw in ["1.0", "1", "true", "[1]"] {
            let version = call(&format!(r#""version": {raw}"#)).request.version.unwrap();
            assert!(version.parse::<oxlo_transport::Version>().is_err() && version.starts_with(raw), "{version}");
            let namespace = call(&format!(r#""namespace": {raw}"#)).request.namespace.unwrap();
            assert_eq!(&*namespace, format!("{raw} (not a string)"));
        }
        for raw in ["7", "null", "[\"m\"]"] {
            assert_eq!(
                &*decoded(&format!(r#"{{"method": {raw}}}"#)).unwrap().request.method,
                "",
                "as one that is missing"
            );
        }
        let number = call(r#""_unique_id": 77"#).unique_id.unwrap();
        assert_ne!(number, call(r#""_unique_id": "77""#).unique_id.unwrap());
        assert!(call(r#""_unique_id": [1]"#).unique_id.is_some());
    }

    #[test]
    fn the_id_of_a_call_is_returned_unchanged() {
        let caller = |id: &str, queue: &str| {
            let inner = format!(r#"{{"method": "m", "_msg_id": {id}, "_reply_q": {queue}}}"#);
            decoded(&inner).unwrap().caller
        };
        for raw in ["7", "1.5", "[1]", "true"] {
            let caller = caller(raw, r#""reply_q""#).unwrap();
            assert_eq!((caller.message_id.as_str(), caller.message_id_json.as_deref()), (raw, Some(raw)));
        }
        let text = caller(r#""7""#, r#""reply_q""#).unwrap();
        assert_eq!((text.message_id.as_str(), text.message_id_json), ("7", None));
        for falsy in ["0", "0.0", "false", "null", r#""""#, "[]", "{ }"] {
            assert!(caller(falsy, r#""reply_q""#).is_none(), "{falsy}");
        }
        let queue = decoded(r#"{"method": "m", "_msg_id": "7", "_reply_q": 7}"#);
        assert!(matches!(queue, Err(Poison::WrongType { key: "_reply_q", .. })), "no reply could be sent there");
    }
}
