//! Values to encode, derived from the bytes of a fuzzer.

use bytes::Bytes;
use oxlo_transport::{
    Context, Payload,
    json::{self, Limits},
};
use serde_json::Value;

/// The bytes split at zeros, each part a text. No message body contains a zero, so a body is a single part.
pub(crate) struct Pieces<'a>(std::slice::Split<'a, u8, fn(&u8) -> bool>);

impl<'a> Pieces<'a> {
    pub(crate) fn of(data: &'a [u8]) -> Self {
        Self(data.split(|byte| *byte == 0))
    }

    /// The next part; empty after the last one.
    pub(crate) fn text(&mut self) -> String {
        self.optional().unwrap_or_default()
    }

    /// The next part, if there is one.
    pub(crate) fn optional(&mut self) -> Option<String> {
        self.0.next().map(|piece| String::from_utf8_lossy(piece).into_owned())
    }

    /// The next part as JSON, parsed leniently, or else as a JSON string.
    pub(crate) fn payload(&mut self) -> Payload {
        let text = self.text();
        let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
        // Leave levels for the surrounding message.
        match json::validate(trimmed, Limits::default().with_max_depth(100)) {
            Ok(()) => Payload::from_raw(Bytes::from(trimmed.to_owned())),
            Err(_) => Payload::encode(&text).unwrap(),
        }
    }

    /// The next part as a value.
    pub(crate) fn value(&mut self) -> Value {
        self.payload().decode().unwrap_or(Value::Null)
    }

    /// The remaining parts, as pairs of key and value.
    pub(crate) fn context(&mut self) -> Context {
        let mut context = Context::new();
        while let Some(key) = self.optional() {
            let value = self.value();
            context.insert(key, value);
        }
        context
    }
}

/// An accepted payload as a value.
pub(crate) fn value(payload: &Payload) -> Value {
    payload.decode().expect("an accepted payload can be decoded")
}

/// Whether a few more levels around the values stay within the limit.
pub(crate) fn is_shallow(payload: &Payload, context: &Context) -> bool {
    let limits = Limits::default().with_max_depth(100);
    let fits = |text: &str| json::validate(text, limits).is_ok();
    str::from_utf8(payload.as_bytes()).is_ok_and(fits) && fits(&serde_json::to_string(context).unwrap())
}
