//! Arguments and results as JSON text that is written once and read once.

use std::{cell::Cell, fmt};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    json::{self, JsonError, Limits},
    settings::NonFinite,
};

/// A piece of JSON text: the arguments of a method, or its result.
///
/// The typed caller serialises into it once, drivers pass the text on, the handler decodes it once; no
/// `serde_json::Value` tree is built in between. What came from Python may hold what JSON forbids and Python writes
/// (`NaN`, lone surrogates); [`decode`](Self::decode) reads that as well.
///
/// Cloning shares the text. `Debug` prints the length, never the content.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

thread_local! {
    /// What is written into first, so that a text takes the room that it needs, and takes it once.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// More than this is not kept to be written into again, and not copied either.
const SCRATCH_MAX: usize = 64 << 10;

impl Payload {
    /// Serialises `value`, and refuses floats that are not finite, for which JSON has no number.
    ///
    /// A `serde_json::Value` holds no such float: `json!({"load": f64::NAN})` is a null before it gets here.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if the value has no JSON form, for example a map whose keys are not strings; for a float that
    /// is not finite it says where the float is, such as `loads[2]`.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Self::encode_with(value, NonFinite::Refuse)
    }

    /// Serialises `value`; `non_finite` says what becomes of floats that are not finite.
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

    /// Wraps text that is known to be one JSON value, as a decoder cut it out of a message.
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

    /// Reads the value as a `T`.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if it is not a `T`; the error says where, and never quotes the content.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        json::from_slice_with(&self.0, Limits::CHECKED)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// How many bytes the text has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text at all, which no JSON value has.
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
