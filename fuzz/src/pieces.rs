//! Values to be written, cut out of the bytes of a fuzzer.

use bytes::Bytes;
use oxlo_transport::{
    Context, Payload,
    json::{self, Limits},
};
use serde_json::Value;

/// The bytes cut at their zeros, each part a text. No body of a message holds a zero, so what is a body is one part.
pub(crate) struct Pieces<'a>(std::slice::Split<'a, u8, fn(&u8) -> bool>);

impl<'a> Pieces<'a> {
    pub(crate) fn of(data: &'a [u8]) -> Self {
        Self(data.split(|byte| *byte == 0))
    }

    /// The next part; empty behind the last one.
    pub(crate) fn text(&mut self) -> String {
        self.optional().unwrap_or_default()
    }

    /// The next part, if there is one.
    pub(crate) fn optional(&mut self) -> Option<String> {
        self.0.next().map(|piece| String::from_utf8_lossy(piece).into_owned())
    }

    /// The next part as the JSON that it is, tolerantly read, or as a JSON string.
    pub(crate) fn payload(&mut self) -> Payload {
        let text = self.text();
        let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
        // Room for what is written around it.
        match json::validate(trimmed, Limits::default().with_max_depth(100)) {
            Ok(()) => Payload::from_raw(Bytes::from(trimmed.to_owned())),
            Err(_) => Payload::encode(&text).unwrap(),
        }
    }

    /// The next part as a value.
    pub(crate) fn value(&mut self) -> Value {
        self.payload().decode().unwrap_or(Value::Null)
    }

    /// What is left, in pairs of key and value.
    pub(crate) fn context(&mut self) -> Context {
        let mut context = Context::new();
        while let Some(key) = self.optional() {
            let value = self.value();
            context.insert(key, value);
        }
        context
    }
}

/// What was accepted, as a value.
pub(crate) fn value(payload: &Payload) -> Value {
    payload.decode().expect("what was accepted can be read")
}

/// Whether there is room for a few levels around these.
pub(crate) fn is_shallow(payload: &Payload, context: &Context) -> bool {
    let limits = Limits::default().with_max_depth(100);
    let fits = |text: &str| json::validate(text, limits).is_ok();
    str::from_utf8(payload.as_bytes()).is_ok_and(fits) && fits(&serde_json::to_string(context).unwrap())
}
