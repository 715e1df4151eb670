//! Checks which bytes of a broker may reach lapin. Pure, no I/O.
//!
//! lapin parses field tables recursively without a limit ([`lapin_internals`](crate::lapin_internals)): one message
//! with a 7 kB header of nested tables aborts the process, and the broker delivers the message to the next replica.
//! lapin also closes the connection over a header that it cannot parse or that exceeds `frame_max`, and over a routing
//! key that is not UTF-8; the broker then delivers the same message again, for ever. So content headers and the methods
//! that announce a message pass only when complete and checked, and invalid parts are replaced.
//!
//! Messages and confirms on channels with a port (see [`ports`](super::ports)) never reach lapin.

pub(crate) mod content_header;
mod delivery;
mod error;
pub(crate) mod preface;
pub(crate) mod table;

use content_header::{Inspection, Repair};
pub(crate) use error::GuardError;
use preface::Preface;

use super::layout::{
    self, ACK, BLOCKED, BODY, CANCEL, CHANNEL_CLOSE, CHANNEL_OPEN_OK, CONNECTION_START, CONNECTION_TUNE, DELIVER, FLOW,
    FRAME_END, FRAME_HEAD, GET_OK, HEADER, HEARTBEAT, Head, METHOD, NACK, RETURN, SELECT_OK, UNBLOCKED, UPDATE_SECRET,
};

/// The `frame_max` before negotiation, and the one that is offered by default.
pub(crate) const DEFAULT_FRAME_MAX: u32 = 131_072;
/// The smallest `frame_max` that AMQP 0-9-1 allows.
const FRAME_MIN_SIZE: u32 = 4_096;
/// The largest content header that is buffered, in bytes. A broker sends a header in one frame even if it exceeds the
/// consumer's `frame_max`: only the publisher's `frame_max` limited it.
const HEADER_FRAME_MAX: usize = 1 << 20;

/// How many unsolicited methods may arrive between two calls of [`Guard::reset_count`]. Each costs lapin a task or an
/// entry in an unbounded queue. A broker that closes all its channels and consumers at once sends a few thousand.
pub(super) const MAX_UNSOLICITED: u32 = 20_000;

const NOT_CONSUMED: &str = "a message on a channel without a consumer";

/// What [`Guard::advance`] decided about the front of its input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This many bytes pass unchanged, and count as consumed. Never 0.
    Pass(usize),
    /// The next `take` bytes, a whole frame, are replaced by `with`, which is not longer.
    Replace {
        /// Bytes of the input to consume.
        take: usize,
        /// The frame for lapin in their place.
        with: Vec<u8>,
        /// Why the frame was changed.
        reason: Repair,
    },
    /// The next `take` bytes, a whole frame, belong to the port of their channel; see [`Frame::parse`].
    ForPort {
        take: usize,
        /// Whether lapin gets the frame as well.
        and_lapin: bool,
        /// The payload that replaces the frame's own, and why.
        repaired: Option<(Vec<u8>, Repair)>,
    },
    /// At least this many bytes are needed to check the front; always more than there are.
    Need(usize),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the first byte of the stream.
    Preface,
    /// At the first byte of a frame.
    Boundary,
    /// In a frame that passes, with this many bytes of its payload to come.
    Payload(usize),
    /// At the end octet of a frame that passes.
    End,
}

/// A frame for a port, without head and end octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// `basic.ack` or `basic.nack`.
    Settled { acked: bool, arguments: &'a [u8] },
    /// The arguments of `basic.deliver`.
    Deliver(&'a [u8]),
    /// The payload of a content header.
    Header(&'a [u8]),
    /// A part of a body.
    Body(&'a [u8]),
    /// The arguments of `channel.close`.
    ChannelClose(&'a [u8]),
    /// `channel.open-ok`.
    ChannelOpen,
    /// A method without a meaning of its own here.
    Other,
}

impl<'a> Frame<'a> {
    /// Reads a whole frame: its channel and its content.
    pub(crate) fn parse(frame: &'a [u8]) -> Option<(u16, Self)> {
        let head = Head::parse(frame)?;
        let (_, payload) = frame[FRAME_HEAD..].split_last()?;
        let frame = match head.kind {
            HEADER => Self::Header(payload),
            BODY => Self::Body(payload),
            _ => match layout::method(payload)? {
                (ACK, arguments) => Self::Settled { acked: true, arguments },
                (NACK, arguments) => Self::Settled { acked: false, arguments },
                (DELIVER, arguments) => Self::Deliver(arguments),
                (CHANNEL_CLOSE, arguments) => Self::ChannelClose(arguments),
                (CHANNEL_OPEN_OK, _) => Self::ChannelOpen,
                _ => Self::Other,
            },
        };
        Some((head.channel, frame))
    }
}

/// The receiver of a channel's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelOwner {
    /// lapin, and no message may arrive.
    Lapin,
    /// lapin, messages included.
    LapinConsumer,
    /// A port.
    Port,
    /// Nobody: the broker has closed the channel. At most the answer to a close that crossed the broker's may follow,
    /// and lapin closes the connection over a frame on a channel that it has forgotten.
    Closed,
}

/// What was decided about one frame.
enum FrameVerdict {
    /// As [`Verdict::Need`].
    Need(usize),
    /// The head passes, and a payload of this many bytes unchecked.
    Opaque(usize),
    /// This many bytes were checked and pass.
    Checked(usize),
    /// As [`Verdict::Replace`].
    Replace(usize, Vec<u8>, Repair),
    /// This many bytes, checked, belong to the channel's port.
    ForPort(usize, Option<(Vec<u8>, Repair)>),
    /// This many bytes, checked, belong to the channel's port and to lapin.
    ForBoth(usize),
}

/// The inbound state of one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    state: State,
    /// The `frame_max` that the client offers; 0 for any.
    offered: u32,
    frame_max: usize,
    unsolicited: u32,
}

impl Guard {
    /// A guard for a connection on which the client offers `frame_max`; 0 means the broker's.
    pub(crate) fn new(frame_max: u32) -> Self {
        let first = if frame_max == 0 { DEFAULT_FRAME_MAX } else { frame_max };
        Self {
            state: State::Preface,
            offered: frame_max,
            frame_max: as_size(first.max(FRAME_MIN_SIZE)),
            unsolicited: 0,
        }
    }

    /// Resets the count of unsolicited methods. Call it every ten seconds.
    pub(crate) fn reset_count(&mut self) {
        self.unsolicited = 0;
    }

    /// Checks the front of `input`, which continues behind the bytes that were consumed before. `owner` tells who
    /// receives the frames of a channel.
    pub(crate) fn advance(&mut self, input: &[u8], owner: impl Fn(u16) -> ChannelOwner) -> Result<Verdict, GuardError> {
        let mut at = 0;
        let stop = loop {
            let rest = &input[at..];
            match self.state {
                State::Payload(left) => {
                    let here = left.min(rest.len());
                    at += here;
                    if here < left {
                        self.state = State::Payload(left - here);
                        break Verdict::Need(1);
                    }
                    self.state = State::End;
                }
                State::End => {
                    let Some(end) = rest.first() else { break Verdict::Need(1) };
                    if let Err(error) = frame_end(*end) {
                        if at > 0 {
                            break Verdict::Pass(at);
                        }
                        return Err(error);
                    }
                    at += 1;
                    self.state = State::Boundary;
                }
                State::Preface => match preface::check(rest) {
                    Preface::Amqp091 => self.state = State::Boundary,
                    Preface::Need(bytes) => break Verdict::Need(bytes),
                    Preface::Other(protocol) => return Err(GuardError::OtherProtocol(protocol)),
                },
                // An error behind valid bytes is reported when those have passed.
                State::Boundary => match self.frame(rest, &owner) {
                    Err(_) if at > 0 => break Verdict::Pass(at),
                    Err(error) => return Err(error),
                    Ok(FrameVerdict::Need(bytes)) => break Verdict::Need(bytes),
                    Ok(FrameVerdict::Opaque(payload)) => {
                        at += FRAME_HEAD;
                        self.state = State::Payload(payload);
                    }
                    Ok(FrameVerdict::Checked(bytes)) => at += bytes,
                    Ok(FrameVerdict::Replace(take, with, reason)) => break Verdict::Replace { take, with, reason },
                    Ok(FrameVerdict::ForPort(take, repaired)) => {
                        break Verdict::ForPort { take, and_lapin: false, repaired };
                    }
                    Ok(FrameVerdict::ForBoth(take)) => {
                        break Verdict::ForPort { take, and_lapin: true, repaired: None };
                    }
                },
            }
        };
        Ok(if at > 0 { Verdict::Pass(at) } else { stop })
    }

    /// The negotiated `frame_max`, or the initial limit before.
    pub(crate) fn frame_max(&self) -> u32 {
        u32::try_from(self.frame_max).unwrap_or(u32::MAX)
    }

    /// Whether the next byte starts a frame.
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Boundary)
    }

    /// The error of a stream that ends with `rest` unchecked, if those bytes explain the end.
    pub(crate) fn error_at_end(&self, rest: &[u8]) -> Option<GuardError> {
        (matches!(self.state, State::Preface) && !rest.is_empty())
            .then(|| GuardError::OtherProtocol(preface::identify(rest)))
    }

    fn frame(&mut self, rest: &[u8], owner: impl Fn(u16) -> ChannelOwner) -> Result<FrameVerdict, GuardError> {
        let Some(&kind) = rest.first() else { return Ok(FrameVerdict::Need(1)) };
        let what = match kind {
            METHOD => "method",
            HEADER => "content header",
            BODY => "body",
            HEARTBEAT => "heartbeat",
            _ => return Err(GuardError::FrameType(kind)),
        };
        let Some(head) = Head::parse(rest) else { return Ok(FrameVerdict::Need(FRAME_HEAD)) };
        let size = head.size();
        let limit = if kind == HEADER { HEADER_FRAME_MAX.max(self.frame_max) } else { self.frame_max };
        if size > limit {
            return Err(GuardError::FrameTooLarge { what, size, limit });
        }
        let owner = owner(head.channel);
        let for_port = owner == ChannelOwner::Port;
        match kind {
            METHOD => self.method(rest, owner, head),
            HEADER | BODY if owner == ChannelOwner::Closed => {
                let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(FrameVerdict::ForPort(size, None))
            }
            HEADER | BODY if owner == ChannelOwner::Lapin => Err(GuardError::OutOfStep(NOT_CONSUMED)),
            HEADER => self.content_header(rest, for_port, head),
            BODY if for_port => {
                let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(FrameVerdict::ForPort(size, None))
            }
            _ => Ok(FrameVerdict::Opaque(head.payload)),
        }
    }

    fn content_header(&self, rest: &[u8], for_port: bool, head: Head) -> Result<FrameVerdict, GuardError> {
        let size = head.size();
        let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
        frame_end(frame[size - 1])?;
        let room = self.frame_max - FRAME_HEAD - 1;
        let inspection = content_header::inspect(&frame[FRAME_HEAD..size - 1], room)
            .map_err(|content_header::CutShort| GuardError::CutShort("content header"))?;
        Ok(match inspection {
            Inspection::Clean if for_port => FrameVerdict::ForPort(size, None),
            Inspection::Repaired(reason, payload) if for_port => FrameVerdict::ForPort(size, Some((payload, reason))),
            Inspection::Clean => FrameVerdict::Checked(size),
            Inspection::Repaired(reason, payload) => {
                let mut with = Vec::with_capacity(size);
                layout::frame(&mut with, HEADER, head.channel, |bytes| bytes.extend_from_slice(&payload));
                FrameVerdict::Replace(size, with, reason)
            }
        })
    }

    fn method(&mut self, rest: &[u8], owner: ChannelOwner, head: Head) -> Result<FrameVerdict, GuardError> {
        let size = head.size();
        if head.payload < 4 {
            return Err(GuardError::CutShort("method"));
        }
        let Some((ids @ (class, method), _)) = layout::method(&rest[FRAME_HEAD..]) else {
            return Ok(FrameVerdict::Need(FRAME_HEAD + 4));
        };
        if matches!(ids, BLOCKED | UNBLOCKED | UPDATE_SECRET | FLOW | CANCEL | CHANNEL_CLOSE) {
            // Counted when complete, so that its parts are not counted again.
            let Some(_) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
            self.unsolicited += 1;
            if self.unsolicited > MAX_UNSOLICITED {
                return Err(GuardError::TooManyUnsolicited);
            }
        }
        match ids {
            DELIVER | RETURN | GET_OK if owner == ChannelOwner::Lapin => Err(GuardError::OutOfStep(NOT_CONSUMED)),
            CONNECTION_START | CONNECTION_TUNE => {
                let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
                frame_end(frame[size - 1])?;
                let arguments = &frame[FRAME_HEAD + 4..size - 1];
                if ids == CONNECTION_START {
                    start(arguments)?
                } else {
                    self.tune(arguments)?
                }
                Ok(FrameVerdict::Checked(size))
            }
            // Every client method with a table: start-ok; exchange declare, bind, unbind; queue declare, bind, unbind;
            // consume.
            (10, 11) | (40, 10 | 30 | 40) | (50, 10 | 20 | 50) | (60, 20) => {
                Err(GuardError::ClientMethod { class, method })
            }
            CHANNEL_OPEN_OK if owner == ChannelOwner::Closed => {
                let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(FrameVerdict::ForBoth(size))
            }
            _ if owner == ChannelOwner::Closed => {
                let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(FrameVerdict::ForPort(size, None))
            }
            CHANNEL_CLOSE => {
                let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(FrameVerdict::ForBoth(size))
            }
            DELIVER | RETURN | ACK | NACK | SELECT_OK if owner == ChannelOwner::Port => {
                let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(FrameVerdict::ForPort(size, None))
            }
            _ if delivery::carries_names(class, method) => {
                let Some(frame) = rest.get(..size) else { return Ok(FrameVerdict::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(match delivery::repair(class, method, &frame[FRAME_HEAD + 4..size - 1]) {
                    None => FrameVerdict::Checked(size),
                    Some(arguments) => {
                        let mut with = Vec::with_capacity(size);
                        layout::method_frame(&mut with, head.channel, ids, |bytes| bytes.extend_from_slice(&arguments));
                        FrameVerdict::Replace(size, with, Repair::Malformed)
                    }
                })
            }
            _ => Ok(FrameVerdict::Opaque(head.payload)),
        }
    }

    /// Negotiates `frame_max` as lapin does: the smaller of both, where 0 means no limit.
    fn tune(&mut self, arguments: &[u8]) -> Result<(), GuardError> {
        let [_, _, a, b, c, d, ..] = *arguments else { return Err(GuardError::CutShort("connection.tune")) };
        let theirs = u32::from_be_bytes([a, b, c, d]);
        let negotiated = match (self.offered, theirs) {
            (0, 0) => u32::MAX,
            (0, limit) | (limit, 0) => limit,
            (offered, theirs) => offered.min(theirs),
        };
        self.frame_max = as_size(negotiated.max(FRAME_MIN_SIZE));
        Ok(())
    }
}

fn start(arguments: &[u8]) -> Result<(), GuardError> {
    let properties = arguments.get(2..).ok_or(GuardError::CutShort("connection.start"))?;
    table::long_length(properties)
        .and_then(|length| table::check(&properties[4..4 + length]))
        .map_err(GuardError::ServerProperties)
}

fn frame_end(octet: u8) -> Result<(), GuardError> {
    if octet == FRAME_END { Ok(()) } else { Err(GuardError::FrameEnd(octet)) }
}

fn as_size(size: u32) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
