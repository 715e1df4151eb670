//! Requests: in the envelope of the rabbit driver, and in the shape of the AMQP 1.0 driver.

use bytes::Bytes;
use oxlo_transport::{Request, json::Limits};
use oxlo_wire::{
    amqp1,
    envelope::Poison,
    request::{self, CallLabels, Inbound, Labels},
};
use serde_json::{Map, Value, json};

use crate::{
    envelope,
    pieces::{self, Pieces, value},
};

pub(crate) fn check(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let decoded = request::decode(&body, Limits::default());
    agrees_with_reference(data, &decoded);
    if let Ok(inbound) = &decoded {
        reads_back(inbound);
    }
    if let Ok(inbound) = amqp1::decode_request(&body, Limits::default()) {
        reads_back_amqp1(&inbound.request);
    }

    let mut pieces = Pieces::of(data);
    let mut request = Request::new(pieces.text(), pieces.payload());
    request.namespace = pieces.optional().map(Into::into);
    request.version = pieces.optional().map(Into::into);
    let (unique_id, message_id, reply_queue) = (pieces.text(), pieces.text(), pieces.text());
    request.context = pieces.context();
    let call = CallLabels { message_id: &message_id, reply_queue: &reply_queue, monitor_timeout: None };
    for call in [None, Some(call)] {
        let labels = Labels { unique_id: &unique_id, call };
        let inbound = written(&request, &labels);
        same_request(&inbound.request, &request);
        assert_eq!(inbound.unique_id.as_deref(), Some(&*unique_id));
        let caller = inbound.caller.map(|caller| (caller.message_id, caller.reply_queue));
        // An empty id counts as absent, as in Python.
        let call = call.filter(|_| !message_id.is_empty());
        assert_eq!(caller, call.map(|_| (message_id.clone(), reply_queue.clone())));
    }
    reads_back_amqp1(&request);
}

/// Decodes a message encoded by [`request::encode`].
fn written(request: &Request, labels: &Labels<'_>) -> Inbound {
    let body = request::encode(request, labels).unwrap();
    let outer: Value = serde_json::from_slice(&body).expect("an envelope is strict JSON");
    assert!(body.is_ascii() && outer["oslo.version"] == "2.0" && outer.as_object().unwrap().len() == 2);
    request::decode(&body.into(), Limits::default()).expect("encoded messages are accepted")
}

fn reads_back(inbound: &Inbound) {
    let call = inbound.caller.as_ref().map(|caller| CallLabels {
        message_id: &caller.message_id,
        reply_queue: &caller.reply_queue,
        // The interval is half of the caller's value.
        monitor_timeout: caller.heartbeat_interval.map(|interval| (interval * 2).as_secs()),
    });
    let again = written(&inbound.request, &Labels { unique_id: inbound.unique_id.as_deref().unwrap_or(""), call });
    same_request(&again.request, &inbound.request);
    assert_eq!(again.unique_id.as_deref(), Some(inbound.unique_id.as_deref().unwrap_or("")));
    match (again.caller, &inbound.caller) {
        (Some(again), Some(caller)) => {
            assert_eq!((&again.message_id, &again.reply_queue), (&caller.message_id, &caller.reply_queue));
            assert_eq!(again.heartbeat_interval, caller.heartbeat_interval);
        }
        (again, caller) => assert!(again.is_none() && caller.is_none()),
    }
    if pieces::is_shallow(&inbound.request.args, &inbound.request.context) {
        reads_back_amqp1(&inbound.request);
    }
}

fn reads_back_amqp1(request: &Request) {
    // The envelope of objects has two more levels.
    if !pieces::is_shallow(&request.args, &request.context) {
        return;
    }
    let text = amqp1::encode_request(request, Some(7)).unwrap();
    let again = amqp1::decode_request(&text.into(), Limits::default()).expect("encoded messages are accepted");
    same_request(&again.request, request);
    assert_eq!(again.heartbeat_interval.unwrap().as_millis(), 3500);
}

fn same_request(found: &Request, wanted: &Request) {
    assert_eq!((&found.method, &found.args), (&wanted.method, &wanted.args));
    assert_eq!((&found.namespace, &found.version), (&wanted.namespace, &wanted.version));
    assert_eq!(found.context, wanted.context);
}

/// The id of a call, unless it counts as false in Python.
fn call_id(object: &Map<String, Value>) -> Option<String> {
    let none = match object.get("_msg_id")? {
        Value::Null => true,
        Value::Bool(given) => !given,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    };
    if none { None } else { envelope::lenient(object, "_msg_id") }
}

/// Compares a result with that of `serde_json`.
fn agrees_with_reference(body: &[u8], decoded: &Result<Inbound, Poison>) {
    let reads = |object: &Map<String, Value>| {
        Ok((
            object.get("method").and_then(Value::as_str).unwrap_or_default().to_owned(),
            envelope::lenient(object, "namespace"),
            match object.get("version") {
                Some(Value::Null) => Some("None".to_owned()),
                _ => envelope::lenient(object, "version"),
            },
            envelope::lenient(object, "_unique_id"),
            call_id(object).zip(envelope::optional(object, "_reply_q")?),
        ))
    };
    envelope::agrees(body, decoded, reads, |Inbound { request, unique_id, caller }, wanted, object| {
        let text = |key: &str, found: Option<&str>| envelope::as_lenient(object, key, found);
        let caller = caller
            .as_ref()
            .map(|caller| (text("_msg_id", Some(&caller.message_id)).unwrap_or_default(), caller.reply_queue.clone()));
        let found = (
            request.method.to_string(),
            text("namespace", request.namespace.as_deref()),
            match object.get("version") {
                Some(Value::Null) => request.version.as_deref().map(str::to_owned),
                _ => text("version", request.version.as_deref()),
            },
            text("_unique_id", unique_id.as_deref()),
            caller,
        );
        assert_eq!(found, wanted);
        assert_eq!(request.context, envelope::context(object));
        assert_eq!(value(&request.args), object.get("args").cloned().unwrap_or_else(|| json!({})));
    });
}
