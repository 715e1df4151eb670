//! Frames of a peer.

pub(super) const SASL_HEADER: &[u8] = b"AMQP\x03\x01\x00\x00";
pub(super) const AMQP_HEADER: &[u8] = b"AMQP\x00\x01\x00\x00";

/// A frame of channel 0: `kind` is 0 for AMQP and 1 for SASL.
pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len() + 8).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(&[2, kind, 0, 0]);
    frame.extend_from_slice(body);
    frame
}

/// A list of `count` encoded fields, described by a small number.
pub(super) fn described(code: u8, count: u8, fields: &[u8]) -> Vec<u8> {
    let mut value = vec![0, 0x53, code, 0xd0];
    value.extend_from_slice(&u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
    value.extend_from_slice(&u32::from(count).to_be_bytes());
    value.extend_from_slice(fields);
    value
}

/// Nested lists.
pub(super) fn nested(levels: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(9 * levels + 1);
    for level in 1..=levels {
        let inside = 9 * (levels - level) + 1;
        value.push(0xd0);
        value.extend_from_slice(&u32::try_from(inside + 4).unwrap().to_be_bytes());
        value.extend_from_slice(&1_u32.to_be_bytes());
    }
    value.push(0x40);
    value
}

/// A settled transfer on handle 0 with a whole message.
pub(super) fn transfer(delivery: u8, more: bool, message: &[u8]) -> Vec<u8> {
    let more = if more { 0x41 } else { 0x42 };
    let fields = [0x43, 0x52, delivery, 0xa0, 1, delivery, 0x43, 0x41, more];
    let mut body = described(0x14, 6, &fields);
    body.extend_from_slice(message);
    frame(0, &body)
}

/// A message whose body is text.
pub(super) fn text(text: &str) -> Vec<u8> {
    let mut message = vec![0, 0x53, 0x77, 0xa1, u8::try_from(text.len()).unwrap()];
    message.extend_from_slice(text.as_bytes());
    message
}

/// A message whose body, or whose annotations, are `value`.
pub(super) fn section(code: u8, value: &[u8]) -> Vec<u8> {
    [&[0, 0x53, code][..], value].concat()
}
