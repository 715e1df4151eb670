//! The `oslo.message` envelope, version 2.0: JSON text inside a JSON string.

use std::borrow::Cow;

use bytes::Bytes;
use oxlo_transport::{
    json::{self, JsonError, Limits},
    text::{line, name},
};
use serde::Deserialize;

/// Why a message cannot be decoded. The listener rejects it without requeue, counts it, and continues.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Poison {
    /// The body exceeds the limit.
    #[error("the body has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Size of the body in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The body, or the text in its envelope, is not valid JSON.
    #[error("cannot decode the body as JSON")]
    NotJson(#[from] JsonError),
    /// The text is not UTF-8.
    #[error("the body is not UTF-8: invalid byte at offset {at}")]
    NotUtf8 {
        /// Offset of the first invalid byte.
        at: usize,
    },
    /// The envelope has an unknown version.
    #[error("unknown envelope version {}, expected 2.0", name(.version))]
    UnknownEnvelope {
        /// The version found.
        version: String,
    },
    /// A key that must be unique is repeated.
    #[error("key `{key}` is repeated")]
    DuplicateKey {
        /// The key.
        key: &'static str,
    },
    /// A key has a value of the wrong type.
    #[error("key `{key}`: expected {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// The expected value, with its article: `a string`.
        expected: &'static str,
    },
    /// A required key is missing.
    #[error("key `{key}` is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// The context has more keys than the [limit](Limits::max_context_keys).
    #[error("the context has more than {limit} keys")]
    ContextKeys {
        /// The limit.
        limit: usize,
    },
    /// The context has more values than the [limit](Limits::max_context_values).
    #[error("the context has more than {limit} values")]
    ContextValues {
        /// The limit.
        limit: usize,
    },
    /// The body expands to more than a compressed message of its size may.
    #[error("the compressed body of {packed} bytes expands to more than {limit} bytes")]
    Inflates {
        /// Size of the compressed body in bytes.
        packed: usize,
        /// The limit for the decompressed body in bytes.
        limit: usize,
    },
    /// A property of the message declares another kind of body, or an unknown compression.
    #[error("{}", line(.reason))]
    Properties {
        /// The reason.
        reason: String,
    },
}

oxlo_transport::debug_as_chain!(Poison);

impl Poison {
    /// A short name of the variant, for the label of a metric.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotJson(_) => "not_json",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::UnknownEnvelope { .. } => "unknown_envelope",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::WrongType { .. } => "wrong_type",
            Self::Missing { .. } => "missing_key",
            Self::ContextKeys { .. } => "context_keys",
            Self::ContextValues { .. } => "context_values",
            Self::Inflates { .. } => "inflates",
            Self::Properties { .. } => "properties",
        }
    }
}

/// Wraps the text of an object in an envelope, in one pass and in ASCII as Python does.
#[must_use]
pub fn seal(inner: &str) -> Vec<u8> {
    let mut body = begin(inner.len());
    json::escape_contents_into(&mut body, inner);
    end(&mut body);
    body
}

/// The start of a body, to which the inner text is appended escaped; with capacity for `inner` bytes of it.
pub(super) fn begin(inner: usize) -> Vec<u8> {
    // Each quote in the inner text costs a backslash; typical messages need an eighth more.
    let mut body = Vec::with_capacity(HEAD.len() + inner + inner / 8 + 10);
    body.extend_from_slice(HEAD);
    body
}

/// Completes a body started by [`begin`].
pub(super) fn end(body: &mut Vec<u8>) {
    body.extend_from_slice(TAIL);
}

/// The envelope as Python and oxlo write it, before and after the inner text.
const HEAD: &[u8] = br#"{"oslo.version": "2.0", "oslo.message": ""#;
const TAIL: &[u8] = b"\"}";

/// Extracts the text of the object from its envelope; a body without an envelope is returned unchanged.
///
/// # Errors
///
/// [`Poison`] if the body is too large, not JSON, or in an envelope of another version.
pub fn open(body: &Bytes, limits: Limits) -> Result<Bytes, Poison> {
    if body.len() > limits.max_bytes {
        return Err(Poison::TooLarge { size: body.len(), limit: limits.max_bytes });
    }
    if let Some(inner) = usual(body) {
        return Ok(inner.into());
    }
    let envelope = match serde_json::from_slice::<Envelope<'_>>(body) {
        // serde would also accept a list of two strings.
        Ok(envelope) if json::is_object(body) => envelope,
        _ => lenient_envelope(body, limits)?,
    };
    let (Some(version), Some(message)) = (envelope.version, envelope.message) else { return Ok(body.clone()) };
    if version != "2.0" {
        return Err(Poison::UnknownEnvelope { version: version.chars().take(20).collect() });
    }
    Ok(Bytes::from(message.into_owned()))
}

/// Whether a body starts with the envelope as Python and oxlo write it.
pub(super) fn is_usual(body: &[u8]) -> bool {
    body.starts_with(HEAD)
}

/// The inner text of an envelope in the usual form; `None` leaves any other form to the JSON parsers.
fn usual(body: &[u8]) -> Option<Vec<u8>> {
    let message = body.strip_prefix(HEAD)?;
    let mut inner = Vec::with_capacity(message.len() + 8);
    let end = json::unescape_into(&mut inner, message)?;
    (message.get(end..)? == TAIL).then_some(inner)
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "oslo.version", default)]
    version: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "oslo.message", default)]
    message: Option<Cow<'a, str>>,
}

fn lenient_envelope(body: &[u8], limits: Limits) -> Result<Envelope<'static>, Poison> {
    let mut envelope = Envelope { version: None, message: None };
    members(body, limits, |key, raw| {
        match key {
            "oslo.version" => {
                let version = json::from_slice(raw.as_bytes())
                    .map_err(|_| Poison::WrongType { key: "oslo.version", expected: "a string" })?;
                envelope.version = Some(Cow::Owned(version));
            }
            "oslo.message" => {
                let message = json::from_slice(raw.as_bytes())
                    .map_err(|_| Poison::WrongType { key: "oslo.message", expected: "a string" })?;
                envelope.message = Some(Cow::Owned(message));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(envelope)
}

/// Calls `member` with the key and the raw value of each member of the object in `text`.
///
/// # Errors
///
/// [`Poison`] if the text is not an object, or the first error of `member`.
pub(super) fn members<'a>(
    text: &'a [u8],
    limits: Limits,
    mut member: impl FnMut(&str, &'a str) -> Result<(), Poison>,
) -> Result<(), Poison> {
    let text = str::from_utf8(text).map_err(|error| Poison::NotUtf8 { at: error.valid_up_to() })?;
    let mut refused = Ok(());
    json::raw_members(text, limits, |key, raw| {
        if refused.is_ok() {
            refused = member(&key, raw);
        }
    })?;
    refused
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn opened(body: &'static str) -> Result<Bytes, Poison> {
        open(&Bytes::from_static(body.as_bytes()), Limits::default())
    }

    #[test]
    fn a_sealed_envelope_opens() {
        let inner = r#"{"method": "echo", "args": {"a": "\"é\\\u0001😀"}}"#;
        let body = Bytes::from(seal(inner));
        assert!(body.is_ascii());
        assert_eq!(open(&body, Limits::default()).unwrap(), inner);
    }

    #[test]
    fn the_envelope_is_written_as_python_writes_it() {
        assert_eq!(seal(r#"{"a": 1}"#), br#"{"oslo.version": "2.0", "oslo.message": "{\"a\": 1}"}"#);
    }

    #[test]
    fn the_usual_envelope_decodes_like_any_other() {
        for inner in [
            r#"{\"method\": \"echo\"}"#,
            r#"\u00e9\ud83d\ude00 \n\r\t\f\b\/\\ \u0000\u007f"#,
            "\u{7f}",
            "not seven bits: \u{e9}",
            r"a lone \ud800 surrogate",
            r"a pair the wrong way \udc00\ud800",
            r"\ud800\u0041",
            "",
        ] {
            let body = Bytes::from([HEAD, inner.as_bytes(), TAIL].concat());
            let spaced = Bytes::from([b" ", &body[..]].concat());
            let wanted = open(&spaced, Limits::default()).unwrap();
            assert_eq!(open(&body, Limits::default()).unwrap(), wanted, "{inner}");
            if let Some(read) = usual(&body) {
                assert_eq!(read, wanted, "{inner}");
            }
        }
    }

    #[test]
    fn an_envelope_with_only_the_usual_start_is_parsed_completely() {
        let later = br#"{"oslo.version": "2.0", "oslo.message": "{}", "oslo.message": "{\"a\": 1}"}"#;
        assert_eq!(open(&Bytes::from_static(later), Limits::default()).unwrap(), r#"{"a": 1}"#);
        for torn in ["", "\\", "\\u00", "\\x\"}", "\u{1}\"}", "{}\"", "{}\"]", "{}\"} 7", "\\ud800\\u00"] {
            let body = Bytes::from([HEAD, torn.as_bytes()].concat());
            assert!(open(&body, Limits::default()).is_err(), "{torn}");
        }
    }

    #[test]
    fn a_bare_body_is_its_own_content() {
        assert_eq!(opened(r#"{"method": "echo"}"#).unwrap(), r#"{"method": "echo"}"#);
    }

    #[test]
    fn only_version_two_zero_opens() {
        for version in ["1.0", "2.1", "3.0", "two"] {
            let body = format!(r#"{{"oslo.version": "{version}", "oslo.message": "{{}}"}}"#);
            let refused = open(&Bytes::from(body), Limits::default()).unwrap_err();
            assert_eq!(refused.to_string(), format!("unknown envelope version {version}, expected 2.0"));
        }
    }

    #[test]
    fn a_body_that_is_not_an_object_is_poison() {
        let list = r#"["2.0", "{}"]"#;
        for body in ["", list, "[1]", "\"text\"", "7", "{", "\u{0}", "{\"oslo.version\": \"2.0\", \"oslo.message\": 7}"]
        {
            assert!(opened(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_body_above_the_limit_is_not_parsed() {
        let limits = Limits { max_bytes: 10, ..Limits::default() };
        let refused = open(&Bytes::from_static(b"[[[[[[[[[[["), limits).unwrap_err();
        assert_eq!(refused.to_string(), "the body has 11 bytes, the limit is 10");
    }
}
