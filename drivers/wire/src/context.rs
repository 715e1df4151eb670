//! The context of a received message.

use bytes::Bytes;
use oxlo_transport::{
    Context,
    json::{self, Limits},
};

use crate::envelope::Poison;

/// Collects the entries of a context from a message, as text.
pub(super) struct ContextReader<'a> {
    message: &'a Bytes,
    limits: Limits,
    context: Context,
    /// The total size of all values in bytes.
    bytes: usize,
}

impl<'a> ContextReader<'a> {
    /// Creates a reader for slices of `message`.
    pub(super) fn new(message: &'a Bytes, limits: Limits) -> Self {
        Self { message, limits, context: Context::new(), bytes: 0 }
    }

    /// Adds one entry; `json` must be a slice of the message.
    pub(super) fn take(&mut self, key: &str, json: &str) -> Result<(), Poison> {
        self.bytes = self.bytes.saturating_add(json.len());
        self.context.insert_text(key, self.message.slice_ref(json.as_bytes()));
        if self.context.len() > self.limits.max_context_keys {
            return Err(Poison::ContextKeys { limit: self.limits.max_context_keys });
        }
        Ok(())
    }

    /// Returns the context, after checking the number of its values.
    pub(super) fn finish(self) -> Result<Context, Poison> {
        let most = self.limits.max_context_values;
        // A value needs at least two bytes, so most contexts are too short to exceed the limit.
        if self.bytes / 2 + self.context.len() > most {
            let mut left = most;
            for entry in self.context.texts() {
                let Ok((_, json)) = entry else { continue };
                let count = json::count_values(&json, left);
                left = left.checked_sub(count).ok_or(Poison::ContextValues { limit: most })?;
            }
        }
        Ok(self.context)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(entries: usize, json: &str, limits: Limits) -> Result<Context, Poison> {
        let message = Bytes::from(json.to_owned());
        let mut reader = ContextReader::new(&message, limits);
        let text = str::from_utf8(&message).unwrap();
        (0..entries).try_for_each(|key| reader.take(&key.to_string(), text))?;
        reader.finish()
    }

    #[test]
    fn the_keys_of_a_context_are_bounded() {
        let most = Limits::default().max_context_keys;
        assert_eq!(read(most, "0", Limits::default()).unwrap().len(), most);
        let refused = read(most + 1, "0", Limits::default()).unwrap_err();
        assert_eq!((refused.kind(), &*refused.to_string()), ("context_keys", "the context has more than 1000 keys"));
    }

    #[test]
    fn the_values_of_a_context_are_bounded_over_all_its_keys() {
        for (json, values) in [
            ("0", 1),
            ("[]", 1),
            (" [ ] ", 1),
            (r#"{"a": [], "b": {}}"#, 3),
            ("[0,0,[0,{}]]", 6),
            (r#"["[,[,", "\\\"", null]"#, 4),
            (r#"{"":0}"#, 2),
        ] {
            assert_eq!(json::count_values(json, 100), values, "{json}");
            for entries in [1, 7] {
                let limits = |most| Limits { max_context_values: most, ..Limits::default() };
                assert!(read(entries, json, limits(entries * values)).is_ok(), "{entries} {json}");
                let refused = read(entries, json, limits(entries * values - 1)).unwrap_err();
                assert_eq!(refused.kind(), "context_values", "{entries} {json}");
            }
        }
        let zeros = format!("[{}0]", "0,".repeat(10_000));
        let refused = read(1, &zeros, Limits::default()).unwrap_err();
        assert_eq!(refused.to_string(), "the context has more than 10000 values");
        assert!(read(1, &format!("\"{}\"", "x".repeat(1 << 20)), Limits::default()).is_ok());
    }
}
