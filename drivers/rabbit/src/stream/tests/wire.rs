//! AMQP 0-9-1 bytes, written by hand.

pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(payload);
    frame.push(0xCE);
    frame
}

pub(crate) fn method(channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let mut payload = class.to_be_bytes().to_vec();
    payload.extend_from_slice(&method.to_be_bytes());
    payload.extend_from_slice(arguments);
    frame(1, channel, &payload)
}

pub(crate) fn short(text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text);
    bytes
}

pub(crate) fn long(bytes: &[u8]) -> Vec<u8> {
    let mut prefixed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    prefixed.extend_from_slice(bytes);
    prefixed
}

/// The payload of a content header frame of the class `basic`.
pub(crate) fn content_header(body: u64, flags: u16, properties: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 0];
    payload.extend_from_slice(&body.to_be_bytes());
    payload.extend_from_slice(&flags.to_be_bytes());
    payload.extend_from_slice(properties);
    payload
}

/// Entries of a table that holds a table and so on, `depth` tables below the one these entries are in.
pub(crate) fn nested_tables(depth: usize) -> Vec<u8> {
    nested(depth, b"\x01kF", b"\x01kF")
}

/// Entries of a table that holds an array of one array and so on, `depth` arrays below the table.
pub(crate) fn nested_arrays(depth: usize) -> Vec<u8> {
    nested(depth, b"\x01kA", b"A")
}

fn nested(depth: usize, outermost: &[u8], inner: &[u8]) -> Vec<u8> {
    let total = |levels: usize| levels * (inner.len() + 4);
    let mut entries = Vec::new();
    for level in 0..depth {
        entries.extend_from_slice(if level == 0 { outermost } else { inner });
        entries.extend_from_slice(&u32::try_from(total(depth - level - 1)).unwrap().to_be_bytes());
    }
    entries
}

/// A connection.start with these server properties.
pub(crate) fn start(properties: &[u8]) -> Vec<u8> {
    let mut arguments = vec![0, 9];
    arguments.extend(long(properties));
    arguments.extend(long(b"PLAIN AMQPLAIN"));
    arguments.extend(long(b"en_US"));
    method(0, 10, 10, &arguments)
}

pub(crate) fn tune(channel_max: u16, frame_max: u32, heartbeat: u16) -> Vec<u8> {
    let mut arguments = channel_max.to_be_bytes().to_vec();
    arguments.extend_from_slice(&frame_max.to_be_bytes());
    arguments.extend_from_slice(&heartbeat.to_be_bytes());
    method(0, 10, 30, &arguments)
}

/// deliver, content header with this header table, and a body.
pub(crate) fn delivery(channel: u16, consumer: &[u8], tag: u64, table: &[u8], body: &[u8]) -> Vec<u8> {
    let mut arguments = short(consumer);
    arguments.extend_from_slice(&tag.to_be_bytes());
    arguments.push(0);
    arguments.extend(short(b""));
    arguments.extend(short(b"queue"));
    let mut bytes = method(channel, 60, 60, &arguments);
    bytes.extend(frame(2, channel, &content_header(body.len() as u64, 0x2000, &long(table))));
    if !body.is_empty() {
        bytes.extend(frame(3, channel, body));
    }
    bytes
}
