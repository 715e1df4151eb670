//! The request context that travels with every message.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned, ser::Error as _};
use serde_json::Value;

use crate::wire::json::finite;

/// The request context (oslo's `ctxt`): string keys to JSON values, in the order they were put in.
///
/// It is the first argument of every call and of every handler. On the wire each entry travels as `_context_<key>`.
///
/// ```
/// use oxlo_transport::Context;
/// let ctxt = Context::new().with("user", "alice").with("roles", vec!["admin"]);
/// assert_eq!(ctxt.get("user").and_then(|v| v.as_str()), Some("alice"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Context {
    entries: IndexMap<String, Value>,
    /// Entries that have no JSON form, and why not; they are told when the context is to be sent.
    #[serde(skip)]
    faults: Vec<(String, Box<str>)>,
}

impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.fault() {
            Some(fault) => Err(S::Error::custom(fault)),
            None => self.entries.serialize(serializer),
        }
    }
}

impl Context {
    /// An empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds a context from anything that serialises to a JSON object.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if `value` cannot be serialised, serialises to something other than an object, or has a
    /// float that is not finite.
    pub fn from_serialize(value: impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::from_value(finite::to_value(&value)?)
    }

    /// Reads the whole context as a type of the caller's; keys it does not name are left out.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if an entry is missing or of another type.
    pub fn to_typed<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_value(Value::Object(self.entries.iter().map(|(k, v)| (k.clone(), v.clone())).collect()))
    }

    /// Adds an entry, replacing one of the same key. See [`insert`](Self::insert).
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.insert(key, value);
        self
    }

    /// Adds an entry and returns the one it replaced.
    ///
    /// A value that has no JSON form, such as a float that is not finite, stands as null and is refused, with its key,
    /// when the context is to be sent.
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

    /// As [`insert`](Self::insert), for a value as it was read.
    pub(crate) fn insert_value(&mut self, key: impl Into<String>, value: Value) -> Option<Value> {
        let key = key.into();
        self.faults.retain(|(faulty, _)| *faulty != key);
        self.entries.insert(key, value)
    }

    /// Why the context cannot be sent, if it cannot: the first entry that has no JSON form, and what is wrong with it.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.faults.first().map(|(key, why)| format!("entry `{key}`: {why}"))
    }

    /// Takes an entry out, keeping the order of the others.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.faults.retain(|(faulty, _)| faulty != key);
        self.entries.shift_remove(key)
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// The value of `key` if it is a string.
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// Every entry, in order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
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
    fn a_value_without_a_json_form_is_told_by_its_key() {
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

    #[test]
    fn so_is_one_within_a_type_of_the_users() {
        let error = Context::from_serialize([("load", f64::NEG_INFINITY)].into_iter().collect::<IndexMap<_, _>>());
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("`load` is -Infinity, "), "{text}");
    }
}
