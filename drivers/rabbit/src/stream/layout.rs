//! The layout of a frame (AMQP 0-9-1 section 2.3.5), for readers and writers of frames.

pub(super) use amq_protocol::protocol::constants::{
    FRAME_BODY as BODY, FRAME_END, FRAME_HEADER as HEADER, FRAME_HEARTBEAT as HEARTBEAT, FRAME_METHOD as METHOD,
};

/// Bytes of a frame's head: type (1), channel (2), size (4).
pub(super) const FRAME_HEAD: usize = 7;

/// Class id and method id.
pub(super) type Method = (u16, u16);

pub(super) const CONNECTION_START: Method = (10, 10);
pub(super) const CONNECTION_TUNE: Method = (10, 30);
pub(super) const CONNECTION_TUNE_OK: Method = (10, 31);
pub(super) const CONNECTION_CLOSE: Method = (10, 50);
pub(super) const CONNECTION_CLOSE_OK: Method = (10, 51);
pub(super) const BLOCKED: Method = (10, 60);
pub(super) const UNBLOCKED: Method = (10, 61);
pub(super) const UPDATE_SECRET: Method = (10, 70);
pub(super) const CHANNEL_OPEN_OK: Method = (20, 11);
pub(super) const FLOW: Method = (20, 20);
pub(super) const CHANNEL_CLOSE: Method = (20, 40);
pub(super) const CHANNEL_CLOSE_OK: Method = (20, 41);
pub(super) const CANCEL: Method = (BASIC, 30);
pub(super) const PUBLISH: Method = (BASIC, 40);
pub(super) const RETURN: Method = (BASIC, 50);
pub(super) const DELIVER: Method = (BASIC, 60);
pub(super) const GET_OK: Method = (BASIC, 71);
pub(super) const ACK: Method = (BASIC, 80);
pub(super) const REJECT: Method = (BASIC, 90);
pub(super) const NACK: Method = (BASIC, 120);
pub(super) const SELECT: Method = (85, 10);
pub(super) const SELECT_OK: Method = (85, 11);

/// The class id of `basic`, to which all methods about messages belong.
pub(super) const BASIC: u16 = 60;

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) channel: u16,
    /// Bytes of the payload.
    pub(super) payload: usize,
}

impl Head {
    /// Reads the head at the front of `bytes`; `None` if it is incomplete.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [kind, high, low, a, b, c, d] = *bytes.first_chunk::<FRAME_HEAD>()?;
        let payload = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        Some(Self { kind, channel: u16::from_be_bytes([high, low]), payload })
    }

    /// Bytes of the whole frame, head and end octet included.
    pub(super) fn size(self) -> usize {
        self.payload.saturating_add(FRAME_HEAD + 1)
    }
}

/// Splits the payload of a method frame into the method and its arguments.
pub(super) fn method(payload: &[u8]) -> Option<(Method, &[u8])> {
    let ([a, b, c, d], arguments) = payload.split_first_chunk::<4>()?;
    Some(((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])), arguments))
}

/// Appends a frame whose payload `payload` appends.
pub(super) fn frame(bytes: &mut Vec<u8>, kind: u8, channel: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    bytes.push(kind);
    bytes.extend_from_slice(&channel.to_be_bytes());
    let size = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    payload(bytes);
    let length = u32::try_from(bytes.len() - size - 4).unwrap_or(u32::MAX);
    bytes[size..size + 4].copy_from_slice(&length.to_be_bytes());
    bytes.push(FRAME_END);
}

/// Appends a method frame whose arguments `arguments` appends.
pub(super) fn method_frame(
    bytes: &mut Vec<u8>,
    channel: u16,
    (class, method): Method,
    arguments: impl FnOnce(&mut Vec<u8>),
) {
    frame(bytes, METHOD, channel, |bytes| {
        bytes.extend_from_slice(&class.to_be_bytes());
        bytes.extend_from_slice(&method.to_be_bytes());
        arguments(bytes);
    });
}
