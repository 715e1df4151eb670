//! One entry of a context: a value, or received JSON text that is decoded on first use.

use std::{borrow::Cow, fmt, sync::OnceLock};

use bytes::Bytes;
use serde_json::Value;

use crate::json::{self, Limits};

#[derive(Clone)]
pub(super) enum Entry {
    Value(Value),
    Text(Text),
}

/// Text that is known to be one JSON value in Python's sense.
#[derive(Clone)]
pub(super) struct Text {
    json: Bytes,
    value: OnceLock<Value>,
}

impl Entry {
    pub(super) fn from_text(json: Bytes) -> Self {
        Self::Text(Text { json, value: OnceLock::new() })
    }

    pub(super) fn value(&self) -> &Value {
        match self {
            Self::Value(value) => value,
            Self::Text(text) => text.value.get_or_init(|| text.read()),
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Text(Text { json, value }) => {
                value.into_inner().unwrap_or_else(|| Text { json, value: OnceLock::new() }.read())
            }
        }
    }

    /// The value if it is a string. Text of any other value is not decoded, however large it is.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Value(value) => value.as_str(),
            Self::Text(Text { json, .. }) => {
                let quoted = str::from_utf8(json.strip_prefix(b"\"")?.strip_suffix(b"\"")?).ok()?;
                if quoted.contains('\\') { self.value().as_str() } else { Some(quoted) }
            }
        }
    }

    /// The value as JSON. Received text is returned unchanged.
    pub(super) fn json(&self) -> Result<Cow<'_, str>, serde_json::Error> {
        match self {
            Self::Value(value) => serde_json::to_string(value).map(Cow::Owned),
            Self::Text(Text { json, .. }) => str::from_utf8(json).map(Cow::Borrowed).map_err(serde::ser::Error::custom),
        }
    }
}

impl Text {
    #[cfg(test)]
    pub(super) fn is_read(&self) -> bool {
        self.value.get().is_some()
    }

    fn read(&self) -> Value {
        // The text was checked when it was received, so decoding cannot fail.
        json::from_slice_with(&self.json, Limits::CHECKED).unwrap_or_default()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) if one.json == other.json => true,
            _ => self.value() == other.value(),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}
