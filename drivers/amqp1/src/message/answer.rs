//! Answers of RabbitMQ's management.

use super::{PROPERTIES, VALUE};
use crate::encoding::Raw;

/// The status and the text of an answer of RabbitMQ's management; `None` if the message is something else.
pub(crate) fn answer(bytes: &[u8]) -> Option<(u16, Option<String>)> {
    let (mut status, mut text, mut rest) = (None, None, bytes);
    while !rest.is_empty() {
        let (section, after) = Raw::first(rest).ok()?;
        rest = after;
        let (code, value) = section.described()?;
        match (u8::try_from(code).ok()?, value) {
            (PROPERTIES, fields) => status = fields.elements().nth(3).and_then(Raw::text)?.parse().ok(),
            (VALUE, value) => text = value.text().map(|text| text.chars().take(300).collect()),
            _ => {}
        }
    }
    Some((status?, text))
}

/// A number in the map of an answer of RabbitMQ's management.
pub(crate) fn answered_number(bytes: &[u8], wanted: &str) -> Option<u64> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (section, after) = Raw::first(rest).ok()?;
        rest = after;
        let (code, value) = section.described()?;
        if u8::try_from(code).ok()? == VALUE {
            let mut entries = value.elements();
            while let (Some(key), Some(value)) = (entries.next(), entries.next()) {
                if key.text() == Some(wanted) {
                    return value.unsigned();
                }
            }
        }
    }
    None
}
