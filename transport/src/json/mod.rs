//! JSON in Python's sense: text is accepted here exactly if `json.loads` accepts it.
//!
//! Python peers send text that JSON forbids and `serde_json` refuses. This module decodes it:
//!
//! | text | decoded as |
//! |---|---|
//! | bare `NaN`, `Infinity`, `-Infinity` | that `f64`; null in a `serde_json::Value`, which cannot represent it |
//! | lone surrogates such as `\ud800` | U+FFFD |
//! | integers beyond 64 bits | exactly as `u128`/`i128` within their range; otherwise the nearest `f64`, as in `Value` |
//! | `1e400` | infinity, as in Python |
//! | `-0` | 0 for integer types |
//! | a repeated key | the last value counts, also for structs |
//!
//! Text is first passed to `serde_json`, and only if that refuses it to the lenient parser, so that typical messages pay
//! nothing. Nesting is limited, and a recursive parser only runs on text whose nesting an iterative scanner has counted.
//!
//! Encoding uses plain `serde_json`, and [`escape_into`] for text within text.

mod error;
mod escape;
mod expected;
pub(crate) mod finite;
mod key;
mod members;
mod path;
mod read;
mod scan;
#[cfg(test)]
mod tests;

use serde::Deserialize;

pub use self::{
    error::{JsonError, JsonErrorKind},
    escape::{escape_contents_into, escape_into, is_plain, unescape_into},
    members::raw_members,
};
use self::{read::Reader, scan::Scanner};

/// Limits on the text to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum nesting of arrays and objects; `[]` has depth 1. Default 128. Values above [`Limits::DEEPEST`] have the
    /// effect of that limit, so that a recursive parser never overflows the stack.
    pub max_depth: usize,
    /// The maximum length of the text in bytes. Default 16 MiB.
    pub max_bytes: usize,
    /// The maximum number of entries in a message's context. Default 1000; OpenStack services send about thirty.
    pub max_context_keys: usize,
    /// The maximum number of JSON values in all entries of a message's context together; each scalar, array and object
    /// counts. Default 10 000. Reading an entry of a [`Context`](crate::Context) builds a tree of values, which takes up to
    /// a hundred times the size of its text.
    pub max_context_values: usize,
    /// The maximum number of JSON values in a remote failure, which becomes such a tree as well. Default 100 000.
    pub max_failure_values: usize,
}

impl Limits {
    /// The largest `max_depth` that has an effect.
    pub const DEEPEST: usize = 512;

    /// Sets `max_depth`.
    #[must_use]
    pub const fn with_max_depth(mut self, max_depth: usize) -> Self {
        self.max_depth = max_depth;
        self
    }

    /// Sets `max_bytes`.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Limits for text that was checked when it was received: only the stack needs protection.
    pub const CHECKED: Self = Self { max_depth: Self::DEEPEST, max_bytes: usize::MAX, ..Self::STANDARD };

    const STANDARD: Self = Self {
        max_depth: 128,
        max_bytes: 16 * 1024 * 1024,
        max_context_keys: 1000,
        max_context_values: 10_000,
        max_failure_values: 100_000,
    };

    fn check_length(self, bytes: usize) -> Result<(), JsonError> {
        if bytes > self.max_bytes {
            return Err(JsonError::without_place(JsonErrorKind::TooLong { max_bytes: self.max_bytes }));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// The maximum nesting that `serde_json` accepts by itself.
const SERDE_JSON_DEPTH: usize = 127;

/// Decodes one value, with the default [`Limits`].
///
/// Values that `T` skips or keeps as raw text do not count towards the depth; [`validate`] and [`raw_members`] count all.
///
/// # Errors
///
/// [`JsonError`] if the text is not JSON in Python's sense, exceeds the limits, or is not a `T`.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, JsonError> {
    from_slice_with(bytes, Limits::default())
}

/// Decodes one value, with the default [`Limits`].
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, JsonError> {
    from_slice(text.as_bytes())
}

/// Decodes one value.
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_slice_with<'de, T: Deserialize<'de>>(bytes: &'de [u8], limits: Limits) -> Result<T, JsonError> {
    limits.check_length(bytes.len())?;
    if limits.max_depth >= SERDE_JSON_DEPTH
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        return Ok(value);
    }
    from_slice_lenient(bytes, limits)
}

fn from_slice_lenient<'de, T: Deserialize<'de>>(bytes: &'de [u8], limits: Limits) -> Result<T, JsonError> {
    let text =
        str::from_utf8(bytes).map_err(|error| JsonError::at(bytes, error.valid_up_to(), JsonErrorKind::NotUtf8))?;
    Scanner::new(text, limits).whole().map_err(|fault| fault.place(bytes))?;
    match T::deserialize(&mut Reader::new(text)) {
        Err(fault) if fault.is_duplicate_field() => {
            T::deserialize(&mut Reader::new(text).last_of_duplicates()).map_err(|fault| fault.place(bytes))
        }
        read => read.map_err(|fault| fault.place(bytes)),
    }
}

/// Whether `text`, if it is JSON, is an object.
#[must_use]
pub fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

/// Whether `text`, which must be JSON, has more than `most` values.
#[must_use]
pub fn has_more_values(text: &str, most: usize) -> bool {
    // Two values are separated by at least one byte.
    text.len().div_ceil(2) > most && count_values(text, most) > most
}

/// The number of values in `text`, which must be JSON; stops counting at `most + 1`.
#[must_use]
pub fn count_values(text: &str, most: usize) -> usize {
    scan::count_values(text, most)
}

/// Checks that `text` is one JSON value in Python's sense, within the limits. Builds no value, and neither allocates nor
/// recurses.
///
/// # Errors
///
/// [`JsonError`] with the position of the first error.
pub fn validate(text: &str, limits: Limits) -> Result<(), JsonError> {
    limits.check_length(text.len())?;
    Scanner::new(text, limits).whole().map_err(|fault| fault.place(text.as_bytes()))
}
