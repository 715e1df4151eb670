//! Writes encoded values (AMQP 1.0 part 1.6): those that sent messages contain.

use fe2o3_amqp::types::messaging::MessageId;

/// A value to write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    Null,
    False,
    Uint(u32),
    Text(&'a str),
    Id(&'a MessageId),
}

impl Field<'_> {
    /// Appends the encoded value.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0x40),
            Self::False => out.push(0x42),
            Self::Uint(number) => {
                out.push(0x70);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Text(text) => sized(out, 0xa1, text.as_bytes()),
            Self::Id(MessageId::String(text)) => sized(out, 0xa1, text.as_bytes()),
            Self::Id(MessageId::Binary(bytes)) => sized(out, 0xa0, bytes),
            Self::Id(MessageId::Ulong(number)) => {
                out.push(0x80);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Id(MessageId::Uuid(uuid)) => {
                out.push(0x98);
                out.extend_from_slice(uuid.as_inner());
            }
        }
    }
}

/// Appends a constructor, a length and bytes: the constructor `code` for up to 255 bytes, otherwise its wide form.
fn sized(out: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(size) => out.extend_from_slice(&[code, size]),
        Err(_) => {
            out.push(code + 0x10);
            out.extend_from_slice(&number(bytes.len()));
        }
    }
    out.extend_from_slice(bytes);
}

/// Appends a list described by `code`. Omitted trailing fields are null.
pub(crate) fn list(out: &mut Vec<u8>, code: u8, fields: &[Field<'_>]) {
    out.extend_from_slice(&[0, 0x53, code]);
    if fields.is_empty() {
        out.push(0x45);
        return;
    }
    let begins = out.len();
    let [.., count] = number(fields.len());
    out.extend_from_slice(&[0xc0, 0, count]);
    for field in fields {
        field.write(out);
    }
    let size = out.len() - begins - 2;
    match u8::try_from(size) {
        Ok(size) => out[begins + 1] = size,
        Err(_) => {
            let [a, b, c, d] = number(size + 3);
            out.splice(begins..begins + 3, [0xd0, a, b, c, d, 0, 0, 0, count]);
        }
    }
}

/// Appends a map described by `code`, of alternating keys and values.
pub(crate) fn map(out: &mut Vec<u8>, code: u8, members: &[Field<'_>]) {
    out.extend_from_slice(&[0, 0x53, code, 0xd1]);
    let begins = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&number(members.len()));
    for member in members {
        member.write(out);
    }
    let size = number(out.len() - begins - 4);
    out[begins..begins + 4].copy_from_slice(&size);
}

/// A length as four bytes. It always fits: [`Settings::max_message_size`] limits messages.
///
/// [`Settings::max_message_size`]: oxlo_transport::Settings::max_message_size
fn number(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use fe2o3_amqp::types::primitives::{Binary, Uuid, Value};

    use super::*;

    #[test]
    fn another_parser_reads_what_was_meant() {
        let long = "x".repeat(300);
        for text in ["", "short", &long] {
            let fields = [Field::Null, Field::False, Field::Uint(7), Field::Text(text)];
            let mut out = Vec::new();
            list(&mut out, 0x70, &fields);
            let Value::Described(read) = serde_amqp::from_slice(&out).unwrap() else { panic!("{out:?}") };
            let wanted = vec![Value::Null, Value::Bool(false), Value::Uint(7), Value::String(text.to_owned())];
            assert_eq!(read.value, Value::List(wanted));
        }
    }

    #[test]
    fn ids_keep_their_types() {
        for id in [
            MessageId::String("id".to_owned()),
            MessageId::Ulong(u64::MAX),
            MessageId::Uuid(Uuid::from([7; 16])),
            MessageId::Binary(Binary::from(vec![7; 300])),
        ] {
            let mut out = Vec::new();
            Field::Id(&id).write(&mut out);
            assert_eq!(serde_amqp::from_slice::<MessageId>(&out).unwrap(), id);
        }
    }

    #[test]
    fn an_empty_list_has_no_length() {
        let mut out = Vec::new();
        list(&mut out, 0x70, &[]);
        assert_eq!(out, [0, 0x53, 0x70, 0x45]);
    }
}
