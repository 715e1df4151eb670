//! Splits the bytes that lapin writes into whole frames, so that frames of the driver never come between their parts.

use crate::stream::layout::{
    self, CHANNEL_CLOSE, CHANNEL_CLOSE_OK, CONNECTION_CLOSE, CONNECTION_CLOSE_OK, CONNECTION_TUNE_OK, FRAME_HEAD, Head,
    METHOD,
};

/// Bytes of the protocol header, which lapin sends first and which is not a frame.
const PROTOCOL_HEADER: usize = 8;

/// What a frame of lapin ends: after it a broker accepts no other frame there.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    Channel(u16),
    Connection,
}

/// Bytes of lapin that are not a whole frame yet.
#[derive(Default)]
pub(super) struct LapinFrames {
    partial: Vec<u8>,
    has_header: bool,
}

impl LapinFrames {
    /// Adds bytes of lapin, moves whole frames to `out`, and returns which channels they end.
    ///
    /// `frame_max` is the negotiated one, or 0 while it is unknown. lapin knows no `frame_max` below
    /// [`MIN_FRAME_MAX`](crate::lapin_internals::MIN_FRAME_MAX), and a broker refuses a `connection.tune-ok` above its
    /// own; so the negotiated value replaces lapin's.
    pub(super) fn accept(&mut self, bytes: &[u8], out: &mut Vec<u8>, frame_max: u32) -> Vec<Scope> {
        self.partial.extend_from_slice(bytes);
        let mut ended = Vec::new();
        let mut taken = 0;
        if !self.has_header && self.partial.len() >= PROTOCOL_HEADER {
            self.has_header = true;
            taken = PROTOCOL_HEADER;
        }
        if self.has_header {
            while let Some(frame) = first_frame(&self.partial[taken..]) {
                let size = frame.len();
                if frame_max > 0 && is_tune_ok(frame) {
                    // The frame_max follows the method (4 bytes) and the channel_max (2 bytes).
                    let place = taken + FRAME_HEAD + 4 + 2;
                    self.partial[place..place + 4].copy_from_slice(&frame_max.to_be_bytes());
                } else {
                    ended.extend(scope_ended_by(frame));
                }
                taken += size;
            }
        }
        out.extend_from_slice(&self.partial[..taken]);
        self.partial.drain(..taken);
        ended
    }
}

fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..Head::parse(bytes)?.size())
}

/// Whether a whole frame is `connection.tune-ok`.
fn is_tune_ok(frame: &[u8]) -> bool {
    let method = || layout::method(&frame[FRAME_HEAD..]);
    Head::parse(frame).is_some_and(|head| head.kind == METHOD && head.payload == 12)
        && method().is_some_and(|(method, _)| method == CONNECTION_TUNE_OK)
}

fn scope_ended_by(frame: &[u8]) -> Option<Scope> {
    let head = Head::parse(frame).filter(|head| head.kind == METHOD)?;
    match layout::method(&frame[FRAME_HEAD..])?.0 {
        CHANNEL_CLOSE | CHANNEL_CLOSE_OK => Some(Scope::Channel(head.channel)),
        CONNECTION_CLOSE | CONNECTION_CLOSE_OK => Some(Scope::Connection),
        _ => None,
    }
}
