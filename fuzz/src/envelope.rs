//! The reference for message bodies: the object that `serde_json` parses, with Python's rules for envelopes.

use std::{collections::HashSet, fmt};

use oxlo_wire::envelope::Poison;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// The contents of a body, as far as it is strict JSON.
enum Reference {
    /// This object. A parser may refuse it if a key is repeated.
    Object { object: Map<String, Value>, repeats: bool },
    /// None: the body must be refused.
    Refused,
    /// Not decided by strict JSON.
    Unknown,
}

/// Compares a decoded body with the object that `serde_json` parses: `reads` extracts the relevant members of the object, or
/// refuses it, and `same` compares them with the decoded message.
pub(crate) fn agrees<D: fmt::Debug, W: fmt::Debug>(
    body: &[u8],
    decoded: &Result<D, Poison>,
    reads: impl FnOnce(&Map<String, Value>) -> Result<W, ()>,
    same: impl FnOnce(&D, W, &Map<String, Value>),
) {
    match read(body) {
        Reference::Unknown => {}
        Reference::Refused => assert!(decoded.is_err(), "the body must be refused: {decoded:?}"),
        Reference::Object { object, repeats } => match (reads(&object), decoded) {
            (Ok(wanted), Ok(found)) => same(found, wanted, &object),
            (Err(()), Err(_)) => {}
            (Ok(_), Err(_)) if repeats => {}
            (Ok(wanted), Err(poison)) => panic!("the body must be accepted: {poison}; it contains {wanted:?}"),
            (Err(()), Ok(found)) => panic!("the body must be refused: {found:?}"),
        },
    }
}

/// Opens an envelope, or returns the body unchanged if it has none.
fn read(body: &[u8]) -> Reference {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(outer)) => match (outer.get("oslo.version"), outer.get("oslo.message")) {
            (Some(Value::String(version)), Some(Value::String(message))) => {
                if version != "2.0" {
                    return Reference::Refused;
                }
                match serde_json::from_str::<Value>(message) {
                    Ok(Value::Object(object)) => {
                        Reference::Object { object, repeats: repeats_a_key(message.as_bytes()) }
                    }
                    Ok(_) => Reference::Refused,
                    Err(_) => Reference::Unknown,
                }
            }
            // Some parsers treat null as absent, others do not.
            (Some(Value::Null), _) | (_, Some(Value::Null)) => Reference::Unknown,
            (Some(Value::String(_)) | None, Some(Value::String(_)) | None) => {
                Reference::Object { object: outer, repeats: repeats_a_key(body) }
            }
            _ => Reference::Refused,
        },
        Ok(_) => Reference::Refused,
        Err(_) => Reference::Unknown,
    }
}

/// Whether a key is repeated in the object of a text. The last value counts, and an earlier one of the wrong type may be
/// ignored.
pub(crate) fn repeats_a_key(text: &[u8]) -> bool {
    serde_json::from_slice::<Repeats>(text).is_ok_and(|found| found.0)
}

struct Repeats(bool);

impl<'de> Deserialize<'de> for Repeats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> de::Visitor<'de> for Keys {
            type Value = Repeats;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Repeats, A::Error> {
                let (mut seen, mut repeats) = (HashSet::new(), false);
                while let Some((key, _)) = map.next_entry::<String, de::IgnoredAny>()? {
                    repeats |= !seen.insert(key);
                }
                Ok(Repeats(repeats))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// A member that must be a string: the text, `None` if it is absent, or an error if it has another type.
pub(crate) fn required(object: &Map<String, Value>, key: &str) -> Result<Option<String>, ()> {
    match object.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(()),
    }
}

/// As [`required`], but null counts as absent.
pub(crate) fn optional(object: &Map<String, Value>, key: &str) -> Result<Option<String>, ()> {
    match object.get(key) {
        Some(Value::Null) => Ok(None),
        _ => required(object, key),
    }
}

/// Replaces a member of another type where a string is expected and other types are accepted.
pub(crate) const NOT_A_STRING: &str = "(not a string)";

/// As [`optional`], accepting other types.
pub(crate) fn lenient(object: &Map<String, Value>, key: &str) -> Option<String> {
    match object.get(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        _ => Some(NOT_A_STRING.to_owned()),
    }
}

/// A decoded member in the form of [`lenient`].
pub(crate) fn as_lenient(object: &Map<String, Value>, key: &str, found: Option<&str>) -> Option<String> {
    let text = matches!(object.get(key), None | Some(Value::Null | Value::String(_)));
    found.map(|found| if text { found.to_owned() } else { NOT_A_STRING.to_owned() })
}

/// The members whose keys start with `_context_`, without the prefix.
pub(crate) fn context(object: &Map<String, Value>) -> oxlo_transport::Context {
    object.iter().filter_map(|(key, value)| Some((key.strip_prefix("_context_")?, value.clone()))).collect()
}
