//! The request context that accompanies every message.

mod entry;

use std::borrow::Cow;

use bytes::Bytes;
use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser::Error as _};
use serde_json::Value;

use self::entry::Entry;
use crate::json::{self, JsonError, Limits, finite};

/// The request context (oslo's `ctxt`): a map from string keys to JSON values, in insertion order.
///
/// It is the first argument of every call and of every handler. On the wire each entry has the key `_context_<key>`.
///
/// A received entry stays JSON text, as a [`Payload`](crate::Payload) does: it shares the memory of its message,
/// [`get`](Self::get) decodes it on first use, and a context that is forwarded is sent unchanged. The size of a received
/// context is checked when its message is decoded, see [`Limits::max_context_values`].
///
/// ```
/// use oxlo_transport::Context;
/// let ctxt = Context::new().with("user", "alice").with("roles", vec!["admin"]);
/// assert_eq!(ctxt.get("user").and_then(|v| v.as_str()), Some("alice"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    entries: IndexMap<String, Entry>,
    /// Entries without a JSON representation, and the reason; reported when the context is sent.
    faults: Vec<(String, Box<str>)>,
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.fault() {
            Some(fault) => Err(S::Error::custom(fault)),
            None => serializer.collect_map(self.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let values = IndexMap::<String, Value>::deserialize(deserializer)?;
        let entries = values.into_iter().map(|(key, value)| (key, Entry::Value(value))).collect();
        Ok(Self { entries, faults: Vec::new() })
    }
}

impl Context {
    /// Creates an empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a context from a value that serializes to a JSON object.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if `value` cannot be serialized, serializes to something other than an object, or contains a
    /// non-finite float.
    pub fn from_serialize(value: impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::from_value(finite::to_value(&value)?)
    }

    /// Decodes the whole context as a `T`, without building a `serde_json::Value`. Keys that `T` does not have are ignored.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if an entry is missing or has another type; it names the entry.
    pub fn to_typed<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        json::from_slice_with(self.to_json().unwrap_or_default().as_bytes(), Limits::CHECKED)
    }

    /// Adds an entry, replacing one with the same key. See [`insert`](Self::insert).
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.insert(key, value);
        self
    }

    /// Adds an entry and returns the one it replaced.
    ///
    /// A value without a JSON representation, such as a non-finite float, is stored as null, and sending the context fails
    /// with an error that names the key. See [`fault`](Self::fault).
    pub fn insert(&mut self, key: impl Into<String>, value: impl Serialize) -> Option<Value> {
        let key = key.into();
        match finite::to_value(&value) {
            Ok(value) => self.insert_value(key, value),
            Err(error) => {
                let replaced = self.insert_value(key.clone(), Value::Null);
                self.faults.push((key, error.to_string().into()));
                replaced
            }
        }
    }

    fn insert_value(&mut self, key: impl Into<String>, value: Value) -> Option<Value> {
        self.insert_entry(key.into(), Entry::Value(value)).map(Entry::into_value)
    }

    /// As [`insert`](Self::insert), for text that is known to be one JSON value, such as a slice of a decoded message.
    pub fn insert_text(&mut self, key: &str, json: Bytes) {
        self.insert_entry(key.to_owned(), Entry::from_text(json));
    }

    fn insert_entry(&mut self, key: String, entry: Entry) -> Option<Entry> {
        self.faults.retain(|(faulty, _)| *faulty != key);
        self.entries.insert(key, entry)
    }

    /// Why the context cannot be sent: the first entry without a JSON representation, and the reason. `None` if it can be
    /// sent.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.faults.first().map(|(key, why)| format!("entry `{key}`: {why}"))
    }

    /// Removes an entry and returns its value, preserving the order of the others.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.faults.retain(|(faulty, _)| faulty != key);
        self.entries.shift_remove(key).map(Entry::into_value)
    }

    /// Returns the value of `key`.
    ///
    /// A received entry is decoded on first use. [`json`] describes how values that Python writes and JSON
    /// forbids are decoded.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).map(Entry::value)
    }

    /// Returns the value of `key` if it is a string. Cheaper than [`get`](Self::get): only a string with escapes is
    /// decoded.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.entries.get(key).and_then(Entry::as_str)
    }

    /// Iterates over all entries in order, decoding those that were not decoded before.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry.value()))
    }

    /// Iterates over all entries as JSON text, in order. Received entries are not decoded.
    pub fn texts(&self) -> impl Iterator<Item = Result<(&str, Cow<'_, str>), serde_json::Error>> {
        self.entries.iter().map(|(key, entry)| Ok((key.as_str(), entry.json()?)))
    }

    /// Encodes the context as one JSON object, as `serde_json` would.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if a key cannot be encoded, which never happens for a string.
    fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut object = String::from("{");
        for entry in self.texts() {
            let (key, value) = entry?;
            if object.len() > 1 {
                object.push(',');
            }
            object.push_str(&serde_json::to_string(key)?);
            object.push(':');
            object.push_str(&value);
        }
        object.push('}');
        Ok(object)
    }

    /// Encodes the context as one JSON object, for sending. Received entries are copied unchanged.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if an entry has no JSON representation.
    pub fn to_wire(&self) -> Result<String, serde_json::Error> {
        match self.fault() {
            Some(fault) => Err(serde::ser::Error::custom(fault)),
            None => self.to_json(),
        }
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the context has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Into<String>, V: Serialize> FromIterator<(K, V)> for Context {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut context = Self::new();
        context.extend(entries);
        context
    }
}

impl<K: Into<String>, V: Serialize> Extend<(K, V)> for Context {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_a_json_representation_is_reported_with_its_key() {
        let mut ctxt = Context::new().with("user", "u").with("load", vec![0.5, f64::NAN]);
        let fault = ctxt.fault().unwrap();
        assert!(fault.starts_with("entry `load`: `[1]` is NaN, "), "{fault}");
        assert_eq!(ctxt.insert("load", 0.5), Some(Value::Null));
        assert_eq!(ctxt.fault(), None);
        ctxt.insert("load", f32::INFINITY);
        assert!(ctxt.fault().is_some());
        ctxt.remove("load");
        assert_eq!(ctxt, Context::new().with("user", "u"));
        assert!([("a", f64::NAN)].into_iter().collect::<Context>().fault().is_some());
    }

    fn received(entries: &[(&str, &'static str)]) -> Context {
        let mut ctxt = Context::new();
        entries.iter().for_each(|(key, json)| ctxt.insert_text(key, Bytes::from_static(json.as_bytes())));
        ctxt
    }

    #[test]
    fn received_text_equals_the_inserted_values() {
        let ctxt =
            received(&[("user", r#""u""#), ("name", r#""\u00e9""#), ("roles", r#"["a", {"n": 1}]"#), ("load", "NaN")]);
        assert_eq!((ctxt.get_str("user"), ctxt.get_str("name")), (Some("u"), Some("\u{e9}")));
        assert_eq!((ctxt.get_str("roles"), ctxt.get_str("load"), ctxt.get_str("none")), (None, None, None));
        let built = Context::new()
            .with("user", "u")
            .with("name", "\u{e9}")
            .with("roles", serde_json::json!(["a", {"n": 1}]))
            .with("load", Value::Null);
        assert_eq!(ctxt, built);
        assert_eq!(format!("{ctxt:?}"), format!("{built:?}"));
        assert_eq!(serde_json::to_string(&ctxt).unwrap(), serde_json::to_string(&built).unwrap());
        assert_eq!(ctxt.clone().remove("roles"), built.get("roles").cloned());
        assert_ne!(ctxt, built.with("more", 1));
        assert_ne!(received(&[("a", "1")]), received(&[("a", "2")]));
        assert_eq!(received(&[("a", "[1,2]")]), received(&[("a", "[1, 2]")]));
    }

    #[test]
    fn a_typed_context_decodes_received_and_inserted_entries() {
        #[derive(Debug, Deserialize)]
        struct Mine {
            user: String,
            load: f64,
            depth: u8,
        }
        let mine: Mine =
            received(&[("user", r#""u""#), ("load", "NaN"), ("x", "[]")]).with("depth", 3).to_typed().unwrap();
        assert_eq!((&*mine.user, mine.load.is_nan(), mine.depth), ("u", true, 3));
        let misfit = received(&[("user", "7"), ("load", "1"), ("depth", "1")]).to_typed::<Mine>().unwrap_err();
        assert_eq!(misfit.path(), "user");
    }

    #[test]
    fn get_str_does_not_decode_other_values() {
        let ctxt = received(&[("request_id", r#"{"a": [0]}"#)]);
        assert_eq!(ctxt.get_str("request_id"), None);
        assert!(matches!(&ctxt.entries["request_id"], Entry::Text(text) if !text.is_read()));
    }

    #[test]
    fn a_non_finite_float_in_a_typed_context_is_reported_with_its_path() {
        let error = Context::from_serialize([("load", f64::NEG_INFINITY)].into_iter().collect::<IndexMap<_, _>>());
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("`load` is -Infinity, "), "{text}");
    }
}
