//! The encoded properties of a received message. Each is parsed on access, because most are never read.

use amq_protocol::{
    protocol::{BasicProperties, basic::parse_properties},
    types::{FieldTable, parsing::parse_field_table},
};
use bytes::Bytes;

use super::guard::content_header::{self, CONTENT_ENCODING, CONTENT_TYPE, EXPIRATION, HEADERS, MESSAGE_ID};

/// Encoded properties, flags first. An invalid property counts as absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received(Bytes);

impl Received {
    pub(crate) fn new(properties: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(properties))
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        self.text(CONTENT_TYPE)
    }

    pub(crate) fn content_encoding(&self) -> Option<&str> {
        self.text(CONTENT_ENCODING)
    }

    pub(crate) fn expiration(&self) -> Option<&str> {
        self.text(EXPIRATION)
    }

    pub(crate) fn message_id(&self) -> Option<&str> {
        self.text(MESSAGE_ID)
    }

    /// The header table, unless it is absent or empty.
    pub(crate) fn headers(&self) -> Option<FieldTable> {
        let table = content_header::property(&self.0, HEADERS)?;
        if table.len() <= 4 {
            return None;
        }
        parse_field_table(table).ok().map(|(_, table)| table)
    }

    /// All properties.
    pub(crate) fn all(&self) -> BasicProperties {
        parse_properties(self.0.as_ref()).map(|(_, properties)| properties).unwrap_or_default()
    }

    fn text(&self, position: usize) -> Option<&str> {
        str::from_utf8(content_header::property(&self.0, position)?.get(1..)?).ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use amq_protocol::types::ShortString;
    use proptest::prelude::*;

    use super::*;
    use crate::stream::{
        guard::content_header::{Inspection, inspect, parts},
        tests::wire,
    };

    proptest! {
        /// For everything that passes the guard.
        #[test]
        fn what_is_read_where_it_lies_is_what_a_parser_reads(
            flags: u16,
            value in prop_oneof![Just(b"\x02id".to_vec()), prop::collection::vec(any::<u8>(), 0..8)],
            times in 0..14_usize,
            table in prop_oneof![Just(b"".to_vec()), Just(b"\x01kt\x01".to_vec())],
        ) {
            let text = |count| value.repeat(count);
            // The table stands third, where its flag is set.
            let properties = [text(2), wire::long(&table), vec![1, 2], text(times)].concat();
            let payload = wire::content_header(0, flags & !3, &properties);
            let passed = match inspect(&payload, 4088).unwrap() {
                Inspection::Clean => payload,
                Inspection::Repaired(_, payload) => payload,
            };
            let received = Received::new(parts(&passed).unwrap().1);
            let all = received.all();
            prop_assert_eq!(received.content_type(), all.content_type().as_ref().map(ShortString::as_str));
            prop_assert_eq!(received.expiration(), all.expiration().as_ref().map(ShortString::as_str));
            prop_assert_eq!(received.message_id(), all.message_id().as_ref().map(ShortString::as_str));
            let headers = all.headers().clone().filter(|table| !table.inner().is_empty());
            prop_assert_eq!(received.headers(), headers);
        }
    }
}
