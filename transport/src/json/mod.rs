//! JSON as Python writes and reads it: what `json.loads` takes is taken here, and what it refuses is refused.
//!
//! Python peers send what JSON forbids and `serde_json` refuses. This module reads it:
//!
//! | in the text | read as |
//! |---|---|
//! | bare `NaN`, `Infinity`, `-Infinity` | that `f64`; `serde_json::Value` has no such number and gets null |
//! | lone surrogates such as `\ud800` | U+FFFD |
//! | integers beyond 64 bit | exact as `u128`/`i128` within their range; else the nearest `f64`, as in `Value` |
//! | `1e400` | infinity, as in Python |
//! | `-0` | 0 for integer types |
//! | a key twice | the last one counts, also for structs |
//!
//! Text is first given to `serde_json` as it is, and only what that refuses is read a second time by the tolerant reader;
//! usual messages do not pay. Nesting is limited, and every recursive reader runs only over text whose nesting was
//! counted by an iterative one before.
//!
//! Reading is tolerant; writing is plain `serde_json`, and [`escape_into`] for text within text.

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

/// What text is read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep arrays and objects may be nested; `[]` has depth 1. Default 128. At most [`Limits::DEEPEST`] is used, so
    /// that a recursive reader never runs out of stack.
    pub max_depth: usize,
    /// Longest text in bytes. Default 16 MiB.
    pub max_bytes: usize,
    /// Most entries of a message's context. Default 1000; OpenStack's services send about thirty.
    pub max_context_keys: usize,
    /// Most JSON values in all entries of a message's context together, each scalar, array and object counted. Default
    /// 10 000. Whoever asks a [`Context`](crate::Context) for a value gets a tree of it, and a tree takes up to a hundred
    /// times the bytes of its text.
    pub max_context_values: usize,
    /// Most JSON values in a remote failure, which becomes such a tree as well. Default 100 000.
    pub max_failure_values: usize,
}

impl Limits {
    /// The largest `max_depth` that has an effect.
    pub const DEEPEST: usize = 512;

    /// These limits with another depth.
    #[must_use]
    pub const fn with_max_depth(mut self, max_depth: usize) -> Self {
        self.max_depth = max_depth;
        self
    }

    /// These limits with another length.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// For text that was checked when it came: only the stack needs a limit.
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

/// The deepest nesting that `serde_json` reads before it refuses by itself.
const SERDE_JSON_DEPTH: usize = 127;

/// Reads one value, under the default [`Limits`].
///
/// What `T` skips or keeps as raw text is not counted into the depth here; [`validate`] and [`raw_members`] count all.
///
/// # Errors
///
/// [`JsonError`] when the text is not JSON in Python's sense, exceeds the limits, or is no `T`.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, JsonError> {
    from_slice_with(bytes, Limits::default())
}

/// Reads one value, under the default [`Limits`].
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, JsonError> {
    from_slice(text.as_bytes())
}

/// Reads one value.
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
    from_slice_tolerant(bytes, limits)
}

fn from_slice_tolerant<'de, T: Deserialize<'de>>(bytes: &'de [u8], limits: Limits) -> Result<T, JsonError> {
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

/// Whether what `text` holds, if it is JSON, is an object.
#[must_use]
pub fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

/// Whether there are more than `most` values in `text`, which is known to be JSON.
#[must_use]
pub fn has_more_values(text: &str, most: usize) -> bool {
    // Of the values of an array no two stand beside each other.
    text.len().div_ceil(2) > most && count_values(text, most) > most
}

/// How many values there are in `text`, which is known to be JSON; counts no further than `most` and one more.
#[must_use]
pub fn count_values(text: &str, most: usize) -> usize {
    scan::count_values(text, most)
}

/// Whether `text` is one JSON value in Python's sense within the limits. Builds nothing, allocates nothing and does not
/// recurse.
///
/// # Errors
///
/// [`JsonError`] with the first place that is wrong.
pub fn validate(text: &str, limits: Limits) -> Result<(), JsonError> {
    limits.check_length(text.len())?;
    Scanner::new(text, limits).whole().map_err(|fault| fault.place(text.as_bytes()))
}
