//! The reference for message bodies: the object that `serde_json` finds in one, by Python's rules for envelopes.

use serde_json::{Map, Value};

/// What a body says, as far as it is strict JSON.
#[derive(Debug)]
pub(crate) enum Reference {
    /// This object.
    Object(Map<String, Value>),
    /// Nothing: it must be refused.
    Refused,
    /// That is not for strict JSON to say.
    Unknown,
}

/// Opens an envelope, or takes the body as it is when it has none.
pub(crate) fn read(body: &[u8]) -> Reference {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(outer)) => match (outer.get("oslo.version"), outer.get("oslo.message")) {
            (Some(Value::String(version)), Some(Value::String(message))) => {
                if version != "2.0" {
                    return Reference::Refused;
                }
                match serde_json::from_str::<Value>(message) {
                    Ok(Value::Object(inner)) => Reference::Object(inner),
                    Ok(_) => Reference::Refused,
                    Err(_) => Reference::Unknown,
                }
            }
            // What holds null is read as if it were not there, but not by everyone.
            (Some(Value::Null), _) | (_, Some(Value::Null)) => Reference::Unknown,
            (Some(Value::String(_)) | None, Some(Value::String(_)) | None) => Reference::Object(outer),
            _ => Reference::Refused,
        },
        Ok(_) => Reference::Refused,
        Err(_) => Reference::Unknown,
    }
}

/// A member that must be a string: the text; `None` where it is absent; or an error where it is something else.
pub(crate) fn required(object: &Map<String, Value>, key: &str) -> Result<Option<String>, ()> {
    match object.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(()),
    }
}

/// As [`required`], but null is absent.
pub(crate) fn optional(object: &Map<String, Value>, key: &str) -> Result<Option<String>, ()> {
    match object.get(key) {
        Some(Value::Null) => Ok(None),
        _ => required(object, key),
    }
}

/// The members whose keys begin with `_context_`, without it.
pub(crate) fn context(object: &Map<String, Value>) -> oxlo_transport::Context {
    object.iter().filter_map(|(key, value)| Some((key.strip_prefix("_context_")?, value.clone()))).collect()
}
