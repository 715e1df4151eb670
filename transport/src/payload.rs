//! Arguments and results as JSON text, encoded once and decoded once.

use std::{cell::Cell, fmt};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    json::{self, JsonError, Limits},
    settings::NonFinite,
};

/// One JSON value as text: the arguments of a method, or its result.
///
/// The caller encodes it once, drivers forward the text, and the handler decodes it once; no `serde_json::Value` is built
/// in between. A payload from Python may contain values that JSON forbids and Python writes (`NaN`, lone surrogates);
/// [`decode`](Self::decode) accepts them.
///
/// Clones share the text. `Debug` prints the length, never the content.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

thread_local! {
    /// A reusable buffer, so that the final text is allocated once and in its exact size.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer above this size in bytes becomes the payload itself, instead of being copied and kept.
const SCRATCH_MAX: usize = 64 << 10;

impl Payload {
    /// Encodes `value`. Non-finite floats, which JSON cannot represent, are an error.
    ///
    /// A `serde_json::Value` never contains such a float: `json!({"load": f64::NAN})` is already null.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if the value has no JSON representation, for example a map whose keys are not strings. For a
    /// non-finite float the error has its path, such as `loads[2]`.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Self::encode_with(value, NonFinite::Refuse)
    }

    /// Encodes `value`, treating non-finite floats as `non_finite` specifies.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_with<T: Serialize + ?Sized>(value: &T, non_finite: NonFinite) -> Result<Self, serde_json::Error> {
        let mut text = SCRATCH.try_with(Cell::take).unwrap_or_default();
        text.clear();
        let written = json::finite::write(&mut text, value, non_finite);
        if text.capacity() > SCRATCH_MAX {
            return written.map(|()| Self(text.into()));
        }
        let payload = written.map(|()| Self(Bytes::copy_from_slice(&text)));
        let _ = SCRATCH.try_with(|scratch| scratch.set(text));
        payload
    }

    /// Wraps text that is known to be one JSON value, such as a slice of a decoded message. The text is not checked.
    #[must_use]
    pub fn from_raw(text: Bytes) -> Self {
        Self(text)
    }

    /// The JSON value `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// The JSON value `{}`.
    #[must_use]
    pub fn empty_object() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// Decodes the value as a `T`.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the value is not a `T`. The error has the path of the mismatch and never quotes the content.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        json::from_slice_with(&self.0, Limits::CHECKED)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The length of the text in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty, which is not a JSON value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the value is an object, as arguments must be.
    #[must_use]
    pub fn is_object(&self) -> bool {
        json::is_object(&self.0)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}
