//! The depth guard: which bytes of a broker may reach lapin. Pure, no I/O.
//!
//! lapin parses field tables by recursion without a limit, on a thread with a 2 MiB stack: one message with a 7 kB header
//! of nested tables aborts the process, and the broker hands the message to the next replica. It also closes the
//! connection over a header that it cannot parse or that exceeds `frame_max`, after which the broker delivers the
//! same message again, for ever; likewise over a routing key that is not UTF-8. So content headers and the methods that
//! announce a message go through only when complete and checked, and what lapin must not see is replaced.
//!
//! Messages and confirms on channels that have a port (see [`ports`](super::ports)) are not for lapin at all.

pub(crate) mod content_header;
mod delivery;
mod error;
pub(crate) mod preface;
pub(crate) mod table;

use super::layout::{
    self, ACK, BLOCKED, BODY, CANCEL, CHANNEL_CLOSE, CHANNEL_OPEN_OK, CONNECTION_START, CONNECTION_TUNE, DELIVER, FLOW,
    FRAME_END, FRAME_HEAD, GET_OK, HEADER, HEARTBEAT, Head, METHOD, NACK, RETURN, SELECT_OK, UNBLOCKED, UPDATE_SECRET,
};
use content_header::{Inspection, Reason};
use preface::Preface;

pub(crate) use error::GuardError;

/// `frame_max` before the broker has named its own, and what we ask for when the user has no wish.
pub(crate) const DEFAULT_FRAME_MAX: u32 = 131_072;
/// AMQP 0-9-1 allows no smaller `frame_max`.
const FRAME_MIN_SIZE: u32 = 4_096;
/// The largest content header that is buffered to be checked. A broker sends a message's header in one frame even if it
/// exceeds the `frame_max` of the consumer's connection, for what counted was the publisher's.
const HEADER_FRAME_MAX: usize = 1 << 20;

/// How many methods that nobody asked for may come between two [rests](Guard::rest). Each costs lapin a task, or a place in
/// a queue without a bound; a broker that takes all its channels and consumers down at once sends some thousands.
const MOST_UNSOLICITED: u32 = 20_000;

const NOT_CONSUMED: &str = "a message on a channel that takes none";

/// What [`Guard::advance`] found at the front of its input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So many bytes go through as they are; they are taken as passed. Never 0.
    Pass(usize),
    /// The next `take` bytes, a whole frame, are replaced by `with`, which is not longer.
    Replace {
        /// How many bytes of the input are gone.
        take: usize,
        /// What lapin gets in their place.
        with: Vec<u8>,
        /// What was wrong.
        reason: Reason,
    },
    /// The next `take` bytes, a whole frame, are for the port of their channel; see [`Frame::of`].
    ForPort {
        take: usize,
        /// Whether lapin gets it as well.
        and_lapin: bool,
        /// The payload that stands in for the frame's own, and what was wrong with that.
        repaired: Option<(Vec<u8>, Reason)>,
    },
    /// At least so many bytes must be there before the front can be judged; always more than there are.
    Need(usize),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing of the stream was judged yet.
    Preface,
    /// A frame begins here.
    Boundary,
    /// So many payload bytes of a frame that goes through, its end octet not counted.
    Payload(usize),
    /// The end octet of a frame that goes through.
    End,
}

/// A frame for a port, without what makes it a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// `basic.ack` or `basic.nack`.
    Settled { acked: bool, arguments: &'a [u8] },
    /// `basic.deliver`, its arguments.
    Deliver(&'a [u8]),
    /// A content header.
    Header(&'a [u8]),
    /// A part of a message's body.
    Body(&'a [u8]),
    /// `channel.close`, its arguments.
    ChannelClose(&'a [u8]),
    /// `channel.open-ok`.
    ChannelOpen,
    /// A method that says nothing by itself.
    Other,
}

impl<'a> Frame<'a> {
    /// The channel and the meaning of a whole frame.
    pub(crate) fn of(frame: &'a [u8]) -> Option<(u16, Self)> {
        let head = Head::of(frame)?;
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

/// Who gets the frames of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// lapin, and no messages come.
    Lapins,
    /// lapin, also the messages.
    LapinConsumes,
    HasPort,
    /// Nobody: the broker has closed it. What follows is at most the answer to a close of ours that crossed the broker's,
    /// and lapin ends the connection over a frame on a channel that it does not know any more.
    Closed,
}

enum Found {
    Need(usize),
    /// The head goes through now and so does the payload, unseen.
    Opaque(usize),
    /// So many bytes were checked and go through.
    Checked(usize),
    Replace(usize, Vec<u8>, Reason),
    /// So many bytes, checked, are for the channel's port.
    ForPort(usize, Option<(Vec<u8>, Reason)>),
    /// The same, and for lapin.
    ForBoth(usize),
}

/// The state of one inbound stream.
#[derive(Debug)]
pub(crate) struct Guard {
    state: State,
    ours: u32,
    frame_max: usize,
    unsolicited: u32,
}

impl Guard {
    /// A guard for a connection on which we offer `frame_max`; 0 stands for the broker's.
    pub(crate) fn new(frame_max: u32) -> Self {
        let first = if frame_max == 0 { DEFAULT_FRAME_MAX } else { frame_max };
        Self { state: State::Preface, ours: frame_max, frame_max: as_size(first.max(FRAME_MIN_SIZE)), unsolicited: 0 }
    }

    /// Resets the count of methods that nobody asked for. To be called every ten seconds.
    pub(crate) fn rest(&mut self) {
        self.unsolicited = 0;
    }

    /// Judges the front of `input`, which is what follows the bytes that were passed or taken before. `standing` tells how
    /// a channel stands.
    pub(crate) fn advance(&mut self, input: &[u8], standing: impl Fn(u16) -> Standing) -> Result<Verdict, GuardError> {
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
                State::Preface => match preface::judge(rest) {
                    Preface::Amqp091 => self.state = State::Boundary,
                    Preface::Need(bytes) => break Verdict::Need(bytes),
                    Preface::Other(looks) => return Err(GuardError::OtherProtocol(looks)),
                },
                // An error behind bytes that are in order waits until those are passed.
                State::Boundary => match self.frame(rest, &standing) {
                    Err(_) if at > 0 => break Verdict::Pass(at),
                    Err(error) => return Err(error),
                    Ok(Found::Need(bytes)) => break Verdict::Need(bytes),
                    Ok(Found::Opaque(payload)) => {
                        at += FRAME_HEAD;
                        self.state = State::Payload(payload);
                    }
                    Ok(Found::Checked(bytes)) => at += bytes,
                    Ok(Found::Replace(take, with, reason)) => break Verdict::Replace { take, with, reason },
                    Ok(Found::ForPort(take, repaired)) => break Verdict::ForPort { take, and_lapin: false, repaired },
                    Ok(Found::ForBoth(take)) => break Verdict::ForPort { take, and_lapin: true, repaired: None },
                },
            }
        };
        Ok(if at > 0 { Verdict::Pass(at) } else { stop })
    }

    /// The `frame_max` as far as it is agreed upon.
    pub(crate) fn frame_max(&self) -> u32 {
        u32::try_from(self.frame_max).unwrap_or(u32::MAX)
    }

    /// Whether the next byte begins a frame.
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Boundary)
    }

    /// The error of a stream that ends with `rest` unjudged, if there is more to say than that it ended.
    pub(crate) fn ended_with(&self, rest: &[u8]) -> Option<GuardError> {
        (matches!(self.state, State::Preface) && !rest.is_empty())
            .then(|| GuardError::OtherProtocol(preface::looks(rest)))
    }

    fn frame(&mut self, rest: &[u8], standing: impl Fn(u16) -> Standing) -> Result<Found, GuardError> {
        let Some(&kind) = rest.first() else { return Ok(Found::Need(1)) };
        let what = match kind {
            METHOD => "method",
            HEADER => "content header",
            BODY => "body",
            HEARTBEAT => "heartbeat",
            _ => return Err(GuardError::FrameType(kind)),
        };
        let Some(head) = Head::of(rest) else { return Ok(Found::Need(FRAME_HEAD)) };
        let size = head.size();
        let limit = if kind == HEADER { HEADER_FRAME_MAX.max(self.frame_max) } else { self.frame_max };
        if size > limit {
            return Err(GuardError::FrameTooLarge { what, size, limit });
        }
        let standing = standing(head.channel);
        let for_port = standing == Standing::HasPort;
        match kind {
            METHOD => self.method(rest, standing, head),
            HEADER | BODY if standing == Standing::Closed => {
                let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(Found::ForPort(size, None))
            }
            HEADER | BODY if standing == Standing::Lapins => Err(GuardError::OutOfStep(NOT_CONSUMED)),
            HEADER => self.content_header(rest, for_port, head),
            BODY if for_port => {
                let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(Found::ForPort(size, None))
            }
            _ => Ok(Found::Opaque(head.payload)),
        }
    }

    fn content_header(&self, rest: &[u8], for_port: bool, head: Head) -> Result<Found, GuardError> {
        let size = head.size();
        let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
        frame_end(frame[size - 1])?;
        let room = self.frame_max - FRAME_HEAD - 1;
        let inspection = content_header::inspect(&frame[FRAME_HEAD..size - 1], room)
            .map_err(|content_header::CutShort| GuardError::CutShort("content header"))?;
        Ok(match inspection {
            Inspection::Clean if for_port => Found::ForPort(size, None),
            Inspection::Repaired(reason, payload) if for_port => Found::ForPort(size, Some((payload, reason))),
            Inspection::Clean => Found::Checked(size),
            Inspection::Repaired(reason, payload) => {
                let mut with = Vec::with_capacity(size);
                layout::frame(&mut with, HEADER, head.channel, |bytes| bytes.extend_from_slice(&payload));
                Found::Replace(size, with, reason)
            }
        })
    }

    fn method(&mut self, rest: &[u8], standing: Standing, head: Head) -> Result<Found, GuardError> {
        let size = head.size();
        if head.payload < 4 {
            return Err(GuardError::CutShort("method"));
        }
        let Some((ids @ (class, method), _)) = layout::method(&rest[FRAME_HEAD..]) else {
            return Ok(Found::Need(FRAME_HEAD + 4));
        };
        if matches!(ids, BLOCKED | UNBLOCKED | UPDATE_SECRET | FLOW | CANCEL | CHANNEL_CLOSE) {
            // Complete, or its parts would be counted.
            let Some(_) = rest.get(..size) else { return Ok(Found::Need(size)) };
            self.unsolicited += 1;
            if self.unsolicited > MOST_UNSOLICITED {
                return Err(GuardError::Storm);
            }
        }
        match ids {
            DELIVER | RETURN | GET_OK if standing == Standing::Lapins => Err(GuardError::OutOfStep(NOT_CONSUMED)),
            CONNECTION_START | CONNECTION_TUNE => {
                let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
                frame_end(frame[size - 1])?;
                let arguments = &frame[FRAME_HEAD + 4..size - 1];
                if ids == CONNECTION_START {
                    start(arguments)?
                } else {
                    self.tune(arguments)?
                }
                Ok(Found::Checked(size))
            }
            // start-ok; exchange declare, bind, unbind; queue declare, bind, unbind; consume: all that carry a table.
            (10, 11) | (40, 10 | 30 | 40) | (50, 10 | 20 | 50) | (60, 20) => {
                Err(GuardError::ClientMethod { class, method })
            }
            CHANNEL_OPEN_OK if standing == Standing::Closed => {
                let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(Found::ForBoth(size))
            }
            _ if standing == Standing::Closed => {
                let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(Found::ForPort(size, None))
            }
            CHANNEL_CLOSE => {
                let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(Found::ForBoth(size))
            }
            DELIVER | RETURN | ACK | NACK | SELECT_OK if standing == Standing::HasPort => {
                let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(Found::ForPort(size, None))
            }
            _ if delivery::carries_names(class, method) => {
                let Some(frame) = rest.get(..size) else { return Ok(Found::Need(size)) };
                frame_end(frame[size - 1])?;
                Ok(match delivery::repair(class, method, &frame[FRAME_HEAD + 4..size - 1]) {
                    None => Found::Checked(size),
                    Some(arguments) => {
                        let mut with = Vec::with_capacity(size);
                        layout::method_frame(&mut with, head.channel, ids, |bytes| bytes.extend_from_slice(&arguments));
                        Found::Replace(size, with, Reason::Malformed)
                    }
                })
            }
            _ => Ok(Found::Opaque(head.payload)),
        }
    }

    /// Learns `frame_max` by lapin's rule: the lower of both, where 0 gives way to the other.
    fn tune(&mut self, arguments: &[u8]) -> Result<(), GuardError> {
        let [_, _, a, b, c, d, ..] = *arguments else { return Err(GuardError::CutShort("connection.tune")) };
        let theirs = u32::from_be_bytes([a, b, c, d]);
        let agreed = match (self.ours, theirs) {
            (0, 0) => u32::MAX,
            (0, one) | (one, 0) => one,
            (ours, theirs) => ours.min(theirs),
        };
        self.frame_max = as_size(agreed.max(FRAME_MIN_SIZE));
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
